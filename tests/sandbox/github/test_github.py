"""The sandbox's GitHub, spoken to by our own client and held against GitHub's description."""

import copy
import hashlib

import httpx
import pytest
from pydantic import ValidationError

from blocks.github_app import GitHubApp
from delivery.errors import AccessDenied, AnswerLost, GitHubRefused, NotOnGitHub
from sandbox.fakes import FakeServices
from sandbox.parts.sample import Sample, git
from tasks.github.api import GitHub, quoted
from tests.answering import Answering
from tests.sandbox.github.github_description import operation, operations, require_described

REPOSITORY = "kanvaro/kanvaro"


@pytest.fixture(scope="module")
def server():
    with FakeServices() as fakes:
        yield fakes


@pytest.fixture
def hub(server):
    server.github.forget()
    server.github.faults.clear()
    yield server.github
    for call in server.github.calls:
        if not call.path.startswith("/storage/") and call.status != 501:
            require_described(call)


@pytest.fixture
def slept():
    return []


@pytest.fixture
def client_of(server, slept):
    return lambda token="anything": GitHub(server.github_url, REPOSITORY, token, slept.append)


@pytest.fixture
def github(hub, client_of):
    return client_of()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "--quiet", "--initial-branch=main")
    sample = Sample(folder)
    sample.commit({"a.txt": "one\n"}, "feat: first")
    git(folder, "tag", "--annotate", "--message", "The first", "v1.0.0")
    sample.branch("change")
    sample.commit({"a.txt": "two\n", "b.txt": "new\n"}, "fix: second")
    git(folder, "switch", "--quiet", "main")
    return folder


@pytest.fixture
def release(hub, folder, github):
    hub.keep(REPOSITORY, folder)
    return github.write("POST", "releases", {"tag_name": "v1.0.0", "name": "v1", "draft": True})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "app.tar.gz"
    path.write_bytes(bytes(range(256)) * 4096)
    return path


def _upload(github, release, file, name="app.tar.gz"):
    return github.upload(release["upload_url"], file, name, "application/gzip")


# --- Comments ---


def test_comments_are_created_edited_listed_in_pages_and_deleted(hub, github):
    hub.open_pull(REPOSITORY, head="change", revision="1" * 40)
    made = [github.write("POST", "issues/1/comments", {"body": f"no. {n}"}) for n in range(5)]
    github.write("PATCH", f"issues/comments/{made[2]['id']}", {"body": "another"})
    assert github.write("DELETE", f"issues/comments/{made[4]['id']}") is None
    hub.calls.clear()
    read = github.read_all("issues/1/comments", per_page=2)
    assert [each["body"] for each in read] == ["no. 0", "no. 1", "another", "no. 3"]
    assert [call.query.get("page", "1") for call in hub.calls] == ["1", "2"]
    assert github.read(f"issues/comments/{made[2]['id']}")["body"] == "another"


def test_a_comment_on_no_pull_request_is_not_found_and_a_blank_one_is_refused(hub, github):
    with pytest.raises(NotOnGitHub):
        github.write("POST", "issues/7/comments", {"body": "hello"})
    hub.open_pull(REPOSITORY, head="change", revision="1" * 40)
    with pytest.raises(GitHubRefused):
        github.write("POST", "issues/1/comments", {"body": " "})
    assert hub.repository(REPOSITORY).comments == []


# --- Pull requests and history ---


def test_a_pull_request_shows_the_files_its_branch_changes(hub, folder, github):
    hub.keep(REPOSITORY, folder)
    hub.open_pull(REPOSITORY, head="change")
    pull = github.read("pulls/1")
    assert pull["head"]["sha"] == git(folder, "rev-parse", "change")
    assert pull["changed_files"] == 2
    files = {each["filename"]: each["status"] for each in github.read_all("pulls/1/files")}
    assert files == {"a.txt": "modified", "b.txt": "added"}
    assert [each["number"] for each in github.read_all("pulls", state="all")] == [1]
    assert len(github.read_all("pulls/1/commits")) == 1


def test_a_pull_request_is_opened_for_a_branch_that_is_there(server, hub, folder, github):
    kept = {"repository": REPOSITORY, "folder": str(folder)}
    assert httpx.post(f"{server.url}/_sandbox/github/repositories", json=kept).is_success
    requested = {"title": "A change", "head": "change", "base": "main"}
    assert github.write("POST", "pulls", requested)["head"]["sha"] == git(
        folder, "rev-parse", "change"
    )
    assert git(folder, "rev-parse", "refs/pull/1/head") == git(folder, "rev-parse", "change")
    with pytest.raises(GitHubRefused, match="PullRequest head invalid"):
        github.write("POST", "pulls", requested | {"head": "nowhere"})


def test_a_fork_is_another_repository_until_it_is_deleted(hub, folder, github):
    """Its short name is the same; its id and its full name are not. What was deleted is null."""
    hub.keep(REPOSITORY, folder)
    pull = hub.open_pull(REPOSITORY, head="change", fork="mallory/kanvaro", author="mallory")
    hub.open_pull(REPOSITORY, head="change")

    ours, theirs = (github.read(f"pulls/{number}") for number in (2, 1))
    assert ours["head"]["repo"]["id"] == ours["base"]["repo"]["id"]
    assert theirs["head"]["repo"]["id"] != theirs["base"]["repo"]["id"]
    assert (theirs["head"]["repo"]["fork"], theirs["base"]["repo"]["fork"]) == (True, False)
    assert theirs["head"]["label"] == "mallory:change"

    pull.delete_fork()
    left = github.read("pulls/1")
    assert left["head"]["repo"] is None
    assert left["head"]["sha"] == theirs["head"]["sha"]
    assert [each["head"]["repo"] for each in github.read_all("pulls")][1] is None
    assert not left["maintainer_can_modify"]


def test_an_annotated_tag_leads_by_its_own_object_to_its_revision(hub, folder, github):
    hub.keep(REPOSITORY, folder)
    ref = github.read("git/ref/tags/v1.0.0")
    assert ref["object"]["type"] == "tag"
    tag = github.read(f"git/tags/{ref['object']['sha']}")
    assert tag["object"]["sha"] == git(folder, "rev-parse", "main")
    assert [each["ref"] for each in github.read_all("git/matching-refs/tags/v1")] == [
        "refs/tags/v1.0.0"
    ]
    assert github.read(f"git/commits/{tag['object']['sha']}")["message"] == "feat: first"


def test_a_comparison_says_which_commits_and_files_are_between(hub, folder, github):
    hub.keep(REPOSITORY, folder)
    ahead = github.read("compare/main...change")
    assert (ahead["status"], ahead["ahead_by"], len(ahead["files"])) == ("ahead", 1, 2)
    assert github.read("compare/change...main")["status"] == "behind"
    commits = github.read_all("compare/v1.0.0...change", key="commits")
    assert [each["commit"]["message"] for each in commits] == ["fix: second"]
    assert len(github.read_all("commits", sha="change")) == 2
    assert len(github.read("commits/change")["files"]) == 2


# --- Releases and assets ---


def test_a_draft_is_found_by_its_tag_only_after_it_is_published(github, release):
    with pytest.raises(NotOnGitHub):
        github.read("releases/tags/v1.0.0")
    github.write("PATCH", f"releases/{release['id']}", {"draft": False})
    assert github.read("releases/tags/v1.0.0")["id"] == release["id"]
    assert [each["id"] for each in github.read_all("releases")] == [release["id"]]
    assert github.write("DELETE", f"releases/{release['id']}") is None
    assert github.read_all("releases") == []


def test_an_asset_comes_back_as_it_was_sent(github, release, file, tmp_path):
    asset = _upload(github, release, file)
    assert asset["digest"] == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    github.download(f"releases/assets/{asset['id']}", tmp_path / "back", 2 << 20)
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    github.write("DELETE", f"releases/assets/{asset['id']}")
    assert github.read_all(f"releases/{release['id']}/assets") == []


def test_a_second_asset_of_the_same_name_is_refused(github, release, file):
    _upload(github, release, file)
    with pytest.raises(GitHubRefused) as refused:
        _upload(github, release, file)
    assert "already_exists" in refused.value.codes


def test_an_upload_that_is_cut_short_leaves_a_starter(hub, github, release, file):
    hub.faults.add("cut short", method="POST", path="/uploads/")
    with pytest.raises(AnswerLost):
        _upload(github, release, file)
    (left,) = github.read_all(f"releases/{release['id']}/assets")
    assert (left["state"], left["size"]) == ("starter", 0)


def test_a_download_that_is_cut_short_is_repeated(hub, github, release, file, tmp_path):
    asset = _upload(github, release, file)
    hub.faults.add("cut short", path="/storage/")
    github.download(f"releases/assets/{asset['id']}", tmp_path / "back", 2 << 20)
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


def test_a_storage_that_fails_is_asked_again(hub, github, release, file, tmp_path):
    asset = _upload(github, release, file)
    hub.faults.add("server error", path="/storage/")
    github.download(f"releases/assets/{asset['id']}", tmp_path / "back", 2 << 20)
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


def test_what_github_sends_itself_is_fetched_once(tmp_path):
    with Answering(body={"a": 1}) as server:
        GitHub(server.url, REPOSITORY, "any").download("releases/assets/1", tmp_path / "a", 99)
    assert len(server.requests) == 1
    assert (tmp_path / "a").read_text() == '{"a": 1}'


def test_redirects_without_end_are_given_up():
    with (
        Answering(status=301, headers={"Location": "/repos/again"}) as server,
        pytest.raises(GitHubRefused, match="redirected"),
    ):
        GitHub(server.url, REPOSITORY, "any").read("releases")
    assert len(server.requests) == 5


# --- Access and limits ---


def test_a_token_without_the_permission_is_told_which_one(hub, client_of):
    weak = client_of(hub.access.token(statuses="write"))
    with pytest.raises(AccessDenied, match="contents"):
        weak.write("POST", "releases", {"tag_name": "v1.0.0"})
    assert hub.repository(REPOSITORY).releases == []


def test_a_revoked_token_is_refused(hub, client_of):
    token = hub.access.classic_token("repo")
    hub.access.revoke(token)
    with pytest.raises(AccessDenied):
        client_of(token).read("releases")


def test_an_app_gets_a_token_that_may_do_what_the_app_may(server, hub, client_of):
    app = hub.access.install_app(contents="write")
    block = GitHubApp(app_id=app.app_id, installation=app.installation, private_key=app.private_key)
    hub.access.only_known = True
    assert client_of(block.token(server.github_url)).read_all("releases") == []
    with pytest.raises(AccessDenied):
        client_of("anything").read_all("releases")


def test_an_exhausted_rate_limit_is_waited_for_as_long_as_it_lasts(hub, server, slept):
    def sleep(seconds):
        slept.append(seconds)
        hub.limits.forget()

    hub.limits.leave(0, seconds=30)
    assert GitHub(server.github_url, REPOSITORY, "any", sleep).read_all("releases") == []
    assert 25 < slept[0] < 40


@pytest.mark.parametrize("kind", ["rate limited", "secondary limit"])
def test_a_limit_with_retry_after_is_waited_for_once(kind, hub, github, slept):
    hub.faults.add(kind, seconds=7)
    assert github.read_all("releases") == []
    assert [round(each) for each in slept] == [7]
    assert hub.counted("GET", "/releases") == 2


def test_what_has_not_changed_is_not_counted_against_the_limit(hub, github):
    github.read("releases")
    used = hub.limits.used
    github.read("releases")
    assert [call.status for call in hub.calls] == [200, 304]
    assert hub.limits.used == used


# --- Faults ---


@pytest.mark.parametrize(
    ("kind", "done"),
    [("down", 0), ("server error", 0), ("answer lost", 1), ("server error after", 1)],
)
def test_a_lost_write_is_sent_once_and_was_carried_out_or_not(kind, done, hub, folder, github):
    hub.keep(REPOSITORY, folder)
    hub.faults.add(kind, method="POST", path="/releases")
    with pytest.raises(AnswerLost):
        github.write("POST", "releases", {"tag_name": "v1.0.0", "draft": True})
    assert hub.counted("POST", "/releases") == 1
    assert len(hub.repository(REPOSITORY).releases) == done


def test_a_fault_meets_only_the_calls_that_it_was_ordered_for(hub, github):
    hub.faults.add("server error", method="GET", path="/releases", skip=1, times=2)
    for _ in range(2):
        assert github.read_all("releases") == []
    assert [call.status for call in hub.calls] == [200, 502, 502, 304]


# --- The description ---


def test_the_description_has_the_operations_that_we_use():
    assert len(operations()) > 300
    assert operation("GET", "/repos/o/r/releases/tags/v1").path.endswith("/tags/{tag}")


@pytest.mark.parametrize("field", ["id", "tag_name", "assets", "author"])
def test_an_answer_without_a_described_field_is_found(field, hub, release):
    spoiled = copy.deepcopy(hub.calls[-1])
    del spoiled.answer[field]
    with pytest.raises(ValidationError, match=field):
        require_described(spoiled)


def test_what_is_not_served_is_said(server, hub):
    headers = {"Authorization": "Bearer any"}
    answer = httpx.get(f"{server.github_url}/repos/{REPOSITORY}/{quoted('hooks')}", headers=headers)
    assert answer.status_code == 501
