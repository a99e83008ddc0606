"""Pull requests from forks: nothing of them runs, unless the policy or a person says so."""

import json
import re
import uuid

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from delivery.errors import CheckFailed, ForkHeld, Superseded
from deployments.webhooks.github_webhook import receiver
from flows.pull_request import pull_request
from sandbox.fakes import FakeServices
from sandbox.parts.sample import git
from tasks.github.pull_request import look_at_pull
from tests.deliveries import delivered, event_of
from tests.flows.github.pulling import REPOSITORY, Pulling, branch

REFUSED = "error: not checked: pull requests from forks are refused here; a member of the team can"
WAITS = "pending: waits for a person of the team, who reads {} and starts `pull-request` with"
SECRET = "a-secret-of-a-webhook"


@pytest.fixture(scope="module")
def fakes():
    with FakeServices() as running:
        yield running


@pytest.fixture
def pulls(fakes, app, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.checks.runner.security_report", lambda *_: ())
    app.commit()
    return Pulling(fakes, app, tmp_path / "workshop")


class Fork:
    """A stranger's fork with one pull request, whose check writes down that it ran."""

    def __init__(self, pulls, folder):
        self.pulls, self.folder = pulls, folder / "fork"
        git(folder, "clone", "--quiet", pulls.app.address, str(self.folder))
        self.sample = type(pulls.app.sample)(self.folder)
        self.revision = self.push()
        self.number = pulls.open(
            branch="main", fork="mallory/kanvaro", fork_folder=self.folder, author="mallory"
        )

    def push(self):
        package = json.loads((self.folder / "package.json").read_text())
        package["scripts"]["test:unit"] = "git rev-parse HEAD"
        files = {"package.json": json.dumps(package), "salt.txt": uuid.uuid4().hex}
        self.revision = self.sample.commit(files, "innocent")
        return self.revision

    @property
    def pull(self):
        return self.pulls.repository.pulls[self.number]

    @property
    def has_run(self):
        """Return the revisions whose check ran."""
        logs = sorted((self.pulls.environment.data_dir / "logs").glob("*/unit.log"))
        return [
            found for log in logs for found in re.findall(r"^[0-9a-f]{40}$", log.read_text(), re.M)
        ]

    @property
    def is_fetched(self):
        mirrors = (self.pulls.environment.data_dir / "mirrors").glob("*.git")
        refs = [git(mirror, "for-each-ref", "refs/pull") for mirror in mirrors]
        return any(refs)

    def run(self, revision=None, **asked):
        state = pull_request(
            number=self.number,
            revision=revision or self.revision,
            environment=self.pulls.name,
            return_state=True,
            **asked,
        )
        self.pulls.id = state.state_details.flow_run_id
        return state.result(raise_on_failure=False)

    def says(self, revision=None):
        return self.pulls.statuses(revision or self.revision)


@pytest.fixture
def fork(pulls, tmp_path):
    return Fork(pulls, tmp_path)


def kept_of(run):
    """Return what the artifact `approval` of a run says, and the sentences of its timeline."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        )
        tasks = client.read_task_runs()
    told = [each.data for each in found if each.key == "approval"]
    return told, [each.name for each in tasks if each.flow_run_id == run]


class TestRefused:
    """What a policy says that does not name forks."""

    def test_says_what_to_do_and_nothing_of_it_is_fetched_or_run(self, fork):
        error = fork.run()

        assert isinstance(error, ForkHeld)
        assert str(error).startswith(f"pull request {fork.number} is from a fork; not checked:")
        assert "push it to a branch of this repository" in error.hint
        assert fork.says().keys() == {"kanvaro"}
        assert fork.says()["kanvaro"].startswith(REFUSED)
        assert fork.says()["kanvaro"].endswith("to a branch of this repository"), "it is not cut"
        assert not fork.is_fetched
        assert fork.has_run == []

    def test_is_so_even_with_an_approval(self, fork):
        assert isinstance(fork.run(approved_by="ada"), ForkHeld)
        assert not fork.is_fetched
        assert fork.has_run == []

    def test_is_one_whose_fork_was_deleted(self, pulls, fork):
        look_at_pull(pulls.environment, fork.number)
        fork.pull.delete_fork()

        assert isinstance(fork.run(), ForkHeld)
        assert fork.says()["kanvaro"].startswith(REFUSED)

    def test_is_known_to_people_so_that_no_alert_follows(self, pulls, fork, monkeypatch):
        noted = []
        name = "tasks.github.commit_statuses.note_told"
        monkeypatch.setattr(name, lambda run, _: noted.append(run.id))
        assert isinstance(fork.run(), ForkHeld)
        pulls.change(forks="ask")
        refused = pulls.id
        assert isinstance(fork.run(), ForkHeld)
        assert noted == [refused, pulls.id]

    def test_is_not_what_comes_from_our_own_branch(self, pulls, app):
        pulls.ok(pulls.open(), branch(app, "change"))


class TestAsked:
    @pytest.fixture(autouse=True)
    def asks(self, pulls):
        pulls.change(forks="ask")

    def test_waits_for_a_person_and_nothing_of_it_is_fetched_or_run(self, fork):
        error = fork.run()

        assert isinstance(error, ForkHeld)
        assert fork.revision in error.hint
        assert fork.says().keys() == {"kanvaro"}
        assert fork.says()["kanvaro"] == f"{WAITS.format(fork.revision[:10])} approved_by"
        assert not fork.is_fetched
        assert fork.has_run == []

    def test_runs_once_a_person_has_read_it_who_is_on_record_with_the_revision(self, pulls, fork):
        fork.run()

        assert "passed its checks" in fork.run(approved_by="ada")

        assert fork.has_run == [fork.revision]
        assert fork.says()["kanvaro"].startswith("success: 3 checks passed")
        assert fork.says()["kanvaro"].endswith("a fork's, read by ada")
        [told], timeline = kept_of(pulls.id)
        assert f"ada has read `{fork.revision}` of pull request 1" in told
        assert f"ada has read {fork.revision} of pull request 1: it may run" in timeline

    def test_is_not_approved_by_some_digits_of_its_revision(self, fork):
        """Two commits with the same first digits are made within minutes."""
        error = fork.run(fork.revision[:39], approved_by="ada")

        assert isinstance(error, ForkHeld)
        assert "this whole SHA" in error.hint
        assert fork.has_run == []

    def test_waits_again_after_a_newer_push_though_the_older_one_was_read(self, fork):
        older = fork.revision
        fork.run(approved_by="ada")
        newer = fork.push()

        assert isinstance(fork.run(older, approved_by="ada"), Superseded)
        assert isinstance(fork.run(newer), ForkHeld)

        assert fork.has_run == [older]
        assert fork.says(newer)["kanvaro"].startswith(WAITS.format(newer[:10]))
        assert fork.says(older)["kanvaro"].startswith("success"), "that verdict stands"

    def test_never_runs_a_push_that_comes_just_after_the_approval_was_looked_at(
        self, pulls, fork, monkeypatch
    ):
        from tasks.github.pull_request import checkout

        older, newer = fork.revision, []
        check_out = checkout.check_out_pull

        def pushed_meanwhile(*args):
            newer.append(fork.push())
            look_at_pull(pulls.environment, fork.number)  # GitHub has the push now
            return check_out(*args)

        monkeypatch.setattr(checkout, "check_out_pull", pushed_meanwhile)

        assert isinstance(fork.run(approved_by="ada"), Superseded)

        assert fork.has_run == [older]
        assert fork.says(older)["kanvaro"].startswith("error: superseded")
        assert fork.says(newer[0]) == {}

    def test_keeps_its_verdict_when_it_is_started_again_without_an_approval(self, pulls, fork):
        fork.run(approved_by="ada")
        verdict = fork.says()

        assert isinstance(fork.run(), ForkHeld)

        assert fork.says() == verdict
        for each in pulls.repository.statuses:  # as if the approved run were under way
            each["state"] = "pending"
        before = fork.says()
        assert isinstance(fork.run(), ForkHeld)
        assert fork.says() == before

    def test_whose_run_says_no_keeps_that_and_who_read_it(self, pulls, fork):
        package = json.loads((fork.folder / "package.json").read_text())
        package["scripts"]["test:unit"] = "node -e 'process.exit(3)'"
        revision = fork.sample.commit({"package.json": json.dumps(package)}, "worse")

        assert isinstance(fork.run(revision, approved_by="ada"), CheckFailed)

        assert fork.says(revision)["kanvaro"].startswith("failure: unit:")
        assert f"ada has read `{revision}`" in kept_of(pulls.id)[0][0]


class TestByTheWebhook:
    """The receiver asks the same policy, of the environment in which the run would be."""

    @pytest.fixture
    def deliver(self, pulls, monkeypatch):
        started = []

        async def run(start, key):
            started.append((start.deployment, dict(start.parameters)))

        with get_client(sync_client=True) as client:
            flow = client.create_flow(pull_request)
            client.create_deployment(
                flow_id=flow, name="kanvaro", parameters={"environment": pulls.name}
            )

        def post(fork, action="opened"):
            door = receiver(SECRET, REPOSITORY, run=run)
            return delivered(door, SECRET, "pull_request", _event(pulls, fork, action))

        post.started = started
        return post

    def test_starts_no_run_where_forks_are_refused_and_says_so_on_github(self, fork, deliver):
        answer = deliver(fork)

        assert answer.status_code == 202
        assert answer.json()["said"].startswith("not started: not checked: pull requests from")
        assert deliver.started == []
        assert fork.says()["kanvaro"].startswith(REFUSED)
        assert not fork.is_fetched

    def test_starts_no_run_where_a_person_is_asked_and_says_who_it_waits_for(
        self, pulls, fork, deliver
    ):
        pulls.change(forks="ask")
        deliver(fork)
        assert fork.says()["kanvaro"].startswith(WAITS.format(fork.revision[:10]))
        first = fork.revision
        fork.run(approved_by="ada")

        deliver(fork, "reopened")
        fork.push()
        deliver(fork, "synchronize")

        assert deliver.started == []
        assert fork.says(first)["kanvaro"].startswith("success")
        assert fork.says()["kanvaro"].startswith(WAITS.format(fork.revision[:10]))

    def test_starts_the_run_where_the_policy_says_so(self, pulls, fork, deliver):
        pulls.change(forks="run")

        assert deliver(fork).json()["said"] == "started: pull-request/kanvaro"

        asked = {"number": fork.number, "revision": fork.revision}
        assert deliver.started == [("pull-request/kanvaro", asked)]
        assert fork.says() == {}

    def test_starts_nothing_where_github_does_not_take_the_status(self, pulls, fork, deliver):
        event = _event(pulls, fork, "opened")
        assert event["number"] == fork.number
        pulls.hub.faults.add("down", method="POST", path="/statuses/", times=50)

        answer = deliver(fork)

        pulls.hub.faults.clear()
        assert answer.status_code == 503
        assert deliver.started == []


def _event(pulls, fork, action):
    event = event_of(pulls.environment.github_address, REPOSITORY, fork.number, action)
    assert event["pull_request"]["head"]["sha"] == fork.revision
    return event
