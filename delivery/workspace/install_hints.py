"""Explain why an installation failed, with the line that usually helps.

`HINTS` is a table whose first fitting row counts. Each row has a test, made of what npm, pnpm and
Yarn really write.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from delivery.workspace.install_failures import (
    failed_script,
    is_about_git,
    own_script,
)


class Hint(NamedTuple):
    """What a manager writes in one case, and the hint for it; `name` names the case."""

    name: str
    written: re.Pattern[str]
    text: str


_NODE = (
    "Name the Node version that it asks for: in .nvmrc, in `engines` of package.json, or in "
    'delivery.toml (node = "22").'
)
HINTS = (
    Hint(
        "full disk",
        re.compile(r"\bENOSPC\b"),
        "The disk is full: make room in the workspace and cache folders, then run again.",
    ),
    Hint(
        "peer dependencies",
        re.compile(r"npm (?:ERR!|error) code ERESOLVE"),
        "Peer dependencies contradict each other. Correct package.json, or accept them in "
        'delivery.toml: install = "npm ci --legacy-peer-deps"',
    ),
    Hint(
        "lockfile of another version",
        re.compile(r"Ignoring not compatible lockfile|ERR_PNPM_LOCKFILE_BREAKING_CHANGE"),
        "Another version of the manager wrote the lockfile: name that version in package.json "
        "(`packageManager`), or run the install locally with this one and commit the lockfile.",
    ),
    Hint(
        "no lockfile",
        re.compile(r"can only install with an existing package-lock|ERR_PNPM_NO_LOCKFILE"),
        "There is no lockfile in this folder: run the install locally and commit it.",
    ),
    Hint(
        "lockfile out of step",
        re.compile(
            r"package-lock\.json (?:or npm-shrinkwrap\.json )?are in sync"
            # npm's explanation is so long that the reason may not be in the last lines any more.
            r'|npm error Run "npm help ci" for more info'
            r"|ERR_PNPM_OUTDATED_LOCKFILE|ERR_PNPM_LOCKFILE_CONFIG_MISMATCH"
            r"|lockfile needs to be updated|YN0028:|lockfile would have been modified"
        ),
        "The lockfile does not match package.json: run the install locally and commit it.",
    ),
    Hint(
        "another manager",
        re.compile(
            r"This project is configured to use \w{1,20}|Invalid devEngines\.packageManager"
            r'|defines "packageManager": "[^"]{1,200}"\. However|Your pnpm version is incompatible'
        ),
        "package.json asks for another package manager, or another version of it, than the one "
        "that ran: let `packageManager` (or `devEngines`, `engines`) and the lockfile agree.",
    ),
    Hint(
        "the manager refuses Node",
        re.compile(r"requires at least Node\.js"),
        f"This version of the package manager refuses this Node version. {_NODE}",
    ),
    Hint(
        "a package refuses Node",
        re.compile(
            r"code EBADENGINE|Invalid devEngines\.runtime|ERR_PNPM_UNSUPPORTED_ENGINE"
            r'|The engine "node" is incompatible with this module'
        ),
        f"The application, or a package, refuses this Node version. {_NODE}",
    ),
    Hint(
        "no git",
        re.compile(r"syscall spawn git|spawn git ENOENT"),
        "A dependency comes from a git repository, and the image has no git: take an image with "
        "git in delivery.toml (`image`), or publish the package to a registry.",
    ),
    Hint(
        "access refused",
        re.compile(
            r"npm (?:ERR!|error) code (?:E401|E403|ENEEDAUTH|EOTP)\b|ERR_PNPM_FETCH_40[13]\b"
            r'|YN0041:|Response Code: 40[13]\b|Request failed "40[13] '
        ),
        "The package registry refused access: the container has no credentials but those that "
        ".npmrc commits. Check the registry that .npmrc names, and whether it is public.",
    ),
    Hint(
        "not in the registry",
        re.compile(
            r"npm (?:ERR!|error) code (?:E404|ETARGET)\b|ERR_PNPM_FETCH_404\b"
            r"|ERR_PNPM_NO_MATCHING_VERSION|Response Code: 404\b|YN0082:"
            r"""|Request failed "404 |Couldn't find any versions for """
        ),
        "A package or version is not in the registry: was it published, and to this one? A private "
        "registry says the same to those who may not see a package.",
    ),
    Hint(
        "integrity",
        re.compile(
            r"code EINTEGRITY|ERR_PNPM_TARBALL_INTEGRITY|YN0018:|Integrity check failed for"
        ),
        "A package is not what the lockfile says it was. Find out why before you run the install "
        "locally and commit the new lockfile.",
    ),
    Hint(
        "registry out of order",
        re.compile(
            r"npm (?:ERR!|error) code E5\d\d\b|ERR_PNPM_FETCH_5\d\d\b|Response Code: 5\d\d\b"
            r'|Request failed "5\d\d '
        ),
        "The package registry is out of order, and was asked twice: run again when it is well.",
    ),
    Hint(
        "registry not reached",
        re.compile(
            r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ESOCKETTIMEDOUT|getaddrinfo"
            r"|tunneling socket|fetch failed|ERR_PNPM_META_FETCH_FAIL"
            r"|self[- ]signed certificate|unable to get local issuer"
        ),
        "The package registry was not reached: check network and proxy, then run again.",
    ),
)
_BY_NAME = {hint.name: hint for hint in HINTS}
# Where a script failed, it may have written any of the other words.
_BEFORE_SCRIPTS = HINTS[: HINTS.index(_BY_NAME["access refused"])]


def explain_install_failure(
    lines: Iterable[str], install: Sequence[str] = ("npm", "ci")
) -> str | None:
    """Return the hint that fits the last lines of a failed `install`, or None."""
    text = "\n".join(lines)
    if found := _first(_BEFORE_SCRIPTS, text):
        return found
    without = _without_scripts(install)
    if script := own_script(text):
        return (
            f"The application's own {script} failed, which runs with every install. If the checks "
            f"do without it, {without}"
        )
    if (package := failed_script(text)) is not None:
        whose = f"The install script of `{package}`" if package else "An install script"
        return (
            f"{whose} failed: it could not download or build what it needs. If the checks do "
            f"without it, {without}"
        )
    if host := is_about_git(text):
        return (
            f"A dependency comes from the git repository {host}, which could not be read. The "
            "container has no key or token: publish the package to a registry, or check the "
            "network and the address."
        )
    return _first(HINTS, text)


def _first(hints: Iterable[Hint], text: str) -> str | None:
    return next((hint.text for hint in hints if hint.written.search(text)), None)


def _without_scripts(install: Sequence[str]) -> str:
    """Say how scripts are left out; the option of Yarn is another one from version 2 on."""
    if not any(manager in word for word in install for manager in ("npm", "yarn")):
        return "leave scripts out of what delivery.toml gives as `install`"
    option = "--mode=skip-build" if "--immutable" in install else "--ignore-scripts"
    return f'add to delivery.toml: install = "{" ".join((*install, option))}"'
