"""Read what npm, pnpm and Yarn write about a failed installation."""

import re
from collections.abc import Iterable, Sequence

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
    r"npm (?:ERR!|error) command failed|ELIFECYCLE|gyp ERR!|YN0009:"
    r"|couldn't be built successfully|^error Command failed with exit code"
    r"|^error \S{1,400}: Command failed\.",
    re.MULTILINE,
)
_NPM_ERROR = re.compile(r"npm (?:ERR!|error) ")
_NPM_PATH = re.compile(r"npm (?:ERR!|error) path (.*)")
_POSTINSTALL = re.compile(r"\bpostinstall\b")
_EXIT_CODE = re.compile(r"exit code \d+")
_FOLDER = re.compile(r"node_modules")
_OF_YARN = re.compile(r"YN0009: │ ([^\s│]{1,300}) couldn't be built")
# A line that names the script that begins, by npm and pnpm; and by Yarn 1 the command alone.
_BANNER = re.compile(r"^> \S{1,300} (pre|post)?(install|prepare)(?: /\S{0,300})?$", re.MULTILINE)
_YARNS_BANNER = re.compile(r"^\$ (.{1,200})$", re.MULTILINE)
_YARNS_FAILURE = re.compile(r"^error Command failed with exit code", re.MULTILINE)
_GIT_ADDRESS = re.compile(
    r"ls-remote [^\n]{0,200}?((?:ssh|https?|git)://[^\s']{1,200})"
    r"|Repository URL: (\S{1,200})|unable to access '([^']{1,200})'"
)
_GIT_FAILED = re.compile(
    r"An unknown git error occurred|Failed listing refs|Command failed with exit code 128: git"
    r"|^Command: git$|unable to access '|Could not read from remote repository",
    re.MULTILINE,
)
# What npm writes about its use, and about a log that is gone with the container.
_USAGE = re.compile(r"npm (?:ERR!|error)\s+Clean install a project")
_OF_A_LOG = re.compile(r"npm (?:ERR!|error)\s+(?:A complete log of this run|/\S{1,400}-debug)")
_ONE_OF_MANY = re.compile(r"npm (?:ERR!|error)\s+(?:Missing|Invalid): ")
MOST_OF_ONE_KIND, MOST_LINES = 10, 60


def is_worth_another_try(lines: Iterable[str]) -> bool:
    """Return whether an installation failed because of a passing fault of the registry.

    A download that an install script could not do is no such fault: its file may not exist at all.
    """
    text = "\n".join(lines)
    if failed_script(text) is not None:
        return False
    # npm names the reason last; errors that it names before may be ones it recovered from.
    if codes := _NPM_CODE.findall(text):
        return bool(_PASSING_CODE.fullmatch(codes[-1]))
    return any(_is_passing(line) for line in text.splitlines())


def own_script(text: str) -> str:
    """Return the application's own install script that failed; empty if none did."""
    if not _SCRIPT_FAILED.search(text):
        return ""
    path = _NPM_PATH.search(text)
    if path and "node_modules/" in path[1]:
        return ""
    if begun := _BANNER.findall(text):
        return f"`{''.join(begun[-1])}` script"
    if _YARNS_FAILURE.search(text) and (commands := _YARNS_BANNER.findall(text)):
        return f"script `{commands[-1]}`"
    built = _OF_YARN.search(text)
    return "install script" if built and "@workspace:" in built[1] else ""


def failed_script(text: str) -> str | None:
    """Return the package whose install script failed, empty if it is not named; None: none did."""
    if not _script_failed(text):
        return None
    if built := _OF_YARN.search(text):
        return built[1].partition("@npm:")[0].partition("@file:")[0]
    path = _NPM_PATH.search(text)
    return _package_in(path[1] if path else text) or ""


def is_about_git(text: str) -> str:
    """Return the address of the git repository that could not be read; empty if it is not that."""
    if not _GIT_FAILED.search(text):
        return ""
    found = _GIT_ADDRESS.search(text)
    return next(filter(None, found.groups()), "") if found else "that is named"


def without_usage(lines: Sequence[str]) -> list[str]:
    """Leave out what npm writes about its use, all but some of many lines of a kind, and more.

    The reason stands before them. A log that npm names is gone with its container.
    """
    kept: list[str] = []
    of_one_kind = 0
    for line in lines:
        if _USAGE.match(line):
            break
        if _OF_A_LOG.match(line):
            continue
        of_one_kind += bool(_ONE_OF_MANY.match(line))
        if of_one_kind <= MOST_OF_ONE_KIND or not _ONE_OF_MANY.match(line):
            kept.append(line)
    if of_one_kind > MOST_OF_ONE_KIND:
        kept.append(f"… and {of_one_kind - MOST_OF_ONE_KIND} more of these")
    if len(kept) > MOST_LINES:
        head, tail = kept[: MOST_LINES // 3], kept[-MOST_LINES * 2 // 3 :]
        return [*head, f"… {len(kept) - len(head) - len(tail)} lines …", *tail]
    return kept


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


def _package_in(text: str) -> str | None:
    """Return the package whose folder a line names, in the first line that names one."""
    for line in text.split("\n"):
        _, folder, rest = line.rpartition("node_modules/")
        if folder and (package := _PACKAGE.match(rest)):
            return package[1]
    return None
