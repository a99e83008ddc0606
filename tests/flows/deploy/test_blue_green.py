"""What users meet while a version goes live: the good cases, and those that others know by name."""

import json
import os
import signal
import threading
import time

import prefect.flow_engine
import pytest
from aiohttp import web
from prefect._internal import control_listener
from prefect.exceptions import TerminationSignal

from delivery.errors import (
    AbortedByRollback,
    CanaryFailed,
    Drift,
    NeverBecameHealthy,
    NeverProven,
    RequestRefused,
    RolloutFailed,
    SmokeFailed,
    Superseded,
    TimedOut,
    UnknownRevision,
    Unreachable,
)
from delivery.platform.images import Image
from delivery.platform.route import Colour, shifted, swapped
from tasks.platform.app_runner.service import await_deployment, change_service
from tasks.platform.routing import router_of, write_route
from tasks.platform.versions import choose_version
from tasks.run import ledger
from tasks.run.lock_row import read_waiting
from tasks.run.summary import stages_of
from tests.flows.deploy.moves import answer, until


@pytest.fixture
def live(moves):
    """An environment in which a first version serves, on blue."""

    def make(**policy):
        made = moves(**policy)
        made.first = made.publish()
        made.serve(made.first)
        return made

    return make


def test_the_first_version_goes_live_and_the_ledger_says_who_and_why(moves):
    env = moves()
    version = env.publish()

    env.ok(version, reason="our first day")

    assert env.live() == version
    [release] = env.releases()
    assert (release.revision, release.colour, release.reason) == (version, "blue", "our first day")
    assert release.operations
    assert not env.intents()
    assert env.holder() is None
    assert "our first day" in env.said()
    assert "is live in" in env.said()


def test_a_new_version_takes_over_and_the_old_one_stays_warm(live):
    env = live()
    version = env.publish()

    env.ok(version)

    assert env.live() == version
    assert env.all_on() is Colour.GREEN
    assert env.services() == {"blue": "RUNNING", "green": "RUNNING"}
    assert [each.revision for each in env.releases()] == [env.first, version]


def test_without_a_warm_time_the_old_colour_is_paused_and_resumed_for_the_next_version(live):
    env = live(keep_warm_s=0)
    env.ok(env.publish())
    until(lambda: env.services()["blue"] == "PAUSED", "blue is paused")

    third = env.publish()
    env.ok(third)

    assert env.live() == third
    until(lambda: env.services() == {"blue": "RUNNING", "green": "PAUSED"}, "green is paused")
    assert env.changes()[-4:] == ["PauseService", "ResumeService", "UpdateService", "PauseService"]


async def unready(request):
    is_live = request.rel_url.path == "/api/health/live"
    return web.Response(status=200 if is_live else 503)


SMOKE_FAILS = "node -e \"console.log('the cart is empty'); process.exit(1)\""


@pytest.mark.parametrize(
    ("health", "scripts", "kind", "why"),
    [
        ("never", {}, RolloutFailed, "CREATE_FAILED|CREATE_SERVICE"),
        (unready, {}, NeverBecameHealthy, "503"),
        ("wrong revision", {}, NeverBecameHealthy, "0000000000"),
        ("ok", {"test_smoke": SMOKE_FAILS}, SmokeFailed, "the cart is empty"),
    ],
    ids=["never healthy", "not ready", "wrong revision", "smoke tests fail"],
)
def test_good_to_bad_before_promotion_no_user_meets_it(live, health, scripts, kind, why):
    env = live(health_timeout_s=1)
    before = env.route()
    bad = env.publish(health, **scripts)

    error = env.fail(kind, bad)

    assert env.route() == before
    assert env.live() == env.first
    assert [each.revision for each in env.releases()] == [env.first]
    assert not env.intents()
    assert env.holder() is None
    assert any(word in str(error) for word in why.split("|")), error
    assert "all on blue" in env.said()


def test_smoke_tests_are_those_of_the_revision_and_meet_the_idle_colour(live):
    env = live()
    script = (
        "node -e \"const url = process.argv[1].split('=')[1];"
        "fetch(url + '/api/health').then((answer) => answer.text()).then((text) =>"
        "console.log('SEEN', text + process.env.REVISION))\" --"
    )
    version = env.publish(test_smoke=script)

    env.ok(version)

    [log] = (env.environment.data_dir / "logs").glob("*/smoke-test.log")
    [seen] = [line for line in log.read_text().splitlines() if line.startswith("SEEN ")]
    assert seen.count(version) == 2


def test_bad_to_bad_to_good(live):
    env = live(health_timeout_s=0.5)
    for _ in range(2):
        env.fail(NeverBecameHealthy, env.publish("wrong revision"))
        assert env.live() == env.first
    good = env.publish()

    env.ok(good)

    assert env.live() == good
    assert [each.revision for each in env.releases()] == [env.first, good]
    assert env.changes() == ["CreateService", "CreateService", "UpdateService", "UpdateService"]


class SickWithUsers:
    """Well for so many users, and unwell for whoever comes after the last of them."""

    def __init__(self, revision, users):
        self.revision, self.users, self.met = revision, users, 0

    async def __call__(self, request):
        is_user = "x-kanvaro-colour" in request.headers
        self.met += is_user
        is_well = self.met < self.users or (is_user and self.met == self.users)
        said = {"status": "ok" if is_well else "error", "revision": self.revision()}
        return web.json_response(said, status=200 if is_well else 503)


def test_post_promotion_fail_a_version_that_sickens_with_users_is_taken_back(live):
    env = live(bake_s=20)
    health = SickWithUsers(lambda: bad, users=env.environment.policy.public_answers)
    bad = env.publish(health)

    error = env.fail(CanaryFailed, bad)

    assert health.met >= env.environment.policy.public_answers
    assert "3 looks in a row failed" in str(error)
    assert env.all_on() is Colour.BLUE
    assert env.live() == env.first
    assert [each.revision for each in env.releases()] == [env.first]
    assert not env.intents()
    said = env.said()
    assert "met users of" in said
    assert "3 looks in a row failed" in said
    assert "traffic is back" in said


def test_post_promotion_fail_errors_that_only_users_meet_are_seen_in_cloudwatch(live):
    """Its health says it is well; what users get says otherwise."""
    env = live(bake_s=3, fewest_requests=5)
    bad = env.publish()
    run = env.begin(bad)
    until(lambda: env.live() == bad, "the new version has the traffic")
    for _ in range(40):  # longer than one period of the metrics
        env.get("/status/500")
        time.sleep(0.05)

    error = run.error()

    assert isinstance(error, CanaryFailed), error
    assert "requests failed" in str(error)
    assert env.live() == env.first


class SlowToWake:
    """Not ready for so many looks, then well."""

    def __init__(self, revision, looks):
        self.revision, self.looks, self.asked = revision, looks, 0

    async def __call__(self, request):
        if request.rel_url.path == "/api/health/live":
            return web.Response()
        self.asked += 1
        said = {"status": "ok", "revision": self.revision()}
        return web.json_response(said, status=200 if self.asked > self.looks else 503)


def test_our_own_looks_at_a_version_that_was_not_ready_yet_are_no_failures_of_users(live):
    """CloudWatch counts them, and hardly anybody else is there."""
    env = live(bake_s=3)
    health = SlowToWake(lambda: good, looks=15)
    good = env.publish(health)

    env.ok(good)

    assert health.asked > health.looks
    assert env.live() == good


def test_abort_retry_promote(live, monkeypatch):
    """As Prefect's runner cancels: it says so, then sends SIGTERM."""
    env = live(bake_s=30)
    version = env.publish()
    for place in (prefect.flow_engine, control_listener):
        monkeypatch.setattr(place, "get_intent", lambda: "cancel")
    # Whatever becomes of the run: a signal that finds it gone must not end the tests.
    before_the_run = signal.signal(signal.SIGTERM, lambda *_: None)
    sending_once = []

    def cancel_once_it_has_traffic():
        until(lambda: env.live() == version, "the new version has the traffic")
        time.sleep(0.3)  # in the bake
        sending_once.append(env.route().version)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=cancel_once_it_has_traffic, daemon=True).start()
    try:
        with pytest.raises(TerminationSignal):
            env.deploy(version)
    finally:
        signal.signal(signal.SIGTERM, before_the_run)

    assert env.live() == env.first
    assert env.route().version == sending_once[0] + 1
    assert env.holder() is None

    monkeypatch.undo()
    env.change(policy={"bake_s": 0.2})
    env.ok(version)
    assert env.live() == version


def test_progress_deadline_an_operation_that_does_not_end_is_not_waited_for_for_ever(live):
    env = live(operation_timeout_s=1)
    env.stand.app_runner.faults.add("CreateService", "stuck")
    try:
        error = env.fail(TimedOut, env.publish())
    finally:
        env.stand.app_runner.faults.release()

    assert "not after 1 s; last seen: CREATE_SERVICE" in str(error)
    assert "may still happen" in error.hint
    assert env.live() == env.first
    assert env.all_on() is Colour.BLUE


def alarm(env, name, threshold):
    """An alarm on a figure that is 1 or more; it rings if `threshold` is lower."""
    client = env.stand.aws.client("cloudwatch")
    client.put_metric_alarm(
        AlarmName=name,
        Namespace="test",
        MetricName="errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=threshold,
        ComparisonOperator="GreaterThanThreshold",
    )
    return client


def ring(client, name, state="ALARM"):
    client.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")
    [found] = client.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert found["StateValue"] == state


def test_while_an_alarm_rings_already_nothing_is_shifted(live):
    env = live(alarms=["users-suffer"])
    client = alarm(env, "users-suffer", 1)
    ring(client, "users-suffer")
    before = env.route()

    error = env.fail(RequestRefused, env.publish())

    assert "users-suffer" in str(error)
    assert env.route() == before
    assert env.live() == env.first


def test_an_alarm_that_begins_to_ring_takes_the_traffic_back(live):
    env = live(alarms=["users-suffer"], bake_s=3)
    client = alarm(env, "users-suffer", 1)
    ring(client, "users-suffer", "OK")
    version = env.publish()
    run = env.begin(version)
    until(lambda: env.live() == version, "the new version has the traffic")
    ring(client, "users-suffer")

    error = run.error()

    assert isinstance(error, CanaryFailed), error
    assert "users-suffer" in str(error)
    assert env.live() == env.first


def test_an_alarm_that_does_not_exist_is_not_taken_for_a_silent_one(live):
    env = live(alarms=["mistyped"])

    error = env.deploy(env.publish()).result(raise_on_failure=False)

    assert "there is no alarm mistyped" in str(error)
    assert env.live() == env.first


def test_new_commits_during_the_bake_wait_and_only_the_newest_of_them_goes_live(live):
    env = live(bake_s=12)
    first, second, third = env.publish(), env.publish(), env.publish()
    one = env.begin(first)
    until(lambda: env.live() == first, "the first has the traffic")
    env.change(policy={"bake_s": 0.2})
    two = env.begin(second)
    until(lambda: waits(env, second), "the second waits")
    three = env.begin(third)
    until(lambda: waits(env, third), "the third waits")
    assert env.holder().title.startswith(first[:10])
    assert env.live() == first

    assert isinstance(two.error(), Superseded)
    assert str(third)[:10] in str(two.error()) or "waits for the same deploy lock" in str(
        two.error()
    )
    assert one.state().is_completed()
    assert three.state().is_completed()
    assert env.live() == third
    assert [each.revision for each in env.releases()] == [env.first, first, third]


def waits(env, version):
    return any(each.title.startswith(version[:10]) for each in read_waiting(env.environment))


def test_a_rollback_during_a_deploy_is_obeyed_at_once(live):
    env = live(bake_s=60)
    version = env.publish()
    deploying = env.begin(version)
    until(lambda: env.live() == version, "the new version has the traffic")

    state = env.go_back(reason="the cart is empty")

    assert state.is_completed(), state
    assert isinstance(deploying.error(), AbortedByRollback), deploying.error()
    assert "the cart is empty" in str(deploying.error())
    assert env.live() == env.first
    assert env.all_on() is Colour.BLUE
    assert not env.intents()


def test_a_rollback_does_not_wait_for_the_proof_of_what_is_not_live_yet(live):
    env = live(health_timeout_s=100)
    deploying = env.begin(env.publish(health="wrong revision"))
    until(lambda: env.services().get("green") == "RUNNING", "it is up, and not proven")

    state = env.go_back(env.first, reason="stop this")

    assert state.is_completed(), state
    assert isinstance(deploying.error(), AbortedByRollback), deploying.error()
    assert env.live() == env.first


def test_steps_give_each_share_to_as_many_users_and_nobody_goes_back_and_forth(live):
    env = live(shift_steps=[10, 50, 100], step_s=3, bake_s=0.2, switch_timeout_s=20)
    version = env.publish()
    viewers = [{"Cookie": f"kanvaro-viewer={number:016x}"} for number in range(100)]
    seen = {}
    run = env.begin(version)
    for share in (10, 50):
        until(lambda share=share: env.route().share == share, f"{share} %")
        time.sleep(0.2)
        seen[share] = [version in env.get("/api/health", **viewer)[1] for viewer in viewers]
        assert env.route().share == share

    assert run.state().is_completed()
    assert 2 <= sum(seen[10]) <= 22
    assert 35 <= sum(seen[50]) <= 65
    assert all(after for before, after in zip(seen[10], seen[50], strict=True) if before)
    assert env.live() == version
    run_id = str(env.releases()[-1].run)
    assert all(f"has {share} % of the traffic" in env.said(run_id) for share in (10, 50, 100))


@pytest.mark.parametrize(("policy", "goes_live"), [("go on", True), ("take back", False)], ids=str)
def test_too_few_requests_are_watched_longer_and_then_the_policy_decides(live, policy, goes_live):
    env = live(fewest_requests=10_000, extensions=2, if_too_few=policy, bake_s=0.3)
    version = env.publish()

    state = env.deploy(version)

    assert state.is_completed() is goes_live
    assert env.live() == (version if goes_live else env.first)
    if not goes_live:
        assert "too few requests" in str(state.result(raise_on_failure=False))
    assert len([name for name in stages(env) if "well with 100 %" in name]) == 3


def stages(env):
    return [stage.name for stage in stages_of(env.id)]


@pytest.mark.parametrize("agrees", [True, False])
def test_too_few_requests_a_person_is_asked_and_what_they_say_is_done(live, agrees):
    env = live(fewest_requests=10_000, extensions=0, if_too_few="ask", bake_s=0.1)
    version = env.publish()
    run = env.begin(version)
    holder = until(env.holder, "the run has its lock")
    answer(holder.run, go_on=agrees, who="Grace", why="it is night")

    state = run.state()

    assert state.is_completed() is agrees
    assert env.live() == (version if agrees else env.first)
    assert "waits for your decision" in env.said(holder.run)
    assert ("Grace agreed: it is night" in env.releases()[-1].reason) is agrees


def test_a_question_that_nobody_answers_is_a_no(live):
    env = live(fewest_requests=10_000, extensions=0, ask_timeout_s=1, bake_s=0.1)

    error = env.fail(CanaryFailed, env.publish())

    assert "too few requests" in str(error)
    assert env.live() == env.first
    assert env.all_on() is Colour.BLUE


def test_a_rollback_does_not_wait_until_somebody_answers_a_question(live):
    env = live(fewest_requests=10_000, extensions=0, if_too_few="ask", bake_s=0.1)
    deploying = env.begin(env.publish())
    run = until(env.holder, "the run has its lock").run
    until(lambda: "waits for your decision" in env.said(run), "the run asks")

    state = env.go_back()

    assert state.is_completed(), state
    assert isinstance(deploying.error(), AbortedByRollback)
    assert env.live() == env.first


def test_an_approved_shift_is_in_the_ledger_with_who_and_why(live):
    env = live(approval=True)
    version = env.publish()
    run = env.begin(version, reason="a better cart")
    holder = until(env.holder, "the run has its lock")
    until(lambda: "waits for your decision" in env.said(holder.run), "the run asks")
    assert env.live() == env.first
    assert not env.route().is_shifting
    answer(holder.run, go_on=True, who="Grace", why="looked at it")

    assert run.state().is_completed()
    assert env.live() == version
    assert env.releases()[-1].reason == "a better cart; Grace agreed: looked at it"


def test_a_refused_shift_never_happens(live):
    env = live(approval=True)
    before = env.route()
    run = env.begin(env.publish())
    holder = until(env.holder, "the run has its lock")
    answer(holder.run, go_on=False, who="Grace", why="it is Friday")

    error = run.error()

    assert isinstance(error, RequestRefused), error
    assert "Grace refused: it is Friday" in str(error)
    assert env.route() == before


def test_a_plan_changes_nothing_and_names_every_call_that_the_run_then_makes(live):
    env = live(keep_warm_s=0, shift_steps=[50, 100])
    version = env.publish()
    before, rows = env.route(), env.row()
    sent = len(env.stand.app_runner.calls)

    text = env.ok(version, plan=True)

    assert env.route() == before
    assert env.row() == rows
    assert env.changes() == ["CreateService"]
    planned = [line.split()[0] for line in text.splitlines() if ":" in line.split()[0]]
    sending_once = env.route().version
    env.ok(version)
    made = [call.operation for call in env.stand.app_runner.calls[sent:]]
    made = [name for name in made if not name.startswith(("Describe", "List"))]
    assert [each for each in planned if each.startswith("apprunner:")] == [
        f"apprunner:{name}" for name in made
    ]
    puts = [each for each in planned if each.endswith(":PutKey")]
    assert len(puts) == env.route().version - sending_once
    assert "cloudfront:UpdateDistribution" in planned


def test_a_plan_for_what_is_live_says_so(live):
    env = live()

    assert env.ok(env.first, plan=True).startswith("nothing would be changed")


def test_what_is_live_already_is_not_touched_again(live):
    env = live()
    before, changes = env.route(), env.changes()

    env.ok(env.first)

    assert env.route() == before
    assert env.changes() == changes
    assert len(env.releases()) == 1
    assert "already live" in env.said()


def test_an_image_that_did_not_pass_ci_is_refused_before_anything_is_changed(live):
    env = live()
    before = env.row(), env.route(), env.changes()

    error = env.fail(NeverProven, env.publish(proven=False))

    assert "did not pass the checks" in str(error)
    assert (env.row(), env.route(), env.changes()) == before


def test_an_image_that_was_never_pushed_is_refused(live):
    error = live().fail(UnknownRevision, "f" * 40)

    assert "holds no image" in str(error)


def test_a_version_is_named_by_its_revision_some_of_it_its_tag_or_its_digest(live):
    env = live()
    version = env.publish(tag="v2.0.0")

    for named in (version, version[:7], version[:12], "v2.0.0", env.digests[version]):
        assert choose_version.fn(env.environment, named).revision == version
    with pytest.raises(UnknownRevision):
        choose_version.fn(env.environment, version[:6])
    with pytest.raises(UnknownRevision):
        choose_version.fn(env.environment, f"sha256:{'0' * 64}")


def test_a_tag_of_another_image_than_the_one_that_passed_is_refused(live):
    """Somebody pushed over what `ci` proved: the proof is of a digest, not of a name."""
    env = live()
    version = env.publish()
    client = env.stand.aws.client("ecr")
    name = env.environment.ecr_repository
    client.batch_delete_image(repositoryName=name, imageIds=[{"imageTag": version}])
    manifest = json.dumps({"schemaVersion": 2, "layers": [], "annotations": {"not": version}})
    client.put_image(repositoryName=name, imageManifest=manifest, imageTag=version)

    error = env.fail(NeverProven, version)

    assert "what passed is" in str(error)


def test_where_somebody_changed_the_route_by_hand_nothing_is_deployed(live):
    env = live()
    env.serve(env.publish())
    seen = router_of(env.environment).read()
    by_hand = swapped(seen.route, seen.route.hosts[Colour.BLUE], seen.route.token)
    router_of(env.environment).write(by_hand, seen.etag)
    changes = env.changes()

    error = env.fail(Drift, env.publish())

    assert "the ledger says green is live, the route says blue" in str(error)
    assert env.changes() == changes
    assert env.route() == by_hand


def test_a_shift_that_is_gone_on_with_is_put_back_too_when_a_proof_fails(live):
    """Another run gave it half of the traffic and died; meanwhile it has sickened."""
    env = live(health_timeout_s=1)
    version = env.publish("wrong revision")
    colour = env.environment.on(Colour.GREEN)
    image = Image(env.stand.repository, env.digests[version], version)
    service = await_deployment.fn(colour, change_service(colour, image))
    seen = router_of(env.environment).read()
    half = shifted(seen.route, 50, service.address, seen.route.token)
    write_route(env.environment, seen, half)

    env.fail(NeverBecameHealthy, version)

    assert not env.route().is_shifting
    assert env.live() == env.first
    assert "put the traffic back" in str(stages_of(env.id))


def test_a_release_whose_record_could_not_be_written_is_written_by_the_next_run(live, monkeypatch):
    env = live()
    version = env.publish()

    def refused(*_):
        raise Unreachable("the ledger does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "record_release", refused)
        env.fail(Unreachable, version)
    assert env.live() == version
    assert env.releases()[-1].revision == env.first

    env.ok(version)

    assert env.releases()[-1].revision == version
    assert not env.intents()
