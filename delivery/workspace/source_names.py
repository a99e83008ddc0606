"""Check names of repositories, refs and revisions that come from outside.

Repositories and revisions have an allow-list: git itself accepts `ext::sh -c …` as a repository. A
branch may have whatever name git allows and a page can show, such as `fix/#123` or
`feature/ümlaut`: no shell ever reads it, and it never begins an argument.
"""

import os
import re
from urllib.parse import urlsplit

from delivery.errors import RequestRefused
from delivery.text import quoted

# The forms of flow parameters, for JSON schemas; the functions below check more than these.
REVISION = r"^[0-9a-f]{7,40}$"
# A revision, an image's tag or digest, or the word `previous`.
VERSION = r"^(sha256:[0-9a-f]{64}|[A-Za-z0-9_][A-Za-z0-9._-]{0,127})$"
REF = r"^[^-./\s~^:?*\[\\][^\s~^:?*\[\\]*$"
REPOSITORY = (
    r"^(|(https?|file)://[^@\s]+|ssh://([^:@/\s]+@)?[^@\s]+|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^@:\s]+"
    r"|[^-:\s][^:]*)$"
)

_REF = re.compile(r"refs/(?:heads|tags)/[^\s~^:?*\[\\]+")
# https://git-scm.com/docs/git-check-ref-format
_FORBIDDEN_IN_REF = re.compile(r"^[-/]|\.\.|//|@\{|/$|\.$|(?:^|/)\.|\.lock(?:/|$)")
_REVISION = re.compile(r"[0-9a-f]{7,40}")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?")
_URL_PATH = re.compile(r"/[A-Za-z0-9._~/+%@-]+")
_SCP_LIKE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*@([A-Za-z0-9.-]+):([A-Za-z0-9._~/+][^\s:]*)")
# A ref is a path of files to git, which takes 4,096 bytes with the folder before it.
LONGEST_REF = 1000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def full_ref(ref: str) -> str:
    """Write a branch in full: `main` becomes `refs/heads/main`; tags have to be in full already.

    Raises `RequestRefused` for anything that is not certainly a branch or tag.
    """
    candidate = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
    name = candidate.split("/", 2)[-1]
    if (
        len(os.fsencode(candidate)) > LONGEST_REF
        or not candidate.isprintable()
        or not _REF.fullmatch(candidate)
        or _FORBIDDEN_IN_REF.search(name)
        or name == "@"
    ):
        raise RequestRefused(
            f"{quoted(ref)} is not the name of a branch or tag",
            hint="Write refs/heads/<branch> or refs/tags/<tag>; git allows no space and none of "
            "~ ^ : ? * [ \\ in it.",
        )
    return candidate


def is_revision(text: str) -> bool:
    """Return whether `text` could be a commit's SHA, whole or shortened."""
    return bool(_REVISION.fullmatch(text))


def plain_revision(revision: str) -> str:
    """Return a commit's SHA, 7 to 40 hexadecimal digits, in lower case. Raises `RequestRefused`."""
    candidate = revision.lower()
    if not _REVISION.fullmatch(candidate):
        raise RequestRefused(
            f"{quoted(revision)} is not a revision",
            hint="Give the commit's SHA, 7 to 40 hexadecimal digits; a branch goes into `ref`.",
        )
    return candidate


def repository_address(repository: str) -> str:
    """Accept an https, ssh or file URL, `git@host:path`, or a local path, and return it unchanged.

    Raises `RequestRefused`, which does not repeat a password found in a URL.
    """
    if not repository or not repository.isprintable() or repository != repository.strip():
        raise _refused(repository, "holds white space at its ends, or nothing")
    if repository.startswith("-") or "::" in repository.split("/")[0].split("[")[0]:
        raise _refused(repository, "is neither a URL nor a path")
    if "://" in repository:
        _check_url(repository)
    elif "@" in repository.split("/")[0] and ":" in repository and not is_path(repository):
        match = _SCP_LIKE.fullmatch(repository)
        if match is None or not _HOST.fullmatch(match[1]):
            raise _refused(repository, "is not of the form git@host:path")
    elif ":" in repository.split("/")[0]:
        raise _refused(repository, "is neither a URL nor a path")
    return repository


def is_on_github(repository: str, api: str) -> bool:
    """Return whether a repository is on the GitHub whose REST API has the address `api`.

    With https://api.github.com goes https://github.com; GitHub Enterprise has both on one host.
    """
    site = urlsplit(api).netloc
    return repository.startswith(f"https://{'github.com' if site == 'api.github.com' else site}/")


def is_path(repository: str) -> bool:
    """Return whether `repository` names a folder of this machine, rather than a server."""
    return repository.startswith(("/", "./", "../", "~")) or (
        "://" not in repository and ":" not in repository.split("/")[0]
    )


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, user, password = parts.hostname or "", parts.username, parts.password
        host_and_port = parts.netloc.rpartition("@")[2]
    except ValueError as error:
        raise _refused("that URL", "cannot be read") from error
    if password is not None or (user is not None and parts.scheme != "ssh"):
        raise RequestRefused(
            "the repository's URL holds a user name or password",
            hint="Take them out of the URL, revoke them, and give a GitHub credentials block.",
        )
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise _refused(url, "would be read without encryption; use https")
    if parts.scheme not in ("https", "http", "ssh", "file"):
        raise _refused(url, f"uses `{parts.scheme}`; https, ssh and file are understood")
    if user is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", user):
        raise _refused(url, "has a strange user name")
    if parts.query or parts.fragment:
        raise _refused(url, "holds a query or fragment")
    if parts.scheme == "file":
        if host_and_port not in ("", "localhost") or not parts.path.startswith("/"):
            raise _refused(url, "must be of the form file:///path")
    elif not _HOST.fullmatch(host_and_port) or not _URL_PATH.fullmatch(parts.path):
        raise _refused(url, "names no repository on a host")


def _refused(repository: str, why: str) -> RequestRefused:
    return RequestRefused(
        f"the repository {quoted(repository)} {why}",
        hint="Give an https or ssh URL, git@host:path, or the path of a local repository.",
    )
