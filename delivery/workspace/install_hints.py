"""Explain why an installation failed, with the line that usually helps."""

import re
from collections.abc import Iterable

_IGNORE_SCRIPTS = 'install = "npm ci --ignore-scripts"'
_CODE = re.compile(r"\b(?:npm (?:ERR!|error) code |YN|ERR_PNPM_)(\w+)")
_NO_NETWORK = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|getaddrinfo|tunneling socket"
    r"|(?:status(?: ?code)?:?|HTTP/?[\d.]*|Response code|error:?|returned) \(?(?:403|404|405|407)"
    r"|40[345] (?:Forbidden|Not Found|Method Not Allowed)|[Ff]ailed to download|download failed"
    r"|fetch failed|self[- ]signed certificate|unable to get local issuer",
)
_DOWNLOADERS = re.compile(
    r"node-gyp|prebuild-install|node-pre-gyp|electron|puppeteer|cypress|playwright|sharp|canvas"
    r"|mongodb-memory-server|esbuild|sqlite3|bcrypt|chromedriver|geckodriver|postinstall"
    r"|install\.js|sentry-cli|swc",
    re.IGNORECASE,
)
_NPM_CODE = re.compile(r"\bnpm (?:ERR!|error) code (\w+)")
_PASSING_CODE = re.compile(
    r"E5\d\d|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ESOCKETTIMEDOUT|ERR_SOCKET_TIMEOUT"
)
# How pnpm and Yarn say that they gave a request up.
_WARNING = re.compile(r"\bWARN")
_PASSING = re.compile(r"ERR_PNPM_FETCH_5\d\d|ERR_PNPM_META_FETCH_FAIL")
# One of these, and a reason after it in the same line. Two searches: a single pattern would begin
# the second one anew for each find of the first, and the lines are a stranger's.
_REQUEST = re.compile(
    r"YN\d{4}:|RequestError|Response Code|\berror\b|FetchError|request to",
)
_PASSING_REASON = re.compile(
    r"\b5\d\d\b (?:Internal|Bad|Service|Gateway)|Code.{0,12}\b5\d\d\b"
    r"|E(?:SOCKET)?TIMEDOUT|ECONNRESET|EAI_AGAIN|socket hang up"
)
_PACKAGE = re.compile(r"((?:@[\w.-]+/)?[\w.-]+)")
_SCRIPT_FAILED = re.compile(
    r"npm (?:ERR!|error) (?:command failed|path )|ELIFECYCLE"
    r"|gyp ERR!|YN0009|couldn't be built successfully"
)
_NPM_ERROR = re.compile(r"npm (?:ERR!|error) ")
_POSTINSTALL = re.compile(r"\bpostinstall\b")
_EXIT_CODE = re.compile(r"exit code \d+")
_FOLDER = re.compile(r"node_modules")


def explain_install_failure(lines: Iterable[str]) -> str | None:
    """Return the hint that fits the last lines of a failed installation, or None."""
    text = "\n".join(lines)
    codes = set(_CODE.findall(text))
    if "ENOSPC" in text:
        return "The disk is full: make room in the workspace and cache folders, then run again."
    if "ERESOLVE" in codes:
        return (
            "Peer dependencies contradict each other. Correct package.json, or accept them in "
            'delivery.toml: install = "npm ci --legacy-peer-deps"'
        )
    if _out_of_sync(text, codes):
        return "The lockfile does not match package.json: run the install locally and commit it."
    if _script_failed(text) and (_NO_NETWORK.search(text) or "gyp ERR!" in text):
        return _script_hint(text)
    if codes & {"E401", "E403", "ENEEDAUTH", "EOTP"} or "ERR_PNPM_FETCH_40" in text:
        return (
            "The package registry refused access: check its credentials on this machine "
            "and the registry that .npmrc names."
        )
    if "EBADENGINE" in codes or "ERR_PNPM_UNSUPPORTED_ENGINE" in text:
        return (
            "A package refuses this Node version: install the Node version it asks for, or "
            "name the one you want in delivery.toml (`node`)."
        )
    if codes & {"E404", "ETARGET"}:
        return "A package or version is not in the registry: was it published, and to this one?"
    if "EINTEGRITY" in codes:
        return (
            "A package is not what the lockfile says it was. Find out why before you run "
            "`npm install` and commit the new lockfile."
        )
    if _NO_NETWORK.search(text):
        return "The package registry was not reached: check network and proxy, then run again."
    return None


def is_worth_another_try(lines: Iterable[str]) -> bool:
    """Return whether an installation failed because of a passing fault of the registry.

    A download that an install script could not do is no such fault: its file may not exist at all.
    """
    text = "\n".join(lines)
    if _script_failed(text):
        return False
    # npm names the reason last; errors that it names before may be ones it recovered from.
    if codes := _NPM_CODE.findall(text):
        return bool(_PASSING_CODE.fullmatch(codes[-1]))
    return any(_is_passing(line) for line in text.splitlines())


def _is_passing(line: str) -> bool:
    if _WARNING.search(line):
        return False
    return bool(_PASSING.search(line)) or _follows(_REQUEST, _PASSING_REASON, line)


def _script_failed(text: str) -> bool:
    return bool(_SCRIPT_FAILED.search(text)) or any(
        _follows(_NPM_ERROR, _POSTINSTALL, line) or _follows(_EXIT_CODE, _FOLDER, line)
        for line in text.split("\n")
    )


def _follows(first: re.Pattern[str], second: re.Pattern[str], line: str) -> bool:
    """Return whether `second` is found after the first find of `first`."""
    found = first.search(line)
    return bool(found and second.search(line, found.end()))


def _out_of_sync(text: str, codes: set[str]) -> bool:
    return (
        ("EUSAGE" in codes and "in sync" in text)
        # npm's explanation is so long that the reason may not be in the last lines any more.
        or 'npm error Run "npm help ci" for more info' in text
        or "ERR_PNPM_OUTDATED_LOCKFILE" in text
        or "lockfile needs to be updated" in text
        or "lockfile would have been modified" in text
    )


def _script_hint(text: str) -> str:
    where = re.search(r"npm (?:ERR!|error) path (.*)", text)
    named = _package_in(where[1] if where else text)
    if named is None and (tool := _DOWNLOADERS.search(text)):
        named = tool[0]
    whose = f"The install script of `{named}`" if named else "An install script"
    return (
        f"{whose} could not download or build what it needs. If the checks do without it, "
        f"add to delivery.toml: {_IGNORE_SCRIPTS}"
    )


def _package_in(text: str) -> str | None:
    """Return the package whose folder a line names, in the first line that names one."""
    for line in text.split("\n"):
        _, folder, rest = line.rpartition("node_modules/")
        if folder and (package := _PACKAGE.match(rest)):
            return package[1]
    return None
