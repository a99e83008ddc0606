"""What a pull request is told, and by whom it cannot be fooled."""

import json
import re

import pytest
from prefect import get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelled, Crashed, Scheduled

from delivery.checks.secret_baseline import Found, baseline_of
from delivery.errors import (
    AccessDenied,
    CheckFailed,
    ConfigurationError,
    NotOnGitHub,
    RequestRefused,
    Superseded,
    Unreachable,
)
from delivery.github.coverage_comment import MARKER
from flows.ci import ci
from flows.pull_request import pull_request
from sandbox.fakes import FakeServices
from sandbox.parts.sample import git
from tasks.github.commit_statuses import end_statuses
from tasks.github.superseded_runs import end_statuses_of_the_dead
from tests.flows.deploy.moves import Beside, until
from tests.flows.github.pulling import COVERED, REPOSITORY, Pulling, branch, files, with_table

FAILS = {"test_unit": "node -e 'process.exit(3)'"}
STRANGE = "src/<img src=x> [a](http://evil.example) @ada #1 `b` | c.ts"


@pytest.fixture(scope="module")
def fakes():
    with FakeServices() as running:
        yield running


@pytest.fixture
def pulls(fakes, app, tmp_path):
    app.commit()
    return Pulling(fakes, app, tmp_path / "workshop")


@pytest.fixture
def quick(monkeypatch):
    """Without the search for secrets, of which other tests are."""
    monkeypatch.setattr("tasks.checks.runner.security_report", lambda *_: ())


@pytest.fixture
def pulled(pulls, app, quick):
    """A pull request with nothing wrong."""
    revision = branch(app, "change")
    return pulls.open(), revision


class TestAGoodPullRequest:
    def test_is_told_how_each_check_went(self, pulls, app):
        revision = branch(app, "change")

        pulls.ok(pulls.open(), revision)

        told = pulls.statuses(revision)
        assert told["kanvaro"] == "success: 3 checks passed; 5 not applicable"
        assert told["kanvaro/unit"].startswith("success: passed in ")
        assert set(pulls.states(revision).values()) == {"success"}
        assert {name.partition("/")[2] for name in told} == {"", "lint", "security", "unit"}
        said = [s["state"] for s in pulls.repository.statuses if s["context"] == "kanvaro/unit"]
        assert said == ["pending", "pending", "success"], "they fill in as the checks go on"
        url = f"{pulls.environment.ui_address}/runs/flow-run/{pulls.id}"
        assert pulls.targets(revision) == {url}
        assert pulls.comments == [], "nothing was measured"

    def test_shows_what_it_accepts_of_the_secret_scan(self, pulls, app):
        """Whoever merges would not see it otherwise: the list makes the check pass."""
        accepted = baseline_of([Found("src/key.ts", 3, "Private Key", "d1")], None)
        revision = branch(app, "change", files={".secrets.baseline": accepted})

        pulls.ok(pulls.open(), revision)

        told = pulls.statuses(revision)["kanvaro/security"]
        assert re.fullmatch(
            r"success: passed in [\d.]+ s; this pull request accepts in \.secrets\.baseline "
            r"1 find: src/key\.ts:3 \(Private Key\).*",
            told,
        )

    def test_has_its_coverage_compared_with_what_ci_measured_of_the_base(
        self, pulls, app, quick, tmp_path
    ):
        base = app.commit(files=files(a=(1, 2), b=(2, 2)), **COVERED)
        pulls.change(deploy_ref="refs/heads/another")
        ci(revision=base, environment=pulls.name)
        changed = {"src/a.ts": "1", "src/new.ts": "2"}
        covers = files(a=(2, 2), b=(2, 2), new=(1, 4))
        first = branch(app, "change", files=covers | changed, **COVERED)
        number = pulls.open()

        pulls.ok(number, first)

        [comment] = pulls.comments
        assert "| lines | 62.5 % | −12.5 | 5 of 8 |" in comment
        assert f"Compared with `{base[:10]}` of main." in comment
        assert "<details><summary>2 files of this pull request</summary>" in comment
        assert "| src/new.ts | 25.0 % | new | 3 |" in comment
        assert "| src/a.ts | 100.0 % | +50.0 | 0 |" in comment
        assert "src/b.ts" not in comment

        pulls.hub.comment(REPOSITORY, number, f"{MARKER}\n100 %", "mallory")
        pulls.hub.comment(REPOSITORY, number, f"{MARKER}\nan older one", pulls.login)
        git(app.sample.folder, "switch", "--quiet", "change")
        scripts = {"test_unit": "echo ran once"}
        second = app.commit(files=files(a=(2, 2)) | changed, **COVERED, **scripts)

        pulls.ok(number, second)

        [comment] = pulls.comments
        assert f"Coverage of `{second[:10]}`" in comment
        ours, copied = pulls.repository.comments
        assert (ours.edits, copied.body) == (1, f"{MARKER}\n100 %"), "edited in place"

        ci(revision=second, ref="refs/heads/change", environment=pulls.name)
        assert pulls.logged("unit").count("\nran once") == 1, "`ci` checks nothing again"

    def test_of_known_content_is_not_checked_again_and_has_its_comment(self, pulls, app, quick):
        base = app.commit(files=files(a=(1, 2)), **COVERED)
        pulls.change(deploy_ref="refs/heads/another")
        ci(revision=base, environment=pulls.name)
        pulls.change(deploy_ref="refs/heads/main")
        app.sample.branch("change")
        git(app.sample.folder, "commit", "--quiet", "--allow-empty", "--message", "agreed")

        pulls.ok(pulls.open(), app.sample.revision)

        told = pulls.statuses(app.sample.revision)
        assert told["kanvaro/coverage"].startswith("success: proven before, the content is the")
        assert told["kanvaro/unit"].startswith("success: proven before")
        [comment] = pulls.comments
        assert "| lines | 50.0 % | ±0.0 | 1 of 2 |" in comment


class TestABadPullRequest:
    def test_is_told_which_check_said_no_and_which_were_not_run(self, pulls, app, quick):
        revision = branch(app, "change", files=files(a=(1, 1)), **FAILS, **COVERED)
        pulls.change(checks_at_once=1)

        assert isinstance(pulls.error(pulls.open(), revision), CheckFailed)

        told = pulls.statuses(revision)
        assert "ended with exit code 3 after" in told["kanvaro/unit"]
        assert told["kanvaro"].startswith("failure: unit: `npm run test:unit`")
        assert set(pulls.states(revision).values()) <= {"success", "failure", "error"}
        assert "last lines" not in json.dumps(told)

    def test_without_a_coverage_report_is_told_so(self, pulls, app, quick):
        revision = branch(app, "change", test_coverage="node -e 0")

        assert "lcov.info was not written" in str(pulls.error(pulls.open(), revision))

        assert "was not written" in pulls.statuses(revision)["kanvaro/coverage"]
        assert pulls.comments == []

    def test_is_told_that_the_rules_of_its_base_are_malformed(self, pulls, app, quick):
        app.commit(files={"delivery.toml": "cheks = 1"})
        revision = branch(app, "change")

        assert isinstance(pulls.error(pulls.open(), revision), ConfigurationError)

        assert pulls.states(revision) == {"kanvaro": "error"}
        assert "delivery.toml" in pulls.statuses(revision)["kanvaro"]


class TestAPullRequestIntoAnotherBranch:
    """Its rules may be lax, and its head may be that of a pull request into the deploy branch."""

    def test_says_nothing_in_the_status_that_the_deploy_branch_requires(self, pulls, app, quick):
        git(app.sample.folder, "branch", "lax")
        revision = branch(app, "change")

        pulls.ok(pulls.open(base="lax"), revision)

        assert pulls.states(revision) == {
            "kanvaro:lax": "success",
            "kanvaro:lax:lint": "success",
            "kanvaro:lax:security": "success",
            "kanvaro:lax:unit": "success",
        }

    def test_shows_its_verdict_beside_that_of_the_same_commit_into_the_deploy_branch(
        self, pulls, app, quick
    ):
        git(app.sample.folder, "switch", "--quiet", "--create", "lax")
        app.sample.commit(with_table(unit={"skip": "we do not test here"}), "lax rules")
        revision = branch(app, "change", **FAILS)
        lax, strict = pulls.open(base="lax"), pulls.open()

        assert isinstance(pulls.error(strict, revision), CheckFailed)
        pulls.ok(lax, revision)

        states = pulls.states(revision)
        assert (states["kanvaro"], states["kanvaro/unit"]) == ("failure", "failure")
        assert states["kanvaro:lax"] == "success"
        assert "kanvaro:lax:unit" not in states

    def test_that_gives_way_says_so_in_its_own_status(self, pulls, app, pulled):
        git(app.sample.folder, "branch", "lax")
        _, older = pulled
        into_lax = pulls.open(base="lax")
        git(app.sample.folder, "switch", "--quiet", "change")
        app.commit()

        assert isinstance(pulls.error(into_lax, older), Superseded)

        assert pulls.states(older) == {"kanvaro:lax": "error"}


class TestAStrangersPullRequest:
    @pytest.fixture
    def fork(self, app, tmp_path):
        folder = tmp_path / "fork"
        git(tmp_path, "clone", "--quiet", app.address, str(folder))
        return type(app.sample)(folder)

    def open(self, pulls, fork, **more):
        pulls.change(forks="run")
        return pulls.open(
            branch="main", fork="mallory/kanvaro", fork_folder=fork.folder, author="mallory", **more
        )

    def test_meets_no_secret_and_not_its_own_rules(self, pulls, fork, monkeypatch, quick):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-cloud")
        monkeypatch.setenv("PREFECT_API_KEY", "canary-prefect")
        monkeypatch.setenv("GITHUB_TOKEN", "canary-github")
        pulls.change_settings(codecov_token="canary-codecov", snyk_token="canary-snyk")
        package = json.loads((fork.folder / "package.json").read_text())
        script = "console.log(JSON.stringify(process.env))"
        package["scripts"]["test:unit"] = "node spy.js"
        files = {
            "package.json": json.dumps(package),
            "spy.js": script,
            **with_table(lint={"skip": "mine is fine"}, unit={"environment": {"X": "own rule"}}),
        }
        revision = fork.commit(files, "innocent")

        pulls.ok(self.open(pulls, fork), revision)

        seen = pulls.logged("unit")
        assert '"npm_lifecycle_event":"test:unit"' in seen
        assert "canary" not in seen
        assert "ghs_" not in seen
        assert "own rule" not in seen, "what it makes of the table does not count yet"
        assert pulls.states(revision)["kanvaro/lint"] == "success"

    def test_is_shown_as_text_whatever_its_names_are(self, pulls, app, fork, quick):
        base = files(a=(1, 1))
        base["lcov.txt"] += base["lcov.txt"].replace("src/a.ts", STRANGE)
        app.commit(files=base, **COVERED)
        git(fork.folder, "pull", "--quiet")
        revision = fork.commit({STRANGE: "1"}, "[x](http://evil.example) @ada </details>")

        pulls.ok(self.open(pulls, fork, title="<script>"), revision)

        [comment] = pulls.comments
        row = next(line for line in comment.splitlines() if "src/" in line)
        left = re.sub(r"\\.", "", row)  # without what is escaped
        for active in ("<", "[", "(", "@ada", "#1", "`", "://"):
            assert active not in left, active
        assert left.count("|") == 5, "it stays in its cell"
        assert row.startswith("| src/\\<img src=x\\> ")


class TestWhatCannotBeChecked:
    def test_a_pull_request_that_is_not_there(self, pulls, pulled):
        error = pulls.error(99, pulled[1])
        assert isinstance(error, NotOnGitHub)
        assert "kanvaro/kanvaro has no pull request 99" in str(error)

    @pytest.mark.parametrize("merged", [True, False])
    def test_one_that_is_closed(self, pulls, pulled, merged):
        pulls.repository.pulls[1].close(merged=merged)
        error = pulls.error(*pulled)
        assert isinstance(error, RequestRefused)
        assert str(error) == f"pull request 1 is {'merged' if merged else 'closed'}"
        assert pulls.repository.statuses == []

    def test_a_token_that_may_not_tell(self, fakes, app, tmp_path, quick):
        allowed = {"contents": "read", "pull_requests": "write"}
        pulls = Pulling(fakes, app, tmp_path / "workshop", app_permissions=allowed)
        app.commit()
        error = pulls.error(pulls.open(), branch(app, "change"))
        assert isinstance(error, AccessDenied)
        assert "lacks the permission statuses=write" in str(error)

    def test_one_that_is_closed_meanwhile_keeps_its_verdict_and_gets_no_comment(
        self, pulls, app, monkeypatch, quick
    ):
        revision = branch(app, "change", files=files(a=(1, 1)), **COVERED)
        number = pulls.open()
        _meanwhile(monkeypatch, lambda: pulls.repository.pulls[number].close())

        pulls.ok(number, revision)

        assert pulls.states(revision)["kanvaro"] == "success"
        assert pulls.comments == []


def _meanwhile(monkeypatch, something):
    """Let something happen while the coverage is compared."""
    from tasks.github.coverage_comment import planned

    def also(*args, **more):
        something()
        return planned(*args, **more)

    monkeypatch.setattr("tasks.github.coverage_comment.planned", also)


class TestANewerPush:
    def test_cancels_the_older_run_and_says_so_to_the_older_revision(self, pulls, app, quick):
        waits = "sleep 600"
        covered = files(a=(1, 1))
        older = branch(app, "change", files=covered, test_unit=waits, **COVERED)
        number = pulls.open()
        running = Beside(
            pull_request,
            {"number": number, "revision": older, "environment": pulls.name},
        )
        until(lambda: pulls.states(older).get("kanvaro/coverage") == "success", "the checks run")
        git(app.sample.folder, "switch", "--quiet", "change")
        newer = app.commit(files=covered, **COVERED)

        pulls.ok(number, newer)

        assert "superseded: pull request 1 is at" in pulls.statuses(older)["kanvaro"]
        for logs in (pulls.environment.data_dir / "logs").iterdir():
            (logs / "stop").touch()
        with pytest.raises(BaseException):  # noqa: B017, PT011  what Prefect says is not ours
            running.state().result()
        assert pulls.states(older)["kanvaro"] == "error"
        assert "pending" not in pulls.states(older).values()
        assert set(pulls.states(newer).values()) == {"success"}
        [comment] = pulls.comments
        assert newer[:10] in comment

    def test_cancels_what_still_waits_for_a_worker(self, pulls, app, pulled):
        number, older = pulled
        with get_client(sync_client=True) as client:
            waiting = client.create_flow_run(
                pull_request,
                parameters={"number": number, "revision": older, "environment": pulls.name},
                state=Scheduled(scheduled_time=None),
            )
            other = client.create_flow_run(
                pull_request,
                parameters={"number": 2, "revision": older, "environment": pulls.name},
                state=Scheduled(scheduled_time=None),
            )
        git(app.sample.folder, "switch", "--quiet", "change")
        newer = app.commit()

        pulls.ok(number, newer)

        with get_client(sync_client=True) as client:
            assert client.read_flow_run(waiting.id).state.type is StateType.CANCELLED
            assert client.read_flow_run(other.id).state.is_scheduled()
            client.delete_flow_run(other.id)
        assert pulls.statuses(older)["kanvaro"].startswith("error: superseded: pull request 1 is")

    def test_makes_a_run_that_comes_late_give_way(self, pulls, app, pulled):
        number, older = pulled
        git(app.sample.folder, "switch", "--quiet", "change")
        app.commit()

        assert isinstance(pulls.error(number, older), Superseded)

        assert pulls.statuses(older)["kanvaro"].startswith("error: superseded: pull request 1 is")

    def test_is_noticed_before_the_comment_is_written(self, pulls, app, monkeypatch, quick):
        revision = branch(app, "change", files=files(a=(1, 1)), **COVERED)
        number = pulls.open()
        git(app.sample.folder, "switch", "--quiet", "change")
        _meanwhile(monkeypatch, app.commit)

        assert isinstance(pulls.error(number, revision), Superseded)

        assert pulls.comments == []
        assert pulls.states(revision)["kanvaro/coverage"] == "success"
        assert pulls.statuses(revision)["kanvaro"].startswith("error: superseded")


class TestWhoWasTold:
    """Where nobody was, the server speaks, and no other run's status keeps it from that."""

    @pytest.fixture
    def noted(self, monkeypatch):
        """The ids of runs of which people were told."""
        ids = []
        monkeypatch.setattr(
            "tasks.github.commit_statuses.note_told", lambda run, _: ids.append(run.id)
        )
        return ids

    def test_of_a_run_that_said_no_whoever_looks_at_github(self, pulls, app, quick, noted):
        revision = branch(app, "change", **FAILS)

        assert isinstance(pulls.error(pulls.open(), revision), CheckFailed)

        assert noted == [pulls.id]

    def test_nobody_of_one_that_did_not_begin_though_an_earlier_run_had_its_verdict(
        self, pulls, pulled, noted, monkeypatch
    ):
        pulls.ok(*pulled)

        def away(*_):
            raise Unreachable("GitHub does not answer")

        monkeypatch.setattr("tasks.github.reporting.find_pull", away)
        assert isinstance(pulls.error(*pulled), Unreachable)

        assert pulls.states(pulled[1])["kanvaro"] == "success"
        assert noted == []

    def test_of_one_that_gave_way_by_the_verdict_that_stands(self, pulls, app, pulled, noted):
        number, older = pulled
        pulls.ok(number, older)
        git(app.sample.folder, "switch", "--quiet", "change")
        app.commit()

        assert isinstance(pulls.error(number, older), Superseded)

        assert pulls.states(older)["kanvaro"] == "success"
        assert noted == [pulls.id]


class TestWhatARunLeaves:
    """A run that is cancelled or crashes has no word of its own any more."""

    @pytest.fixture
    def left(self, pulls, pulled):
        """A run whose statuses were pending when it ended."""
        pulls.ok(*pulled)
        url = f"{pulls.environment.ui_address}/runs/flow-run/{pulls.id}"
        for each in pulls.repository.statuses:
            if each["context"] in ("kanvaro", "kanvaro/unit"):
                each["state"] = "pending"
        pulls.repository.statuses.append(
            pulls.repository.statuses[0]
            | {"context": "kanvaro/other-run", "target_url": f"{url}-another"}
        )
        with get_client(sync_client=True) as client:
            return client.read_flow_run(pulls.id)

    @pytest.mark.parametrize(
        ("state", "said"), [(Cancelled(), "error: cancelled."), (Crashed(), "error: the run crash")]
    )
    def test_is_ended_by_its_hook(self, pulls, pulled, left, state, said):
        end_statuses(pull_request, left, state)

        told = pulls.statuses(pulled[1])
        assert told["kanvaro"].startswith(said)
        assert told["kanvaro/unit"].startswith(said)
        assert told["kanvaro/lint"].startswith("success")
        assert told["kanvaro/other-run"].startswith("pending"), "it is not this run's to end"

    def test_is_ended_by_reconcile_where_the_whole_machine_is_gone(self, pulls, pulled, left):
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(left.id, Crashed(), force=True)

        assert end_statuses_of_the_dead(pulls.environment) == 2

        assert pulls.statuses(pulled[1])["kanvaro"].startswith("error: the run ended without")
        assert end_statuses_of_the_dead(pulls.environment) == 0


@pytest.mark.parametrize("kind", ["answer lost", "server error after", "down", "secondary limit"])
def test_a_bad_day_of_github_changes_nothing_of_the_end(pulls, app, quick, kind):
    revision = branch(app, "change", files=files(a=(1, 1)), **COVERED)
    for skip in (1, 4, 8):
        pulls.hub.faults.add(kind, method="POST", path="/statuses/", skip=skip)
    pulls.hub.faults.add(kind, method="POST", path="/comments")

    pulls.ok(pulls.open(), revision)

    assert set(pulls.states(revision).values()) == {"success"}
    assert len(pulls.comments) == 1
