"""Run git without a shell, hooks, prompts or any settings but those of this module."""

import fcntl
import os
import re
import signal
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, cast
from urllib.parse import urlsplit

from delivery.errors import (
    AccessDenied,
    DeliveryError,
    RequestRefused,
    TimedOut,
    UnknownRevision,
)
from delivery.github.answers import known_reason
from delivery.patience import Patience, wait_until
from delivery.text import shortened
from delivery.workspace.git_objects import CommittedFile

LONGEST_FETCH_S = 900.0
LONGEST_LOCAL_S = 300.0
MOST_FILES, MOST_LISTED = 200_000, 100_000_000
BLOCK = 1 << 20

_WORKER_MAY_GIVE = ("PATH", "HOME", "SSH_AUTH_SOCK", "GIT_SSL_CAINFO", "SSL_CERT_FILE")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_CREDENTIAL_NAMES = re.compile(r"GIT_CONFIG_(?:COUNT|KEY_\d+|VALUE_\d+)|SSH_AUTH_SOCK")
_SETTINGS = """\
[core]
\thooksPath = /dev/null
\tfsmonitor = false
\tsymlinks = true
\tautocrlf = false
[protocol "ext"]
\tallow = never
[uploadpack]
\tallowAnySHA1InWant = true
[http]
\tlowSpeedLimit = 1000
\tlowSpeedTime = 60
[gc]
\tauto = 0
[maintenance]
\tauto = false
[advice]
\tdetachedHead = false
[init]
\tdefaultBranch = main
[safe]
\tdirectory = *
"""

_DENIED = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|Permission denied"
    r"|returned error: 40[13]|HTTP 40[13]|Host key verification failed|access denied"
    r"|terminal prompts disabled|Invalid username or (?:password|token)",
    re.IGNORECASE,
)
_ABSENT = re.compile(
    r"does not appear to be a git repository|[Rr]epository .{0,500}not found|returned error: 404"
    r"|does not exist|not a git repository|[Nn]o such file or directory|Not Found",
)
_REFUSED_OBJECT = re.compile(r"not our ref|unadvertised object|couldn't find remote ref|bad object")


_LONGEST_SAID = 300

# On the command line, too: whatever becomes of the file with the settings.
NO_HOOKS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")


class GitFailed(Exception):
    """Git ended with an error; the text is its output, which `verdict_about` judges.

    What a remote says is part of that text: it may explain, but never decide what happens here.
    """

    def __init__(self, output: str, code: int) -> None:
        super().__init__(output)
        self.code = code


def run_git(
    *arguments: str,
    folder: Path | None = None,
    settings: Path,
    extra: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout_s: float = LONGEST_LOCAL_S,
) -> bytes:
    """Run git, which reads `stdin`, and return what it wrote.

    `settings` is the file made by `write_settings`; `extra` is added to the environment, which
    otherwise has only the worker's path, home, certificates, proxies and ssh agent. Raises
    `GitFailed`, and `TimedOut` after `timeout_s` seconds.
    """
    at = ["-C", str(folder)] if folder else []
    # If this repository is broken, git must not find one further up: a prune would change that one.
    ceiling = {"GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)} if folder else {}
    running = subprocess.Popen(
        ["git", *NO_HOOKS, *at, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**_environment(settings), **ceiling, **(extra or {})},
        start_new_session=True,
    )
    try:
        output, complaint = running.communicate(stdin, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise TimedOut(
            f"git {arguments[0]} was stopped after {timeout_s:g} s",
            hint="Check that the repository's server answers, then run again.",
        ) from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    if running.returncode != 0:
        raise GitFailed(complaint.decode(errors="replace").strip(), running.returncode)
    return output


@contextmanager
def git_stream(
    *arguments: str,
    settings: Path,
    extra: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
    timeout_s: float = LONGEST_LOCAL_S,
) -> Iterator[IO[bytes]]:
    """Run git as `run_git` does, and yield what it writes as a stream, to be read to its end.

    Raises `GitFailed` at the end of the block if git failed, or was stopped after `timeout_s`.
    """
    with TemporaryFile() as complaint:
        running = subprocess.Popen(
            ["git", *NO_HOOKS, *arguments],
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaint,
            env={**_environment(settings), **(extra or {})},
            start_new_session=True,
        )
        timer = threading.Timer(timeout_s, running.kill)
        timer.daemon = True
        timer.start()
        try:
            yield cast(IO[bytes], running.stdout)
            if running.wait(timeout_s) != 0:
                complaint.seek(0)
                words = complaint.read(BLOCK).decode(errors="replace").strip()
                raise GitFailed(words, running.returncode)
        finally:
            timer.cancel()
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.communicate()


def list_tree(
    revision: str, *, settings: Path, extra: Mapping[str, str] | None = None
) -> list[CommittedFile]:
    """Return all files and submodules of a commit, in git's order.

    A tree of a million files can be made of a few kilobytes, by naming one folder many times. So
    reading ends at a limit, with `RequestRefused`.
    """
    found: list[CommittedFile] = []
    read, rest = 0, b""
    with git_stream(
        "ls-tree", "-rlz", "--full-tree", revision, settings=settings, extra=extra
    ) as listed:
        while chunk := listed.read1(BLOCK):  # type: ignore[attr-defined]
            read += len(chunk)
            *lines, rest = (rest + chunk).split(b"\0")
            found += map(_listed_file, lines)
            if len(found) > MOST_FILES or read > MOST_LISTED:
                raise RequestRefused(
                    f"the commit {revision[:10]} has more than {MOST_FILES} files, or very long "
                    "paths",
                    hint="Larger trees are not checked out: is a folder committed by mistake?",
                )
    return found


def _listed_file(line: bytes) -> CommittedFile:
    about, _, path = line.partition(b"\t")
    mode, _, oid, size = about.decode().split()
    return CommittedFile(path, mode, oid, int(size) if size != "-" else 0)


def credentials_env(url: str, token: str) -> dict[str, str]:
    """Return the variables that let git read `url` over https with a GitHub token.

    The token is bound to that server, and is never part of an argument list or a file.
    """
    parts = urlsplit(url)
    basic = b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{parts.scheme}://{parts.netloc}/.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
    }


def checked_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the credentials of a fetch. Raises `ValueError` if they would change what git does."""
    for name, value in environment.items():
        steers_git = name.startswith("GIT_CONFIG_KEY_") and not re.fullmatch(
            r"(?:http\.(?:https?://[^\s]+\.)?extraheader|credential\.\S+)", value, re.IGNORECASE
        )
        if not _CREDENTIAL_NAMES.fullmatch(name) or steers_git:
            raise ValueError(f"{name} is not a credential of git")
    return dict(environment)


def write_settings(path: Path) -> Path:
    """Write the only settings file that git reads; harmless to repeat."""
    if not path.exists() or path.read_text() != _SETTINGS:
        temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
        temporary.write_text(_SETTINGS)
        temporary.replace(path)
    return path


def verdict_about(repository: str, failure: GitFailed) -> DeliveryError | None:
    """Say why the repository could not be read; None when git's words do not decide it."""
    output = str(failure)
    said = _of_the_server(output)
    if known := known_reason(said):
        return AccessDenied(f"{repository} cannot be read: {known[0]} ({said})", hint=known[1])
    if _DENIED.search(output):
        return AccessDenied(
            f"{repository} refused our credentials, or wants some{f': {said}' if said else ''}",
            hint="Check that the token or key of the environment may read this repository.",
        )
    if _REFUSED_OBJECT.search(output):
        return None
    if _ABSENT.search(output):
        return UnknownRevision(
            f"there is no repository at {repository}, or we may not see it",
            hint="Check the address; a private repository also needs credentials.",
        )
    return None


def _of_the_server(output: str) -> str:
    """Return what the server said in words, in one line; git shows that of HTTP as `remote: …`."""
    lines = [line.strip() for line in output.splitlines()]
    found = [line.partition(": ")[2] for line in lines if line.startswith(("remote: ", "ERROR: "))]
    return shortened(" ".join(found), _LONGEST_SAID)


def last_words(failure: GitFailed) -> str:
    """Return the last line that git wrote, at most 300 characters."""
    return (str(failure).splitlines() or ["nothing"])[-1][:300]


@contextmanager
def locked(path: Path, patience: Patience) -> Iterator[None]:
    """Hold the lock file at `path`, against other processes and other threads.

    The kernel frees the lock when its holder ends, however it ends. Raises `TimedOut`.
    """
    with path.open("a") as file:

        def try_it() -> str:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return "another run is fetching"
            return "free"

        wait_until(try_it, lambda seen: seen == "free", patience, what=f"the lock {path.name}")
        yield


def _environment(settings: Path) -> dict[str, str]:
    given = {
        name: os.environ[name] for name in (*_WORKER_MAY_GIVE, *_PROXIES) if name in os.environ
    }
    return {
        **given,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(settings),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_ALLOW_PROTOCOL": "https:http:ssh:file",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=20",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_TEMPLATE_DIR": "",
        "GIT_ADVICE": "0",
    }
