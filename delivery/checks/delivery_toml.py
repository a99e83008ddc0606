"""Read `delivery.toml`, in which an application changes the stage table.

    folder = "apps/web"                     # the application's folder in the repository
    node = "20"                             # the Node version it wants
    image = "node:22-bookworm"              # the container image of all checks, instead of Node's
    install = "npm ci --ignore-scripts"     # instead of what its lockfile suggests
    install_timeout = "15m"                 # seconds, or a number with s, m or h
    dockerfile = "deploy/Dockerfile"        # in `folder` or beside the lockfile; "none": no image
    context = "apps/web"                    # where it is built, instead of the lockfile's folder
    migration = "irreversible"              # or "reversible": what a rollback past it may do
    checks_at_once = 1                      # fewer side by side than the environment allows

    [health]
    path = "/"                              # asked instead of /api/health and /api/health/live
    revision = false                        # any 200 counts: it does not say what it was built from

    [checks.unit]
    command = "npm run test:fast"           # an argument list or one line; never a shell
    timeout = "10m"                         # seconds, or a number with s, m or h
    required = true                         # its script must exist
    may_fail = true                         # a failure is reported, but does not stop the run
    services = ["mongodb"]
    environment = { LOG_LEVEL = "debug" }
    browser = true                          # it drives a browser: Playwright's image is used
    image = "ghcr.io/owner/image:1"         # another image for this check
    alone = true                            # nothing runs beside it
    skip = "flaky until the parser is mended"

    [checks.security]
    audit_level = "low"                     # only stricter than the environment's policy

Anything not understood is refused. If a misspelt key were ignored, a check would silently differ
from what its author meant.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from delivery.checks.commands import command_line
from delivery.checks.refusals import (
    FILE,
    LONGEST_REASON,
    did_you_mean,
    refuse_unknown_keys,
    refused,
    typed,
)
from delivery.checks.table import AUDIT_LEVELS, SERVICES, Check, StageTable
from delivery.errors import ConfigurationError
from delivery.run.ledger import Migration
from delivery.text import cut, shortened
from delivery.workspace.node_versions import is_readable_range

_HINT = f"Correct {FILE}, commit, and run again."
LONGEST_TIMEOUT_S = 6 * 3600
LARGEST = 100_000
MOST_CHECKS = 100
MOST_AT_ONCE = 100
# A dotted key of n parts costs n² steps to read, and is a table in a table in a table.
MOST_DOTS = 100
LONGEST_PATH = 1000

_TOP_KEYS = (
    *("folder", "node", "image", "install", "install_timeout", "dockerfile", "context"),
    *("health", "migration", "checks_at_once", "checks"),
)
_PATH_KEYS = ("folder", "dockerfile", "context")
_CHECK_KEYS = (
    *("command", "timeout", "required", "may_fail"),
    *("services", "environment", "skip", "audit_level", "browser", "image", "alone"),
)
_HEALTH_KEYS = ("path", "revision")
# The environment decides what the pipeline's own scanners do, not the code that they judge.
_SCANNER_KEYS = ("timeout", "audit_level")
# Names of logs, homes and folders that the pipeline itself makes in a run.
_OUR_NAMES = (
    *("install", "codecov", "secrets", "npm-audit", "snyk", "scanned", "build-context"),
    *("stop", "owner", "release-build", "npm-settings", "smoke-test", "metadata"),
    "image-build",
)
_CHECK_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_URL_PATH = re.compile(r"/[A-Za-z0-9._~/%-]{0,200}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OUR_VARIABLES = re.compile(r"KANVARO_.*|PATH|HOME|TMPDIR|LD_.*", re.IGNORECASE)
# https://github.com/distribution/reference: a name, and a tag, a digest or both.
_IMAGE = re.compile(
    r"[a-z0-9][a-z0-9._:/-]{0,200}(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})(?:@sha256:[0-9a-f]{64})?"
    r"|[a-z0-9][a-z0-9._:/-]{0,200}@sha256:[0-9a-f]{64}"
)
_TIMEOUT = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")
# New values of a check's fields, or of the table's, by the field's name.
Changes = dict[str, Any]
_RUNS_A_SCRIPT = re.compile(r"(?:npm|pnpm|yarn) run(?:-script)? ([^\s-]\S*)(?: .*)?", re.DOTALL)


def parse_table(text: str, default: StageTable) -> StageTable:
    """Change the `default` table as the text of a `delivery.toml` says.

    Raises `ConfigurationError`, naming the key, for anything not understood.
    """
    if len(text) > LARGEST:
        raise _unreadable(f"has {len(text)} characters; {LARGEST} are read")
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise _unreadable(f"is nested too deeply: a line has more than {MOST_DOTS} dots")
    try:
        written = tomllib.loads(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"))
        return _changed(written, default)
    except RecursionError as error:
        raise _unreadable("is nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(f"is not valid TOML: {error}") from error
    except ValueError as error:  # Python reads and writes numbers of up to 4,300 digits
        raise _unreadable("holds a number of thousands of digits") from error


def _unreadable(why: str) -> ConfigurationError:
    return ConfigurationError(f"{FILE} {cut(why, LONGEST_REASON)}", hint=_HINT)


def _changed(written: dict[str, Any], default: StageTable) -> StageTable:
    refuse_unknown_keys(written, _TOP_KEYS, "")
    changes: Changes = {}
    if "node" in written:
        changes["node"] = _node(written["node"])
    if "image" in written:
        changes["image"] = _image(written["image"], "image")
    if "install" in written:
        changes["install"] = _command(written["install"], "install")
    if "install_timeout" in written:
        changes["install_timeout_s"] = _timeout(written["install_timeout"], "install_timeout")
    changes |= {key: _path(written[key], key) for key in _PATH_KEYS if key in written}
    if "migration" in written:
        changes["migration"] = _migration(written["migration"])
    if "checks_at_once" in written:
        changes["checks_at_once"] = _at_once(written["checks_at_once"])
    if "health" in written:
        changes |= _health(written["health"])
    changes["checks"] = _checks(written.get("checks", {}), default.checks)
    return replace(default, **changes)


def _health(written: Any) -> Changes:
    table = typed(written, dict, "health", "a table")
    refuse_unknown_keys(table, _HEALTH_KEYS, "health.")
    changes: Changes = {}
    if "path" in table:
        path = typed(table["path"], str, "health.path", 'a path in quotes, such as "/"')
        if not _URL_PATH.fullmatch(path):
            raise refused("health.path", f"{path!r} is not the path of an address")
        changes["health_path"] = path
    if "revision" in table:
        changes["answers_revision"] = typed(
            table["revision"], bool, "health.revision", "true or false"
        )
    return changes


def _checks(written: Any, default: tuple[Check, ...]) -> tuple[Check, ...]:
    tables = typed(written, dict, "checks", "a table")
    known = {check.name: check for check in default}
    if len(tables) > MOST_CHECKS:
        raise refused("checks", f"there are {len(tables)}; a run has at most {MOST_CHECKS}")
    for name, table in tables.items():
        if not _CHECK_NAME.fullmatch(name):
            raise refused(f"checks.{name}", "a check is named in a-z, 0-9 and `-`")
        if name in _OUR_NAMES:
            raise refused(f"checks.{name}", "the pipeline itself uses this name; choose another")
        path = f"checks.{name}"
        changes = _check(typed(table, dict, path, "a table"), path, known.get(name))
        if name not in known and "command" not in changes:
            similar = did_you_mean(name, known)
            raise refused(path, f"a new check needs a `command`{similar}")
        known[name] = replace(known.get(name, Check(name)), **changes)
    return tuple(known.values())


def _check(table: dict[str, Any], path: str, changed: Check | None) -> Changes:
    refuse_unknown_keys(table, _CHECK_KEYS, f"{path}.")
    scans = changed is not None and bool(changed.scanners)
    for key in table:
        if scans and key not in _SCANNER_KEYS:
            raise refused(f"{path}.{key}", "scanners are configured in the environment, not here")
        if key == "audit_level" and not scans:
            raise refused(f"{path}.{key}", "only the check of the scanners has a level")
    changes: Changes = {}
    for key, value in table.items():
        changes |= _READERS[key](value, f"{path}.{key}")
    if changed and "audit_level" in changes:
        _refuse_a_laxer_level(changes["audit_level"], changed.audit_level, path)
    if "command" in changes:
        # An author who names a script expects it to run, so its absence is an error.
        changes.setdefault("required", changes["script"] is not None)
    return changes


def _refuse_a_laxer_level(level: str, least: str, path: str) -> None:
    if AUDIT_LEVELS.index(level) > AUDIT_LEVELS.index(least):
        raise refused(
            f"{path}.audit_level",
            f"{level!r} is laxer than {least!r}, the environment's level; here it can only be made "
            "stricter",
        )


def _read_command(value: Any, path: str) -> Changes:
    command = _command(value, path)
    script = _RUNS_A_SCRIPT.fullmatch(" ".join(command))
    return {"command": command, "script": script and script[1], "other_names": ()}


def _read_services(value: Any, path: str) -> Changes:
    services = typed(value, list, path, "a list of names")
    for name in services:
        if name not in SERVICES:
            raise refused(path, f"unknown service {name!r}; there are {', '.join(SERVICES)}")
    return {"services": tuple(name for name in SERVICES if name in services)}


def _read_environment(value: Any, path: str) -> Changes:
    environment = typed(value, dict, path, "a table of strings")
    for name, content in environment.items():
        if not _VARIABLE.fullmatch(name):
            raise refused(f"{path}.{name}", "not the name of an environment variable")
        if _OUR_VARIABLES.fullmatch(name):
            raise refused(f"{path}.{name}", "this variable is set by the pipeline itself")
        typed(content, str, f"{path}.{name}", "a string in quotes")
        if "\0" in content:
            raise refused(f"{path}.{name}", "holds a zero byte")
    return {"environment": dict(environment)}


def _read_skip(value: Any, path: str) -> Changes:
    reason = typed(value, str, path, 'a reason in quotes, such as "no browser yet"').strip()
    if not reason:
        raise refused(path, "give a reason, which the summary shows")
    return {"skip": shortened(reason, LONGEST_REASON)}


def _read_audit_level(value: Any, path: str) -> Changes:
    if value not in AUDIT_LEVELS:
        raise refused(path, f"must be one of {', '.join(AUDIT_LEVELS)}, not {value!r}")
    return {"audit_level": value}


_READERS: dict[str, Callable[[Any, str], Changes]] = {
    "command": _read_command,
    "timeout": lambda value, path: {"timeout_s": _timeout(value, path)},
    "required": lambda value, path: {"required": typed(value, bool, path, "true or false")},
    "may_fail": lambda value, path: {"may_fail": typed(value, bool, path, "true or false")},
    "services": _read_services,
    "environment": _read_environment,
    "skip": _read_skip,
    "audit_level": _read_audit_level,
    "browser": lambda value, path: {"browser": typed(value, bool, path, "true or false")},
    "image": lambda value, path: {"image": _image(value, path)},
    "alone": lambda value, path: {"alone": typed(value, bool, path, "true or false")},
}


def _command(value: Any, path: str) -> tuple[str, ...]:
    try:
        return command_line(value)
    except ValueError as error:
        raise refused(path, str(error)) from error


def _timeout(value: Any, path: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str) and (match := _TIMEOUT.fullmatch(value.strip())):
        hours, minutes, rest = (int(part or 0) for part in match.groups())
        seconds = hours * 3600 + minutes * 60 + rest
    else:
        raise refused(path, f'must be whole seconds or a text such as "10m", not {value!r}')
    if not 1 <= seconds <= LONGEST_TIMEOUT_S:
        raise refused(path, f"must be between 1 s and {LONGEST_TIMEOUT_S // 3600} h")
    return seconds


def _path(value: Any, key: str) -> str:
    text = typed(value, str, key, "a path in quotes")
    if len(text) > LONGEST_PATH:
        raise refused(key, f"has {len(text)} characters; a path has at most {LONGEST_PATH}")
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text:
        raise refused(key, f"{text!r} leaves the repository")
    if not text.isprintable() or text.startswith("-") or ".git" in path.parts:
        raise refused(key, f"{text!r} is not a path of an application")
    return str(path)


def _image(value: Any, path: str) -> str:
    text: str = typed(value, str, path, 'a container image in quotes, such as "node:22-bookworm"')
    if not _IMAGE.fullmatch(text):
        raise refused(path, f"{text[:80]!r} is not the name of a container image with a tag")
    return text


def _migration(value: Any) -> str:
    try:
        return Migration(value)
    except ValueError:
        kinds = ", ".join(f'"{kind}"' for kind in Migration)
        raise refused("migration", f"must be one of {kinds}, not {value!r}") from None


def _at_once(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_AT_ONCE:
        raise refused("checks_at_once", f"must be a number from 1 to {MOST_AT_ONCE}")
    return value


def _node(value: Any) -> str:
    range_: str = typed(value, str, "node", 'a version in quotes, such as "20" or ">=20 <23"')
    if not is_readable_range(range_):
        raise refused("node", f'cannot read {range_!r}; write "20", "20.11", "^20.9 || >=22", …')
    return range_.strip()
