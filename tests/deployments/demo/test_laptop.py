"""What a person may ask `make ci` for, looked up in real repositories."""

import subprocess
from types import SimpleNamespace

import pytest
from prefect.states import Completed

from blocks.environment import Environment
from blocks.policy import Policy
from blocks.serving import AppRunnerService
from delivery.errors import ConfigurationError, RequestRefused, UnknownRevision
from deployments.demo import laptop, request
from deployments.demo.laptop import exposed_port
from deployments.demo.request import CiRequest, Preview, preview, resolve

LOCK = '{"name": "app", "lockfileVersion": 3, "packages": {"": {"name": "app"}}}'
HOSTILE = ["--upload-pack=touch pwned", "$(id)", ";id", "`id`", "a\nb", "-x", "main..x", "@{u}"]


def git(folder, *arguments):
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def made(folder, files=None):
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    return commit(folder, files or {"package.json": '{"scripts": {}}', "package-lock.json": LOCK})


def commit(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a change")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "app"
    made(folder)
    return folder


@pytest.fixture
def ask(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    return lambda repository, revision="", ref="": resolve(str(repository), revision, ref, cache)


@pytest.fixture
def look(tmp_path, ask):
    def at(repository, delivery_toml=None):
        asked = ask(repository)
        return preview(asked, delivery_toml, tmp_path / "cache", "moderate")

    return at


class TestTheRevision:
    def test_the_branch_that_is_checked_out_is_taken_when_nothing_is_said(self, app, ask):
        git(app, "switch", "--quiet", "--create", "feature/x")
        revision = commit(app, {"a.txt": "a"})
        assert ask(app) == CiRequest(str(app), revision, "refs/heads/feature/x")

    def test_a_branch_a_tag_and_a_short_sha_lead_to_the_same_commit(self, app, ask):
        revision = git(app, "rev-parse", "HEAD")
        git(app, "tag", "--annotate", "v1.0.0", "--message", "first")
        commit(app, {"a.txt": "a"})
        git(app, "branch", "old", revision)
        assert ask(app, "v1.0.0") == CiRequest(str(app), revision, "refs/tags/v1.0.0")
        assert ask(app, "old") == CiRequest(str(app), revision, "refs/heads/old")
        assert ask(app, revision[:8]) == CiRequest(str(app), revision, "refs/heads/main")

    def test_a_ref_that_head_does_not_name_is_only_checked_and_that_is_said(self, app, ask):
        git(app, "branch", "other")

        other, usual = ask(app, ref="other"), ask(app, ref="main")

        assert (other.ref, other.deploy_ref) == ("refs/heads/other", "refs/heads/main")
        assert "another branch than refs/heads/main" in other.remarks[0]
        assert (usual.ref, usual.deploy_ref, usual.remarks) == ("refs/heads/main", "", ())
        assert ask(app).deploy_ref == "", "HEAD's own branch is deployed"

    @pytest.mark.parametrize(
        ("asked", "deployed"),
        [({}, "refs/heads/main"), ({"deploy_ref": "refs/heads/next"}, "refs/heads/next")],
    )
    def test_what_is_deployed_is_the_branch_that_was_asked_for_or_heads(
        self, monkeypatch, asked, deployed
    ):
        made = SimpleNamespace(policy=Policy(), service=None)
        monkeypatch.setattr(laptop, "sandbox_environment", lambda *_, **__: made)
        request = CiRequest("/app", "a" * 40, "refs/heads/main", **asked)

        laptop._environment(request, Preview(None, None), None, "http://ui")

        assert made.policy.deploy_ref == deployed

    def test_a_given_ref_means_its_newest_commit(self, app, ask):
        git(app, "branch", "other")
        newest = commit(app, {"a.txt": "a"})
        assert ask(app, ref="other").revision != newest
        assert ask(app, ref="other").ref == "refs/heads/other"

    def test_a_detached_head_is_found_on_the_ref_that_holds_it(self, app, ask):
        first = git(app, "rev-parse", "HEAD")
        git(app, "switch", "--quiet", "--create", "side")
        commit(app, {"a.txt": "a"})
        git(app, "switch", "--quiet", "--detach", "side")
        found = ask(app)
        assert (found.revision != first, found.ref) == (True, "refs/heads/side")

    def test_a_detached_head_on_no_branch_is_refused_with_the_remedy(self, app, ask):
        git(app, "switch", "--quiet", "--detach")
        commit(app, {"a.txt": "a"})
        with pytest.raises(UnknownRevision, match="on no branch or tag") as refused:
            ask(app)
        assert "git branch" in refused.value.hint

    def test_an_unknown_name_is_answered_with_those_there_are(self, app, ask):
        with pytest.raises(UnknownRevision, match="'relase'") as refused:
            ask(app, "relase")
        assert "refs/heads/main" in refused.value.hint

    def test_a_revision_beside_the_given_ref_is_refused_before_anything_starts(
        self, app, ask, tmp_path
    ):
        git(app, "branch", "other")
        revision = commit(app, {"a.txt": "a"})
        with pytest.raises(RequestRefused, match="is not on refs/heads/other"):
            preview(ask(app, revision, "other"), None, tmp_path / "cache", "moderate")

    def test_changes_that_are_not_committed_are_said_to_be_left_out(self, app, ask):
        (app / "new.txt").write_text("not committed")
        assert "not part of this run" in ask(app).remarks[0]
        assert ask(app, "main").remarks == ()

    def test_looking_for_changes_starts_no_program_of_the_repository(self, app, ask, tmp_path):
        trap = tmp_path / "trap.sh"
        trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
        trap.chmod(0o755)
        git(app, "config", "core.fsmonitor", str(trap))
        ask(app)
        assert not (tmp_path / "sprung").exists()


class TestTheRepository:
    @pytest.mark.parametrize("name", ["with space", "mit Ümläut", "日本", "a'b\"c", "$(id)", ";id"])
    def test_any_path_will_do(self, tmp_path, ask, name):
        revision = made(tmp_path / name)
        assert ask(tmp_path / name).revision == revision

    def test_a_relative_path_and_one_from_home(self, app, ask, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert ask("app") == ask("./app") == ask("~/app") == ask(app)

    def test_a_bare_one_and_a_file_url(self, app, ask, tmp_path):
        git(tmp_path, "clone", "--quiet", "--bare", str(app), "bare.git")
        revision = git(app, "rev-parse", "HEAD")
        assert ask(tmp_path / "bare.git").revision == revision
        assert ask(app.as_uri()).revision == revision

    def test_one_without_commits(self, tmp_path, ask):
        (tmp_path / "empty").mkdir()
        git(tmp_path / "empty", "init", "--quiet")
        with pytest.raises(UnknownRevision, match="no commits"):
            ask(tmp_path / "empty")

    def test_a_folder_inside_one_names_the_one(self, app, ask):
        commit(app, {"apps/web/package.json": "{}"})
        with pytest.raises(RequestRefused, match="is a folder in the repository") as refused:
            ask(app / "apps/web")
        assert f"REPOSITORY={app}" in refused.value.hint
        assert 'folder = "apps/web"' in refused.value.hint

    def test_none_at_all(self, tmp_path, ask):
        with pytest.raises(UnknownRevision, match="there is no folder"):
            ask(tmp_path / "nowhere")
        with pytest.raises(UnknownRevision, match="there is no repository"):
            ask(tmp_path)

    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile_names_are_refused_and_never_obeyed(self, app, ask, name, monkeypatch):
        monkeypatch.chdir(app)
        before = sorted(app.iterdir())
        for given in ({"revision": name}, {"ref": name}, {"repository": name}):
            with pytest.raises((RequestRefused, UnknownRevision)):
                ask(**{"repository": app, **given})
        with pytest.raises(ConfigurationError, match="cannot be read"):
            laptop._table(name)
        assert sorted(app.iterdir()) == before


class TestTheLook:
    def test_a_monorepo_without_a_folder_lists_its_applications(self, tmp_path, look):
        made(
            tmp_path / "mono",
            {
                "package.json": '{"workspaces": ["apps/*"]}',
                "package-lock.json": LOCK,
                "apps/web/package.json": '{"scripts": {"lint": "x"}}',
                "apps/api/package.json": "{}",
            },
        )
        with pytest.raises(RequestRefused, match="apps/api, apps/web") as refused:
            look(tmp_path / "mono")
        assert 'folder = "apps/' in refused.value.hint
        plan = look(tmp_path / "mono", 'folder = "apps/web"').plan
        assert [check.name for check in plan.checks] == ["lint", "security"]

    def test_a_repository_without_package_json_at_its_top(self, tmp_path, look):
        made(tmp_path / "deep", {"site/package.json": "{}", "README.md": ""})
        with pytest.raises(RequestRefused, match="there is one in: site"):
            look(tmp_path / "deep")

    def test_one_without_any_package_json(self, tmp_path, look):
        made(tmp_path / "c", {"main.c": ""})
        with pytest.raises(RequestRefused, match=r"no package\.json") as refused:
            look(tmp_path / "c")
        assert "Node application" in refused.value.hint

    def test_a_table_that_would_not_be_used_is_refused(self, app, look):
        commit(app, {"delivery.toml": 'node = "20"'})
        with pytest.raises(RequestRefused, match="brings its own"):
            look(app, "")

    def test_the_dockerfile_that_the_table_names_is_read(self, app, look):
        commit(app, {"deploy/Dockerfile": "FROM scratch\nEXPOSE 8081/tcp\n"})
        found = look(app, 'dockerfile = "deploy/Dockerfile"').dockerfile
        assert exposed_port(found) == 8081


def test_a_port_is_only_taken_from_a_dockerfile_that_names_exactly_one():
    assert exposed_port("FROM x\nexpose 80\n# EXPOSE 90\n") == 80
    assert exposed_port("EXPOSE 80\nEXPOSE 90\n") is None
    assert exposed_port("FROM x\n") is None
    assert exposed_port("  EXPOSE\t80/tcp \r\n") == 80
    assert exposed_port("EXPOSE 65536\n") is None
    assert exposed_port(f"EXPOSE {'9' * 5_000}\n") is None


def test_without_arguments_the_usage_is_told(monkeypatch, capsys):
    monkeypatch.delenv("REPOSITORY", raising=False)
    assert laptop.main() == 2
    assert request.USAGE in capsys.readouterr().err


def test_bad_input_ends_in_a_sentence_and_a_hint_without_a_traceback(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(laptop, "FOLDER", tmp_path / "sandbox")
    monkeypatch.setenv("REPOSITORY", str(tmp_path / "nowhere"))
    assert laptop.main() == 1
    told = capsys.readouterr()
    assert "ci: failed — there is no folder" in told.err
    assert "Traceback" not in told.err
    assert sorted(path.name for path in (tmp_path / "sandbox").iterdir()) == ["workshop"]


def test_a_second_run_at_the_same_time_is_refused_by_name_of_the_first(monkeypatch, tmp_path):
    monkeypatch.setattr(laptop, "FOLDER", tmp_path)
    with (
        laptop._alone(),
        pytest.raises(RequestRefused, match=r"another `make ci` is running .*process \d+"),
        laptop._alone(),
    ):
        pass
    with laptop._alone():
        pass


def test_a_laptop_asks_a_real_registry_and_never_the_made_up_advisories(monkeypatch):
    """Of them lodash 4.17.11 would pass with "nothing found"."""
    made = Environment(
        strategy="in-place",
        name="laptop",
        repository="/somewhere",
        service=AppRunnerService(
            name="kanvaro", access_role_arn="arn:aws:iam::000000000000:role/ecr"
        ),
        advisory_registry="http://127.0.0.1:9",
    )
    monkeypatch.setattr(laptop, "sandbox_environment", lambda *_, **__: made)
    asked = CiRequest("/somewhere", "1" * 40, "refs/heads/main", ())

    environment = laptop._environment(asked, SimpleNamespace(dockerfile=None), None, "http://x")

    assert environment.advisory_registry is None
    assert "npm-audit" in environment.policy.scanners_that_may_be_absent


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            "| ✅ passed | 1.4 | security | npm-audit: not asked: example.com answered 405 "
            "(allowed by the environment); secrets: no secrets |",
            "passed; npm-audit: not asked: example.com answered 405",
        ),
        (
            "| ✅ | 1.4 | security | npm-audit: not asked: gone |\n",
            "passed; npm-audit: not asked: gone",
        ),
        ("| ✅ passed | 1.4 | security | npm-audit: nothing found in 3 packages |", "passed"),
        ("", "passed"),
    ],
)
def test_the_verdict_says_that_nobody_was_asked_about_vulnerabilities(row, said):
    assert laptop._sentence(Completed(data="passed"), row) == said
