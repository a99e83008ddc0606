"""The audit: ask the package manager which locked packages have known vulnerabilities.

The package manager sees manifests and lockfiles of the commit, and nothing else: the code that is
audited must not steer the audit by an `.npmrc`, a `.yarnrc.yml`, a plugin or a committed Yarn.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import yaml

from delivery.checks.audit_readers import read_npm_audit, read_yarn_npm_audit
from delivery.checks.scans import ScannerReport, did_not_run
from delivery.errors import ConfigurationError, RequestRefused
from delivery.text import shortened
from delivery.workspace.package_json import for_an_audit
from delivery.workspace.packages import LOCKFILES, Manager
from tasks.checks.scanners import ScanContext, cut_short, is_larger, regular_files
from tasks.workspace.committed import LARGEST_FILE

# npm's own retries can last longer than a check may take. In milliseconds.
_IMPATIENT = {
    "npm_config_fetch_retries": "2",
    "npm_config_fetch_retry_mintimeout": "500",
    "npm_config_fetch_retry_maxtimeout": "4000",
    "YARN_HTTP_RETRY": "2",
}
_LARGEST_SETTINGS = 200_000
LONGEST_SHOWN = 200
_YARN_SETTINGS = ".audit.yarnrc.yml"
# Settings of Yarn that decide what is in its lockfile.
_OF_THE_LOCKFILE = ("packageExtensions", "catalog", "catalogs")


def audit(
    context: ScanContext, manager: Manager, level: str = "moderate", registry: str | None = None
) -> ScannerReport:
    """Ask the package manager which locked packages have known vulnerabilities.

    `registry` is the address of an advisory server, which only this question goes to.
    """
    if not manager.published:
        return did_not_run("npm-audit", f"it is not known which version of {manager.name} to ask")
    try:
        with _manifests(context, manager.root) as (folder, cache):
            # npm remembers advisories in its cache, also those of another server.
            extra = {
                **_IMPATIENT,
                **_yarn_settings(manager, registry),
                "npm_config_cache": str(cache),
            }
            argv = (*manager.published, *_question(manager, level, registry))
            answered = context.ask("npm-audit", argv, folder, extra)
    except (ConfigurationError, RequestRefused) as error:
        return did_not_run("npm-audit", str(error))
    if ended := cut_short(answered, context.timeout_s):
        return did_not_run("npm-audit", ended)
    if manager.name == "yarn-berry":
        return read_yarn_npm_audit(answered.text, answered.outcome.exit_code, level)
    return read_npm_audit(answered.text, level)


def _question(manager: Manager, level: str, registry: str | None) -> tuple[str, ...]:
    """Return the arguments; the registry is an option, since `npx` has a setting of its own."""
    asked = ("--registry", registry) if registry else ()
    if manager.name == "yarn-berry":
        # A deprecated package is no vulnerability; older versions of Yarn do not look for them.
        only = ("--no-deprecations",) if _is_yarn_4(manager) else ()
        return ("npm", "audit", "--json", "--all", "--recursive", *only)
    if manager.name == "yarn":
        return ("audit", "--json", "--level", level, *asked)
    if manager.name == "pnpm":
        return ("audit", "--json", "--audit-level", level, *asked)
    kinds = ("--include=prod", "--include=dev", "--include=optional", "--include=peer")
    return ("audit", "--json", "--audit-level", level, "--loglevel=silent", *kinds, *asked)


def _yarn_settings(manager: Manager, registry: str | None) -> dict[str, str]:
    settings = {"YARN_RC_FILENAME": _YARN_SETTINGS, "YARN_IGNORE_PATH": "1"}
    if registry is None or manager.name != "yarn-berry":
        return settings
    # Yarn 4 has a setting for audits; older versions ask the registry that they publish to.
    asked = "YARN_NPM_AUDIT_REGISTRY" if _is_yarn_4(manager) else "YARN_NPM_PUBLISH_REGISTRY"
    settings |= {asked: registry, "YARN_NPM_REGISTRY_SERVER": registry}
    if registry.startswith("http://"):
        settings["YARN_UNSAFE_HTTP_WHITELIST"] = urlsplit(registry).hostname or ""
    return settings


def _is_yarn_4(manager: Manager) -> bool:
    older = ("cli-dist@2.", "cli-dist@3.")
    return not any(each in word for word in manager.published for each in older)


@contextmanager
def _manifests(context: ScanContext, root: str) -> Iterator[tuple[Path, Path]]:
    """Make a tree of manifests and lockfiles only; yield its folder `root`, and an empty cache.

    Raises `ConfigurationError` for a manifest that cannot be read.
    """
    with TemporaryDirectory(dir=context.logs, prefix="npm-audit-") as made:
        tree, cache = Path(made, "tree"), Path(made, "cache")
        (tree / root).mkdir(parents=True)
        for path in regular_files(context.tree):
            reduced = _reduced(context.tree, path)
            if reduced is not None:
                copy = tree / path
                if path.name == ".yarnrc.yml":
                    copy = copy.with_name(_YARN_SETTINGS)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(reduced)
        yield tree / root, cache


def _reduced(tree: Path, path: Path) -> str | None:
    """Return what an audit needs of a file of the tree, or None if it needs nothing."""
    if path.name not in ("package.json", ".yarnrc.yml", *LOCKFILES):
        return None
    shown = shortened(str(path), LONGEST_SHOWN)
    if is_larger(tree / path, LARGEST_FILE):
        raise ConfigurationError(f"{shown} is larger than {LARGEST_FILE // 10**6} MB")
    text = (tree / path).read_text(errors="replace")
    if path.name == "package.json":
        return for_an_audit(text, shown)
    return _of_the_lockfile(text, shown) if path.name == ".yarnrc.yml" else text


def _of_the_lockfile(text: str, path: str) -> str:
    if len(text) > _LARGEST_SETTINGS:
        raise ConfigurationError(f"{path} has {len(text)} characters, too many for settings")
    try:
        # As Yarn reads it: every scalar is text. Merges (`<<: *a`), which could double a mapping
        # with each line, and numbers of any length are texts, too.
        written = yaml.load(text, yaml.BaseLoader)  # noqa: S506  it makes texts, lists and dicts
        settings: Mapping[str, object] = written if isinstance(written, dict) else {}
        return yaml.safe_dump({key: settings[key] for key in _OF_THE_LOCKFILE if key in settings})
    except RecursionError:
        raise ConfigurationError(f"{path} is not valid YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(f"{path} is not valid YAML") from error
