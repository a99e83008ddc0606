"""The way back: how quick it is, what it refuses, and that nothing holds it up."""

import time

import pytest

from delivery.errors import RequestRefused, UnknownRevision
from delivery.platform.route import Colour, shifted, swapped
from flows.status import status
from sandbox.app_runner.instances.programs import Program
from tasks.platform.routing import router_of
from tests.flows.deploy.moves import until
from tests.flows.deploy.test_blue_green import alarm, ring
from tests.flows.stand import arn_of


@pytest.fixture
def served(moves):
    """An environment in which each of so many versions was live, the last one now."""

    def make(count=2, migrations=(), **policy):
        made = moves(**policy)
        given = [*migrations, *["none"] * count][:count]
        made.versions = [made.publish(migration=each) for each in given]
        made.serve(*made.versions)
        return made

    return make


def way_back(env):
    """What `status` says that a rollback would do."""
    return status(env.name).split("way back")[1].splitlines()[0]


def test_to_a_warm_colour_it_is_one_write_and_app_runner_is_not_asked_for_anything(served):
    env = served()
    before, changes, said = env.route(), env.changes(), way_back(env)

    state = env.go_back(reason="the cart is empty")

    assert state.is_completed(), state
    assert env.live() == env.versions[0]
    assert env.route().version == before.version + 1
    assert env.changes() == changes
    assert "one write of the route: all traffic to blue" in said
    release = env.releases()[-1]
    assert (release.kind, release.colour, release.revision) == ("rollback", "blue", env.versions[0])
    assert release.reason == "the cart is empty"
    assert not env.intents()
    told = env.said()
    assert "the cart is empty" in told
    assert "is back on" in told


def test_to_a_paused_colour_it_resumes_proves_and_shifts(served):
    env = served()
    arn = arn_of(env.environment, Colour.BLUE)
    env.environment.sending_once("apprunner").pause_service(ServiceArn=arn)
    said = way_back(env)

    state = env.go_back()

    assert state.is_completed(), state
    assert env.live() == env.versions[0]
    assert env.changes()[-2:] == ["PauseService", "ResumeService"]
    assert "resume blue" in said


def test_to_a_version_that_no_colour_holds_it_is_deployed_by_its_digest(served):
    env = served(3)

    state = env.go_back(env.versions[0])

    assert state.is_completed(), state
    assert env.live() == env.versions[0]
    assert env.changes()[-1] == "UpdateService"
    assert env.releases()[-1].digest == env.digests[env.versions[0]]


def test_twice_previous_goes_further_back_and_never_forward(served):
    env = served(3)

    for expected in (env.versions[1], env.versions[0]):
        assert expected[:10] in way_back(env)
        assert env.go_back().is_completed()
        assert env.live() == expected
    error = env.refuse_to_go_back(RequestRefused)

    assert "first version" in str(error)
    assert "first version" in way_back(env)
    assert env.live() == env.versions[0]


@pytest.mark.parametrize("named", ["revision", "digest", "tag"])
def test_a_version_is_named_by_revision_digest_or_tag(moves, named):
    env = moves()
    first = env.publish(tag=f"v-{time.time_ns()}")
    second = env.publish()
    env.serve(first, second)
    client = env.stand.aws.client("ecr")
    names = client.describe_images(
        repositoryName=env.environment.ecr_repository, imageIds=[{"imageTag": first}]
    )["imageDetails"][0]["imageTags"]
    [tag] = [name for name in names if name != first]

    state = env.go_back({"revision": first[:10], "digest": env.digests[first], "tag": tag}[named])

    assert state.is_completed(), state
    assert env.live() == first


def test_a_version_that_was_never_live_is_refused_unless_that_is_known(served):
    env = served()
    never = env.publish()
    before = env.row(), env.route()

    error = env.refuse_to_go_back(UnknownRevision, never)

    assert "never live here" in str(error)
    assert (env.row(), env.route()) == before
    assert env.go_back(never, force=True).is_completed()
    assert env.live() == never


def test_an_irreversible_migration_in_between_is_refused_unless_that_is_known(served):
    env = served(migrations=["none", "irreversible"])

    error = env.refuse_to_go_back(RequestRefused)

    assert "irreversible migration" in str(error)
    assert "Repair forwards" in error.hint
    assert env.live() == env.versions[1]
    assert "irreversible migration" in way_back(env)
    assert env.go_back(force=True).is_completed()
    assert env.live() == env.versions[0]


def test_where_nothing_was_ever_live_it_is_refused(moves):
    error = moves().refuse_to_go_back(RequestRefused)

    assert "nothing is live" in str(error)


def test_drift_a_ringing_alarm_and_too_few_requests_do_not_stop_it(served):
    """Whoever asks for it knows that something is wrong, and nobody may have to answer a form."""
    env = served(3, alarms=["users-suffer"], fewest_requests=10_000, approval=True)
    ring(alarm(env, "users-suffer", 1), "users-suffer")
    seen = router_of(env.environment).read()
    other = seen.route.idle
    by_hand = swapped(seen.route, seen.route.hosts[other], seen.route.token)
    router_of(env.environment).write(by_hand, seen.etag)
    assert "drift" in status(env.name)

    state = env.go_back(env.versions[0])

    assert state.is_completed(), state
    assert env.live() == env.versions[0]


def test_a_slack_that_is_down_neither_fails_nor_delays_it(served):
    env = served()
    env.stand.fakes.slack.faults.add("slow", times=50, seconds=8)
    told = len(env.stand.fakes.slack.messages)
    try:
        run = env.begin_to_go_back()
        until(lambda: env.live() == env.versions[0], "users are back")
        assert len(env.stand.fakes.slack.messages) == told
    finally:
        env.stand.fakes.slack.faults.clear()

    assert run.state(90).is_completed()
    assert env.live() == env.versions[0]


def test_in_place_the_service_is_updated_to_the_digest_of_before(moves):
    env = moves()
    env.change(strategy="in-place", public_address=None, router=None)
    first, second = env.publish(), env.publish()
    for version in (first, second):
        env.ok(version)

    state = env.go_back()

    assert state.is_completed(), state
    assert env.changes() == ["CreateService", "UpdateService", "UpdateService"]
    [service] = env.services_in_place()
    assert service["SourceConfiguration"]["ImageRepository"]["ImageIdentifier"].endswith(
        env.digests[first]
    )
    assert [each.kind for each in env.releases()] == ["deploy", "deploy", "rollback"]


def test_while_a_shift_is_half_done_previous_is_what_all_had_before_it(served):
    """The run that shifted is dead: nobody holds the deploy lock, and users are split."""
    env = served()
    seen = router_of(env.environment).read()
    split = shifted(seen.route, 50, seen.route.hosts[Colour.BLUE], seen.route.token)
    router_of(env.environment).write(split, seen.etag)

    state = env.go_back()

    assert state.is_completed(), state
    assert env.all_on() is Colour.GREEN
    assert env.live() == env.versions[1]


def test_a_warm_colour_that_is_not_well_gets_no_traffic(served):
    env = served()
    digest = env.digests[env.versions[0]]
    sick = [each for each in env.stand.programs.running.values() if each.launch.digest == digest]
    for each in sick:
        each.program = Program(revision=env.versions[0], health="wrong revision")
    env.change(policy={"health_timeout_s": 1})

    state = env.go_back()

    assert sick
    assert state.is_failed()
    assert env.live() == env.versions[1]
    assert not env.route().is_shifting
