"""Checking a commit out of real repositories, some of them hostile."""

import os
import subprocess
import tarfile
import threading
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from delivery.errors import (
    AccessDenied,
    ConfigurationError,
    RequestRefused,
    TimedOut,
    UnknownRevision,
)
from delivery.workspace.package_json import read_package
from tasks.workspace.checkout import check_out, remove_workspace
from tasks.workspace.committed import (
    LARGEST_FILE,
    committed_content,
    look_up,
    package_files,
    read_committed,
    tracked_files,
)
from tasks.workspace.export import pack_source, source_archive
from tasks.workspace.git import GitFailed, checked_credentials, credentials_env, run_git
from tasks.workspace.mirrors import mirror_of
from tests.answering import Answering
from tests.bounds.deep_folders import deep_file

GIT_ENV = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


class Repository:
    """A repository on disk, and the few words needed to make one."""

    def __init__(self, path):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments):
        command = ["git", "-C", str(self.path), *arguments]
        done = subprocess.run(command, env=GIT_ENV, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message="a commit", **files):
        for name, text in files.items():
            (self.path / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path / "upstream")
    made.commit("first", readme="hello")
    return made


@pytest.fixture
def get(tmp_path):
    """`get(repository, revision, ref)` with a cache, and a new workspace each time."""
    count = iter(range(1000))

    def get_it(repository, revision=None, ref="main", **how):
        where = repository.path if isinstance(repository, Repository) else repository
        how.setdefault("folder", tmp_path / f"workspace-{next(count)}")
        return check_out(str(where), revision, ref, cache=tmp_path / "cache", **how)

    return get_it


def test_a_commit_is_checked_out_and_described(repository, get):
    revision = repository.commit("Mend the\nparser\n\nand more", code="1")

    source = get(repository, revision)

    assert read_committed(source, "code") == "1"
    assert source.revision == revision
    assert source.tree == repository.git("rev-parse", "HEAD^{tree}")
    assert source.subject == "Mend the parser"
    assert (source.author, source.notes) == ("Ada", ())
    assert source.committed_at == repository.git("log", "-1", "--format=%cI").replace("Z", "+00:00")
    assert source.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_a_configuration_file_is_read_in_the_encoding_that_it_has(repository, get, encoding):
    written = '{"name": "café"}\r\n'.encode(encoding)
    (repository.path / "package.json").write_bytes(written)
    repository.commit("settings")

    source = get(repository)

    assert read_package(read_committed(source, "package.json")).name == "café"
    assert package_files(source).texts["package.json"] == '{"name": "café"}\r\n'
    assert committed_content(source, "package.json") == written


def test_the_check_out_is_a_repository_of_its_own(repository, get):
    source = get(repository)

    def git(*arguments):
        command = ["git", "-C", str(source.folder), *arguments]
        return subprocess.run(command, env=GIT_ENV, capture_output=True, text=True, check=True)

    assert git("diff", "--cached", "--stat", "HEAD").stdout == ""
    assert git("rev-parse", "HEAD").stdout.strip() == source.revision
    assert git("remote", "get-url", "origin").stdout.strip() == str(repository.path)
    remove_workspace(repository.path)
    assert git("fsck").returncode == 0


def test_a_short_revision_and_no_revision_are_completed(repository, get):
    first = repository.git("rev-parse", "HEAD")
    second = repository.commit("second")

    assert get(repository, first[:8]).revision == first
    assert get(repository, first[:8].upper()).revision == first
    assert get(repository).revision == second


def test_a_tag_is_a_ref(repository, get):
    repository.git("tag", "-a", "-m", "release", "v1.0.0")
    tagged = repository.git("rev-parse", "HEAD")
    repository.commit("later")

    assert get(repository, None, "refs/tags/v1.0.0").revision == tagged


def test_a_commit_that_is_not_on_the_ref_is_refused(repository, get):
    repository.git("checkout", "--quiet", "-b", "other")
    revision = repository.commit("elsewhere")

    with pytest.raises(RequestRefused, match=f"{revision[:12]} is not on refs/heads/main"):
        get(repository, revision)
    assert get(repository, revision, "other").revision == revision


def test_a_new_commit_is_fetched_although_the_repository_is_known(repository, get):
    get(repository)
    revision = repository.commit("new")

    assert get(repository, revision, fresh=False).revision == revision
    assert get(repository).revision == revision


def test_what_is_known_is_not_fetched_again_unless_it_must_be_fresh(repository, get, tmp_path):
    old = get(repository).revision
    repository.path.rename(tmp_path / "moved")

    assert get(repository, old, fresh=False).revision == old
    with pytest.raises(UnknownRevision, match="there is no repository at"):
        get(repository, old)


def test_a_commit_that_was_taken_off_the_branch_is_no_longer_on_it(repository, get):
    first = repository.git("rev-parse", "HEAD")
    second = repository.commit("second")
    assert get(repository, second).revision == second

    repository.git("reset", "--quiet", "--hard", first)

    with pytest.raises(RequestRefused, match="is not on refs/heads/main"):
        get(repository, second)


def test_a_commit_on_no_branch_is_found_by_its_full_sha_and_refused(repository, get):
    """CI services check out a detached HEAD; that commit is on no branch of the clone."""
    repository.git("checkout", "--quiet", "--detach")
    revision = repository.commit("detached")

    with pytest.raises(RequestRefused, match=f"{revision[:12]} is not on refs/heads/main"):
        get(repository, revision)


@pytest.mark.parametrize(
    ("revision", "ref", "kind", "sentence"),
    [
        ("0" * 40, "main", UnknownRevision, "there is no commit 0{40} in"),
        ("0" * 8, "main", UnknownRevision, "there is no commit 00000000 in"),
        (None, "nope", UnknownRevision, "there is no refs/heads/nope in"),
        (None, "refs/tags/v9", UnknownRevision, "there is no refs/tags/v9 in"),
        ("main", "main", RequestRefused, "'main' is not a revision"),
        (None, "a b", RequestRefused, "is not the name of a branch"),
        (None, "$(id)", UnknownRevision, "there is no refs/heads/"),
        ("$(id)", "main", RequestRefused, "is not a revision"),
    ],
)
def test_what_does_not_exist_is_said_in_one_sentence(
    repository, get, revision, ref, kind, sentence
):
    with pytest.raises(kind, match=sentence) as caught:
        get(repository, revision, ref)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_an_unknown_ref_is_answered_with_those_that_exist(repository, get):
    with pytest.raises(UnknownRevision) as caught:
        get(repository, None, "master")
    assert "refs/heads/main" in caught.value.hint


def test_an_ambiguous_revision_is_answered_with_what_it_may_mean(repository, get):
    """Among 4,000 commits some share seven digits only rarely, so the mirror is asked for fewer."""
    stream = []
    for number in range(3000):
        stream.append(
            f"commit refs/heads/many-{number}\ncommitter A <a@example.com> {number} +0000\n"
            f"data 1\nx\n"
        )
    subprocess.run(
        ["git", "-C", str(repository.path), "fast-import", "--quiet"],
        input="\n".join(stream).encode(),
        check=True,
        env=GIT_ENV,
    )
    shas = repository.git("for-each-ref", "--format=%(objectname)").split()
    [(prefix, _)] = Counter(sha[:4] for sha in shas).most_common(1)
    from tasks.workspace.mirrors import find_commit, mirror_of

    source = get(repository)
    cache = source.folder.parent / "cache"
    with (
        mirror_of(str(repository.path), cache, {}) as mirror,
        pytest.raises(RequestRefused, match=rf"commits begin with {prefix}: {prefix}"),
    ):
        find_commit(mirror, prefix, fetch=lambda: None)


def test_a_folder_that_is_no_repository_is_said_so(tmp_path, get):
    (tmp_path / "plain").mkdir()
    for place in (tmp_path / "plain", tmp_path / "absent"):
        with pytest.raises(UnknownRevision, match=f"there is no repository at {place}"):
            get(place)


def test_an_empty_repository_is_said_so(tmp_path, get):
    with pytest.raises(UnknownRevision, match="there are no commits in"):
        get(Repository(tmp_path / "empty"))


def test_a_workspace_in_use_is_not_written_over(repository, get, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis").write_text("years of work")

    with pytest.raises(ConfigurationError, match="is not empty"):
        get(repository, folder=tmp_path / "mine")

    assert (tmp_path / "mine/thesis").read_text() == "years of work"


HOSTILE = ["a;touch pwned", "x$(touch pwned)", "`touch pwned`", "a|b&c", "'\"quotes", "-x"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_a_repository_do_no_harm(repository, get, tmp_path, name):
    """Git takes these as branches and tags, so an ordinary fetch meets them."""
    head = repository.git("rev-parse", "HEAD")
    for kind in ("heads", "tags"):
        repository.git("update-ref", f"refs/{kind}/{name.replace(' ', '_')}", head)
    (repository.path / "a\nb").write_text("a file with a line break in its name")
    (repository.path / "--help").write_text("a file like an option")
    (repository.path / " $(touch pwned)").write_text("a file like a command")
    revision = repository.commit("`touch pwned` $(touch pwned) \x1b[31m <!channel>")

    source = get(repository, revision)

    context = source_archive(source, tmp_path / "context")
    assert {"a\nb", "--help", " $(touch pwned)"} <= {path.name for path in context.iterdir()}
    assert "\x1b" not in source.subject
    assert [path for path in tmp_path.rglob("*pwned*") if "touch" not in path.name] == []


NAMES = ["fix/#123", "feature/ümlaut", "機能/🚀", "feat(web)!", "fix/-x", "a{b}", "100%", "b's&c"]


@pytest.mark.parametrize("name", [*NAMES, "x$(touch${IFS}pwned)", "a;touch<pwned", "a|b`id`"])
@pytest.mark.parametrize("kind", ["heads", "tags"])
def test_a_branch_or_tag_may_have_any_name_that_git_allows(repository, get, tmp_path, name, kind):
    revision = repository.commit("second")
    repository.git("update-ref", f"refs/{kind}/{name}", revision)

    source = get(repository, None, f"refs/{kind}/{name}")

    assert (source.revision, source.ref) == (revision, f"refs/{kind}/{name}")
    assert [path for path in tmp_path.rglob("*pwned") if "touch" not in path.name] == []


def test_git_describes_a_commit_by_its_tags_where_checks_run(repository, get, tmp_path):
    repository.git("tag", "-a", "-m", "one", "v1.0.0")
    repository.git("tag", "light/#1")
    revision = repository.commit("second", more="1")

    source = get(repository, revision)
    archive = pack_source(source, tmp_path / "packed.tar", "in", os.getuid())
    subprocess.run(["tar", "-xf", archive, "-C", tmp_path], check=True)

    def described(*how):
        command = ["git", "-C", str(tmp_path / "in"), "describe", *how]
        return subprocess.run(command, env=GIT_ENV, capture_output=True, text=True).stdout.strip()

    assert described("--dirty") == f"v1.0.0-1-g{revision[:7]}"
    assert described("--tags", "--match", "light/*").startswith("light/#1-1-g")


@pytest.mark.parametrize("name", ["my app", "-app", "app;id", "äpp", "a'b\"c"])
def test_a_repository_may_lie_in_a_strangely_named_folder(tmp_path, get, name):
    made = Repository(tmp_path / name)
    revision = made.commit("first")

    assert get(made).revision == revision


def test_a_check_that_rewrites_an_object_rewrites_its_own_and_not_the_mirrors(repository, get):
    """Hard links would lead back: the next check out on an unchanged main would be another one."""
    source = get(repository)
    objects = [path for path in (source.folder / ".git" / "objects").rglob("*") if path.is_file()]
    assert objects
    for path in objects:
        path.chmod(0o600)
        path.write_bytes(b"rewritten by a check")

    again = get(repository)

    assert again.tree == source.tree
    assert read_committed(again, "readme") == "hello"


def test_hooks_are_not_run_though_the_file_with_the_settings_was_rewritten(
    repository, get, tmp_path
):
    pwned = tmp_path / "pwned"
    source = get(repository)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {pwned}\n")
    (hooks / "post-checkout").chmod(0o755)
    settings = source.folder.with_name("rewritten")
    settings.write_text(f"[core]\n\thooksPath = {hooks}\n[safe]\n\tdirectory = *\n")

    run_git("checkout", "--detach", source.revision, folder=source.folder, settings=settings)

    assert not pwned.exists()


def test_hooks_and_settings_of_the_worker_or_repository_are_not_run(repository, get, monkeypatch):
    repository.commit("filtered", **{".gitattributes": "* filter=x\n"})
    pwned = repository.path.parent / "pwned"
    hook = f"#!/bin/sh\ntouch {pwned}\n"
    home = repository.path.parent / "home"
    (home / "hooks").mkdir(parents=True)
    for place in (home / "hooks", repository.path / ".git/hooks"):
        for name in ("post-checkout", "post-update", "pre-receive", "reference-transaction"):
            (place / name).write_text(hook)
            (place / name).chmod(0o755)
    for key in ("core.fsmonitor", "uploadpack.packObjectsHook", "core.sshCommand"):
        repository.git("config", key, f"touch {pwned}")
    (home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {home}/hooks\n[filter "x"]\n\tsmudge = touch {pwned}\n'
        f"[init]\n\ttemplateDir = {home}\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {pwned}")

    get(repository)

    assert not pwned.exists()


def test_a_repository_of_another_user_can_be_read(repository, get):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for path in [repository.path, *repository.path.rglob("*")]:
        os.chown(path, 12345, 12345)

    assert get(repository).subject == "first"


def test_submodules_and_large_files_are_said_and_not_fetched(repository, get, tmp_path):
    library = Repository(tmp_path / "library")
    library.commit("library", code="1")
    repository.git(
        "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(library.path), "lib"
    )
    repository.commit("large", **{".gitattributes": "*.bin filter=lfs\n", "big.bin": "pointer"})

    source = get(repository)

    assert source.notes == (
        "submodules are not fetched: lib",
        "Git LFS files are pointers only: big.bin",
    )
    assert list((source_archive(source, tmp_path / "context") / "lib").iterdir()) == []


def test_a_shallow_clone_can_be_the_repository(repository, get, tmp_path):
    repository.commit("second")
    shallow = tmp_path / "shallow"
    url = f"file://{repository.path}"
    command = ["git", "clone", "--quiet", "--depth=1", url, str(shallow)]
    subprocess.run(command, check=True, env=GIT_ENV)

    assert get(shallow).subject == "second"


def test_a_branch_that_became_a_folder_of_branches_is_followed(repository, get):
    repository.git("branch", "topic")
    get(repository)
    repository.git("branch", "-D", "topic")
    repository.git("branch", "topic/one")

    tip = repository.git("rev-parse", "topic/one")
    assert get(repository, None, "topic/one").revision == tip


def test_a_killed_fetch_does_not_spoil_the_next(repository, get, tmp_path):
    get(repository)
    [mirror] = (tmp_path / "cache/mirrors").glob("*.git")
    (mirror / "refs/heads/main.lock").touch()
    revision = repository.commit("second")

    assert get(repository).revision == revision


def test_a_spoilt_mirror_is_made_anew_and_no_other_repository_is_touched(get, tmp_path):
    """Git looks for a repository further up when the one meant is broken."""
    around = Repository(tmp_path)
    around.commit("precious")
    upstream = Repository(tmp_path / "sub/upstream")
    upstream.commit("first")
    get(upstream)
    [mirror] = (tmp_path / "cache/mirrors").glob("*.git")
    (mirror / "HEAD").write_text("nonsense")

    assert get(upstream).subject == "first"
    assert around.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert around.git("log", "-1", "--format=%s") == "precious"


def test_a_mirror_whose_objects_are_damaged_is_made_anew(repository, get, tmp_path):
    get(repository)
    [mirror] = (tmp_path / "cache/mirrors").glob("*.git")
    for path in (mirror / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"")
    revision = repository.commit("second")

    assert get(repository).revision == revision


BROKEN_WORDS = "fatal: loose object is corrupt: unable to read the packfile, missing blob"


def test_an_address_with_the_words_of_a_broken_mirror_deletes_none(tmp_path, get):
    upstream = Repository(tmp_path / "corrupt packfile")
    upstream.commit("first")
    get(upstream)
    [mirror] = (tmp_path / "cache/mirrors").glob("*.git")
    (mirror / "kept").touch()
    upstream.path.rename(tmp_path / "away")

    with pytest.raises(UnknownRevision):
        get(upstream)

    assert (mirror / "kept").exists()


def test_a_message_of_the_remote_deletes_no_mirror(tmp_path):
    plain = {"Content-Type": "text/plain"}
    with (
        Answering(500, body=BROKEN_WORDS, headers=plain) as server,
        mirror_of(f"{server.url}/owner/app.git", tmp_path, {}) as made,
    ):
        mirror = replace(made, pause=lambda _: None)
        mirror._create()
        (mirror.folder / "kept").touch()

        with pytest.raises(TimedOut) as stopped:
            mirror.fetch()

        assert f'remote: "{BROKEN_WORDS}' in str(stopped.value.__cause__), "git repeats it"
        assert (mirror.folder / "kept").exists()


def test_old_objects_that_git_complains_of_are_no_damage(repository, get, tmp_path):
    """`git fsck` calls it an error when a date has no space before it; old commits are so."""
    written = repository.git("cat-file", "commit", "HEAD").replace("> ", ">", 1)
    made = subprocess.run(
        ["git", "-C", str(repository.path), "hash-object", "-t", "commit", "-w", "--stdin",
         "--literally"],
        input=f"{written}\n", env=GIT_ENV, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    repository.git("update-ref", "refs/heads/old", made)
    get(repository)
    with mirror_of(str(repository.path), tmp_path / "cache", {}) as mirror:
        with pytest.raises(GitFailed, match="missingSpaceBeforeDate"):
            mirror._ask("fsck")

        assert not mirror._is_broken()


def test_two_runs_at_once_share_one_mirror(repository, get):
    sources, failures = [], []

    def get_one():
        try:
            sources.append(get(repository))
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=get_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len({source.folder for source in sources}) == 4


CHALLENGE = {"WWW-Authenticate": 'Basic realm="x"'}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr("tasks.workspace.mirrors._PAUSES_S", (0.0, 0.0))


@pytest.mark.parametrize(
    ("status", "kind", "sentence"),
    [
        (401, AccessDenied, "refused our credentials"),
        (403, AccessDenied, "refused our credentials"),
        (404, UnknownRevision, "there is no repository at"),
        (500, TimedOut, "could not be read; git said last: .*500"),
    ],
)
def test_what_a_server_answers_becomes_a_verdict(get, status, kind, sentence):
    headers = CHALLENGE if status == 401 else None
    with (
        Answering(status, headers=headers) as server,
        pytest.raises(kind, match=sentence) as caught,
    ):
        get(f"{server.url}/owner/app.git", "a" * 40)
    assert caught.value.hint
    if status == 500:
        assert len(server.requests) == 3


def test_a_server_that_is_not_there_is_not_waited_for_for_ever(get):
    with pytest.raises(TimedOut, match=r"could not be read; git said last: .*connect"):
        get("http://127.0.0.1:9/owner/app.git")


def test_a_token_reaches_its_server_and_nothing_else(get, tmp_path):
    with Answering(403) as server:
        address = f"{server.url}/owner/app.git"
        with pytest.raises(AccessDenied) as caught:
            get(address, credentials=credentials_env(address, "CANARY-token"))

    authorization = server.requests[0].authorization
    assert authorization.startswith("Basic ")
    said = str(caught.value) + caught.value.hint + str(caught.value.__cause__)
    assert "CANARY" not in said
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"CANARY" not in kept
    assert authorization.split()[1].encode() not in kept


@pytest.mark.parametrize(
    "environment",
    [
        {"GIT_SSH_COMMAND": "touch /tmp/x"},
        {"GIT_CONFIG_KEY_0": "core.sshCommand", "GIT_CONFIG_VALUE_0": "touch /tmp/x"},
        {"GIT_CONFIG_KEY_0": "protocol.ext.allow", "GIT_CONFIG_VALUE_0": "always"},
        {"LD_PRELOAD": "/srv/x.so"},
    ],
)
def test_credentials_cannot_change_what_git_does(environment):
    with pytest.raises(ValueError, match="is not a credential of git"):
        checked_credentials(environment)


def test_the_build_context_is_the_committed_tree_and_no_more(repository, get, tmp_path):
    (repository.path / "sub").mkdir()
    (repository.path / "sub/run").write_text("#!/bin/sh\n")
    (repository.path / "sub/run").chmod(0o755)
    os.symlink("/etc/passwd", repository.path / "link")
    repository.commit("x", **{".gitattributes": "secret export-ignore\n", "secret": "s"})
    source = get(repository)
    (source.folder / "node_modules").mkdir()
    (source.folder / "node_modules/junk").write_text("x")
    (source.folder / "readme").write_text("changed by a check")

    context = source_archive(source, tmp_path / "context")

    names = {path.relative_to(context).as_posix() for path in context.rglob("*")}
    assert names == {".gitattributes", "readme", "secret", "link", "sub", "sub/run"}
    assert (context / "readme").read_text() == "hello"
    assert os.access(context / "sub/run", os.X_OK)
    assert (context / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.glob("context*")) == ["context"]


def test_no_attribute_of_git_changes_a_file_of_the_context(repository, get, tmp_path):
    """What is built is what was committed, byte for byte."""
    attributes = "*.txt eol=crlf ident\n"
    repository.git("config", "core.autocrlf", "false")
    repository.commit("x", **{"a.txt": "one\n$Id$\n"})
    repository.commit("y", **{".gitattributes": attributes})

    context = source_archive(get(repository), tmp_path / "context")

    assert (context / "a.txt").read_bytes() == b"one\n$Id$\n"


def test_a_container_gets_the_same_files_and_gits_folder_by_a_stream(repository, get, tmp_path):
    (repository.path / "sub").mkdir()
    (repository.path / "sub/run").write_text("#!/bin/sh\n")
    (repository.path / "sub/run").chmod(0o755)
    os.symlink("sub/run", repository.path / "link")
    repository.commit("x", ümläut="\xe4")
    source = get(repository)

    packed = pack_source(source, tmp_path / "source.tar", "workspace/source", 1000)

    with tarfile.open(packed) as archive:
        entries = {entry.name: entry for entry in archive}
        assert entries["workspace/source/sub/run"].mode == 0o755
        assert entries["workspace/source/link"].linkname == "sub/run"
        assert archive.extractfile("workspace/source/ümläut").read() == "\xe4".encode()
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(1000, 1000)}
    assert "workspace/source/.git/HEAD" in entries
    assert not any(name.endswith("kanvaro.gitconfig") for name in entries)
    # Every folder has an entry of its own, or it would belong to root.
    folders = {str(parent) for name in entries for parent in Path(name).parents} - {"."}
    assert folders <= set(entries)


def rewrite_a_blob(source, text):
    """Put another content under the name of the object of `readme`, as git would not."""
    name = look_up(source, "readme").oid
    for pack in (source.folder / ".git/objects/pack").glob("*.pack"):
        moved = pack.rename(source.folder / "pack")
        with moved.open("rb") as objects:
            command = ["git", "-C", str(source.folder), "unpack-objects", "-q"]
            subprocess.run(command, stdin=objects, check=True, env=GIT_ENV)
    loose = source.folder / ".git/objects" / name[:2] / name[2:]
    loose.chmod(0o600)
    loose.write_bytes(zlib.compress(b"blob %d\0%s" % (len(text), text)))


@pytest.mark.parametrize(
    "export",
    [
        lambda source, into: source_archive(source, into),
        lambda source, into: pack_source(source, into, "workspace/source", 1000),
    ],
    ids=["folder", "stream"],
)
def test_files_that_are_not_those_of_the_commit_are_not_built(repository, get, tmp_path, export):
    source = get(repository)
    rewrite_a_blob(source, b"HELLO")

    with pytest.raises(RequestRefused, match="not those of the commit"):
        export(source, tmp_path / "exported")


def test_a_tree_of_a_million_files_made_of_a_few_kilobytes_is_refused(repository, get):
    def git(*arguments, **more):
        return subprocess.run(
            ["git", "-C", str(repository.path), *arguments],
            check=True, capture_output=True, text=True, env=GIT_ENV, **more,
        ).stdout.strip()  # fmt: skip

    below = git("rev-parse", "HEAD:readme")
    lines, kind = "\n".join(f"100644 blob {below}\tf{n}" for n in range(10)), "tree"
    for _ in range(7):
        below = git("mktree", input=f"{lines}\n")
        lines = "\n".join(f"040000 {kind} {below}\td{n}" for n in range(10))
    commit = git("commit-tree", below, "-m", "bomb")
    repository.git("update-ref", "refs/heads/bomb", commit)

    with pytest.raises(RequestRefused, match="more than 200000 files"):
        get(repository, ref="bomb")


def test_a_path_that_leads_out_of_a_checkout_is_refused(repository, get):
    def git(*arguments, **more):
        return subprocess.run(
            ["git", "-C", str(repository.path), *arguments],
            check=True, capture_output=True, text=True, env=GIT_ENV, **more,
        ).stdout.strip()  # fmt: skip

    blob = git("rev-parse", "HEAD:readme")
    tree = git("mktree", input=f"100644 blob {blob}\t..\n")
    repository.git("update-ref", "refs/heads/evil", git("commit-tree", tree, "-m", "evil"))

    with pytest.raises(RequestRefused, match="no checkout can hold"):
        tracked_files(get(repository, ref="evil"))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "/etc"])
def test_a_link_out_of_the_repository_is_not_followed(repository, get, tmp_path, target):
    (tmp_path / "outside").write_text("CANARY")
    os.symlink(target, repository.path / "package.json")
    repository.commit("link")
    source = get(repository)

    with pytest.raises(RequestRefused, match="leads out of the repository"):
        read_committed(source, "package.json")
    with pytest.raises(RequestRefused, match="leads out of the repository"):
        package_files(source)
    for way_out in ("../outside", "/etc/passwd"):
        with pytest.raises(RequestRefused, match="leads out of the repository"):
            look_up(source, way_out)


def test_what_is_read_is_the_commit_whatever_became_of_the_check_out(repository, get, tmp_path):
    """A package's install script may rewrite files, the index, and what `.git` says of both."""
    first = repository.git("rev-parse", "HEAD")
    repository.commit("x", **{"package.json": '{"name": "true"}', "package-lock.json": "{}"})
    source = get(repository)
    git = ["git", "-C", str(source.folder)]
    subprocess.run([*git, "rm", "--quiet", "--cached", "package-lock.json"], check=True)
    subprocess.run([*git, "replace", source.revision, first], check=True)
    (source.folder / "package.json").write_text('{"name": "false"}')
    (source.folder / "yarn.lock").write_text("planted")
    (source.folder / ".git/info").mkdir(exist_ok=True)
    (source.folder / ".git/info/attributes").write_text("* filter=evil\n")
    evil = '[filter "evil"]\n\tsmudge = echo evil\n\trequired = true\n'
    for name in ("config", "kanvaro.gitconfig"):
        with (source.folder / ".git" / name).open("a") as settings:
            settings.write(evil)

    files, _ = package_files(source)
    context = source_archive(source, tmp_path / "context")

    assert files == {"package.json": '{"name": "true"}', "package-lock.json": "{}"}
    assert read_committed(source, "yarn.lock") is None
    assert (context / "package.json").read_text() == '{"name": "true"}'
    assert (context / "package-lock.json").read_text() == "{}"
    assert not (context / "yarn.lock").exists()


def test_a_path_is_looked_up_in_the_commit_through_links_that_stay_inside(repository, get):
    (repository.path / "deploy").mkdir()
    (repository.path / "deploy/Dockerfile").write_text("FROM scratch\n")
    os.symlink("deploy", repository.path / "also")
    os.symlink("nowhere", repository.path / "broken")
    repository.commit("links")
    source = get(repository)
    (source.folder / "Dockerfile").write_text("FROM planted\n")

    assert look_up(source, "./deploy/Dockerfile").is_file()
    assert look_up(source, "also/Dockerfile").is_file()
    assert look_up(source, ".").is_dir()
    assert read_committed(source, "also/Dockerfile") == "FROM scratch\n"
    for nothing in ("Dockerfile", "broken", "readme/Dockerfile", "deploy/none"):
        assert not look_up(source, nothing).is_file()


def test_a_file_of_an_absurd_size_is_refused(repository, get):
    repository.commit("large", **{"delivery.toml": "#" * (LARGEST_FILE + 1)})

    with pytest.raises(RequestRefused, match=r"delivery.toml is of 20 MB"):
        read_committed(get(repository), "delivery.toml")


def test_files_that_choose_the_package_manager_are_read_up_to_the_root(repository, get):
    for path, text in {
        "package.json": '{"workspaces": ["apps/*"]}',
        ".yarnrc.yml": "yarnPath: .yarn/releases/yarn-4.1.0.cjs",
        ".yarn/releases/yarn-4.1.0.cjs": "",
        "yarn.lock": "__metadata:\n  version: 8\n",
        "apps/web/package.json": "{}",
        "apps/api/package.json": "{}",
    }.items():
        (repository.path / path).parent.mkdir(parents=True, exist_ok=True)
        (repository.path / path).write_text(text)
    repository.commit("monorepo")
    source = get(repository)

    files, releases = package_files(source, "apps/web")

    assert set(files) == {"package.json", ".yarnrc.yml", "yarn.lock", "apps/web/package.json"}
    assert releases == (".yarn/releases/yarn-4.1.0.cjs",)
    with pytest.raises(RequestRefused, match="there is no folder 'apps/none'"):
        package_files(source, "apps/none")


def test_a_workspace_is_removed_with_all_that_checks_made_of_it(tmp_path):
    folder = tmp_path / "workspace"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/file").write_text("x")
    os.symlink("/etc", folder / "deep/link")
    for path in (folder / "deep/er", folder / "deep"):
        path.chmod(0o500)

    remove_workspace(folder)
    remove_workspace(folder)

    assert not folder.exists()
    assert Path("/etc/passwd").exists()


def test_a_folder_of_thousands_of_levels_is_removed(tmp_path):
    """A check that makes them must not end this run, nor each later one, which tidies up first."""
    folder = tmp_path / "run"
    folder.mkdir()
    with deep_file(folder, levels=3_000, name="d", text=""):
        assert remove_workspace(folder)
        assert not folder.exists()
        folder.mkdir()
