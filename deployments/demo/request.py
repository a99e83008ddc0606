"""Resolve what a person requested from `make ci`: a repository, a revision and a ref.

This happens before anything is started, so that bad input costs only a second.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from delivery.checks.plan import CheckPlan
from delivery.checks.refusals import FILE
from delivery.errors import DeliveryError, RequestRefused, UnknownRevision
from delivery.workspace.source_names import full_ref, is_path, plain_revision, repository_address
from tasks.checks.image_files import dockerfile_of
from tasks.checks.plan import plan_of
from tasks.workspace.checkout import Source, check_out, remove_workspace
from tasks.workspace.committed import read_committed
from tasks.workspace.git import GitFailed, run_git, verdict_about, write_settings
from tasks.workspace.mirrors import Mirror, find_commit, mirror_of

USAGE = (
    "make ci REPOSITORY=path-or-URL [REVISION=commit, branch or tag] [REF=branch or tag] "
    "[DELIVERY=path of a delivery.toml]"
)
DEFAULT_BRANCH = "refs/heads/main"
_NEVER_A_PROGRAM = {  # `git status` would run the program that a repository's own settings name
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "core.fsmonitor",
    "GIT_CONFIG_VALUE_0": "false",
}


@dataclass(frozen=True)
class CiRequest:
    """What to run: an address, a full SHA, the ref it is on, and remarks about them.

    `deploy_ref` is the branch that would be deployed, if REF named another one: checks only.
    """

    repository: str
    revision: str
    ref: str
    remarks: tuple[str, ...] = ()
    deploy_ref: str = ""


class Head(NamedTuple):
    """The commit and the branch that a repository's HEAD names, as far as they exist."""

    commit: str | None
    branch: str | None


@dataclass(frozen=True)
class Preview:
    """The plan of the revision's checks, and its Dockerfile's text."""

    plan: CheckPlan
    dockerfile: str | None


def resolve(repository: str, revision: str, ref: str, cache: Path) -> CiRequest:
    """Return the request as a commit on a ref; names are resolved here and never passed on.

    `cache` is the folder of the mirrors. Raises `RequestRefused`, `UnknownRevision`, `AccessDenied`
    or `TimedOut`.
    """
    if not repository:
        raise RequestRefused("no repository is named", hint=f"usage: {USAGE}")
    address = repository_address(repository)
    if is_path(address):
        address = _folder(address)
    requested_ref = full_ref(ref) if ref else None
    named = _checked(revision)
    with mirror_of(address, cache, {}) as mirror:
        _fetch(mirror)
        if not mirror.branches() and not (requested_ref and mirror.tip(requested_ref)):
            raise UnknownRevision(
                f"there are no commits on any branch of {address}",
                hint="Commit something there, then run again.",
            )
        head = _head(mirror)
        commit, on = _resolve(mirror, head, named, requested_ref)
    remarks = _uncommitted(address) if named in ("", "HEAD") else ()
    deployed = head.branch if requested_ref and head.branch != requested_ref else None
    if deployed:
        remarks += (f"REF names another branch than {deployed}, which HEAD names: checks only",)
    return CiRequest(address, commit, on, remarks, deployed or "")


def preview(
    request: CiRequest, delivery_toml: str | None, cache: Path, audit_level: str
) -> Preview:
    """Check the revision out temporarily, and return what would be run.

    Raises what `tasks.checks.plan.plan_checks` raises, and `RequestRefused` if the revision has a
    delivery.toml of its own besides the given one.
    """
    with tempfile.TemporaryDirectory(prefix="kanvaro-look-") as folder:
        checkout = Path(folder) / "source"
        source = check_out(
            request.repository, request.revision, request.ref, checkout, cache, fresh=False
        )  # fmt: skip
        try:
            return _preview(source, delivery_toml, audit_level)
        finally:
            remove_workspace(checkout)


def _preview(source: Source, delivery_toml: str | None, audit_level: str) -> Preview:
    if delivery_toml is not None and read_committed(source, FILE) is not None:
        raise RequestRefused(
            f"the revision brings its own {FILE}, so DELIVERY would not be used",
            hint=f"Commit the change to that {FILE}, or leave DELIVERY out.",
        )
    plan = plan_of(source, delivery_toml, audit_level)
    dockerfile = dockerfile_of(source, plan.table, plan.manager.root)
    return Preview(plan, read_committed(source, dockerfile) if dockerfile else None)


def _checked(revision: str) -> str:
    """Return the revision if it is certainly a name, and not an option or a command."""
    if revision in ("", "HEAD"):
        return revision
    try:
        full_ref(revision)
    except RequestRefused:
        raise RequestRefused(
            f"{revision[:80]!r} is not a commit, branch or tag",
            hint="REVISION is a SHA (7 to 40 digits), or the name of a branch or tag.",
        ) from None
    return revision


def _folder(address: str) -> str:
    """Return the absolute path of a repository on this machine."""
    try:
        path = Path(address).expanduser().resolve()
    except RuntimeError:  # there is no such user
        raise RequestRefused(f"the home folder in {address!r} is not known") from None
    if not path.is_dir():
        raise UnknownRevision(f"there is no folder {path}", hint="Check the path in REPOSITORY.")
    return str(path)


def _fetch(mirror: Mirror) -> None:
    try:
        mirror.fetch()
    except UnknownRevision as error:
        top = _top_of(mirror)
        if top is None:
            raise
        raise RequestRefused(
            f"{mirror.address} is a folder in the repository {top}, not a repository",
            hint=f"REPOSITORY={top} DELIVERY=<a file with: folder = "
            f'"{Path(mirror.address).relative_to(top).as_posix()}">',
        ) from error


def _top_of(mirror: Mirror) -> str | None:
    """Return the repository that a folder lies in, if any."""
    if not is_path(mirror.address):
        return None
    try:
        output = run_git(
            "-C", mirror.address, "rev-parse", "--show-toplevel", settings=mirror.settings
        )
    except GitFailed:
        return None
    top = output.decode(errors="replace").strip()
    return top if top and Path(mirror.address).is_relative_to(top) else None


def _resolve(mirror: Mirror, at: Head, named: str, requested_ref: str | None) -> tuple[str, str]:
    """Return the requested commit and the ref it is on."""
    head, head_ref = at
    on = requested_ref or head_ref or DEFAULT_BRANCH
    if not named and requested_ref:
        named = requested_ref
    if named in ("", "HEAD"):
        if head is None:
            raise UnknownRevision(
                f"HEAD of {mirror.address} names no commit",
                hint=f"Name one with REVISION; it has {', '.join(mirror.branches())}.",
            )
        mirror.fetch_commit(head)
        return head, requested_ref or _ref_with(mirror, head, on)
    for name in (
        (named,)
        if named.startswith("refs/")
        else (
            f"refs/heads/{named}",
            f"refs/tags/{named}",
        )
    ):
        if tip := mirror.tip(name):
            return tip, requested_ref or name
    try:
        sha = plain_revision(named)
    except RequestRefused:
        shown = ", ".join(mirror.branches())
        raise UnknownRevision(
            f"{mirror.address} has no commit, branch or tag {named!r}",
            hint=f"It has {shown}. Was yours pushed?",
        ) from None
    commit = find_commit(mirror, sha, fetch=lambda: None)
    return commit, requested_ref or _ref_with(mirror, commit, on)


def _ref_with(mirror: Mirror, commit: str, preferred: str) -> str:
    """Return the preferred ref if the commit is on it, else another one that it is on."""
    if mirror.tip(preferred) and mirror.holds(preferred, commit):
        return preferred
    output = run_git(
        *("for-each-ref", "--contains", commit, "--format=%(refname)", "--count=1"),
        *("refs/heads", "refs/tags"),
        folder=mirror.folder,
        settings=mirror.settings,
    )
    found = output.decode(errors="replace").strip()
    if not found:
        raise UnknownRevision(
            f"the commit {commit[:12]} is on no branch or tag of {mirror.address}",
            hint="Make a branch of it (`git branch <name> <commit>`), then run again.",
        )
    return found


def _head(mirror: Mirror) -> Head:
    """Return the commit and the branch that the repository's HEAD names, as far as they exist."""
    try:
        output = run_git(
            *("ls-remote", "--symref", "--end-of-options", mirror.address, "HEAD"),
            settings=mirror.settings,
        )
    except GitFailed as failure:
        raise verdict_about(mirror.address, failure) or DeliveryError(
            str(failure), hint="Try `git ls-remote` with the same address, then run again."
        ) from failure
    commit = branch = None
    for line in output.decode(errors="replace").splitlines():
        value, _, name = line.partition("\t")
        if name == "HEAD" and value.startswith("ref: "):
            branch = value.removeprefix("ref: ")
        elif name == "HEAD":
            commit = value
    return Head(commit, branch)


def _uncommitted(address: str) -> tuple[str, ...]:
    """Return a remark if there are uncommitted changes, which are not part of the run."""
    path = unquote(urlsplit(address).path) if address.startswith("file://") else address
    if not is_path(path):
        return ()
    with _settings() as settings:
        try:
            output = run_git(
                *("-C", path, "status", "--porcelain", "--untracked-files=normal", "-z"),
                settings=settings,
                extra=_NEVER_A_PROGRAM,
            )
        except (DeliveryError, GitFailed):  # a bare repository has nothing to commit
            return ()
    changed = [entry for entry in output.split(b"\0") if entry]
    if not changed:
        return ()
    files = "1 file has" if len(changed) == 1 else f"{len(changed)} files have"
    return (f"{files} uncommitted changes, which are not part of this run",)


@contextmanager
def _settings() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kanvaro-git-") as folder:
        yield write_settings(Path(folder) / "gitconfig")
