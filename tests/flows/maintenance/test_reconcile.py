"""What dead runs left is put in order, and what is in order is left alone."""

import time
from dataclasses import asdict, replace

import pytest

from delivery.platform.route import Colour, shifted, swapped
from delivery.rotation.record import Record
from delivery.run.ledger import Intent
from flows.reconcile import reconcile
from tasks.platform.routing import router_of, write_route
from tasks.run import ledger
from tasks.run.lock_row import read_lock, read_waiting, update_lock
from tests.flows.deploy.moves import Beside, until
from tests.flows.maintenance.test_status import hold, open_intent, write


@pytest.fixture
def served(moves):
    def make(**policy):
        made = moves(**policy)
        made.versions = [made.publish(), made.publish()]
        made.serve(*made.versions)
        return made

    return make


def test_what_is_in_order_is_left_alone(served):
    env = served()
    before = env.row(), env.route(), env.changes()

    assert reconcile(env.name) == f"{env.name} is in order"

    assert (env.row(), env.route(), env.changes()) == before


def test_once_its_warm_time_is_over_the_idle_colour_is_paused_and_never_the_live_one(served):
    env = served(keep_warm_s=0.1)

    reconcile(env.name)

    until(lambda: env.services()["blue"] == "PAUSED", "blue is paused")
    assert env.services()["green"] == "RUNNING"
    assert env.live() == env.versions[1]
    assert env.holder() is None
    assert not env.intents()
    changes = env.changes()

    assert reconcile(env.name) == f"{env.name} is in order"

    assert env.changes() == changes


def test_a_shift_that_a_dead_run_left_is_put_back_and_told(served):
    env = served()
    write(env, lambda route: shifted(route, 50, route.hosts[Colour.BLUE], route.token))
    open_intent(env)
    hold(env, "a-dead-run")
    before = env.route()

    text = reconcile(env.name)

    assert env.all_on() is Colour.GREEN
    assert env.live() == env.versions[1]
    assert env.route().token == read_lock(env.environment).token > before.token
    assert env.holder() is None
    assert not env.intents()
    assert "a shift is under way" in text
    told = str([each.blocks for each in env.stand.fakes.slack.messages[-1:]])
    assert "what a killed run left half done was recovered" in told


def test_a_promotion_that_a_dead_run_did_not_write_down_is_written_down(served):
    """It wrote the route, and died before the ledger."""
    env = served()
    release = env.releases()[0]
    seen = router_of(env.environment).read()
    wanted = swapped(seen.route, seen.route.hosts[Colour.BLUE], seen.route.token)
    number = read_lock(env.environment).token
    write_route(env.environment, seen, wanted)
    late = {**asdict(release), "number": number + 1, "route_version": wanted.version}
    intent = Intent(number + 1, 1, "swap", "blue", "a-dead-run", ledger.now(), {"release": late})
    ledger.open_intent(env.environment, intent)
    hold(env, "a-dead-run")

    reconcile(env.name)

    assert env.live() == env.versions[0]
    assert [each.revision for each in env.releases()] == [*env.versions, env.versions[0]]
    assert not env.intents()


def test_a_living_run_is_left_alone(served):
    env = served(bake_s=8, keep_warm_s=0.1)
    version = env.publish()
    run = env.begin(version)
    until(lambda: env.live() == version, "the new version has the traffic")
    before = env.route()

    text = reconcile(env.name)

    assert "a living run holds the deploy lock" in text
    assert env.route() == before
    assert run.state().is_completed()
    assert env.live() == version


def test_a_run_that_ends_by_itself_while_it_is_looked_at_is_not_told_as_dead(served):
    env = served()
    told = len(env.stand.fakes.slack.messages)
    open_intent(env)
    hold(env)
    run = Beside(reconcile, {"environment": env.name})
    until(lambda: read_waiting(env.environment), "reconcile waits to see whether it lives")

    [intent] = env.intents()
    ledger.close_intent(env.environment, replace(intent, closed=ledger.now(), outcome="done"))
    token = {":token": {"N": str(read_lock(env.environment).token)}}
    assert update_lock(env.environment, "REMOVE holder", "#token = :token", token)

    assert run.state().result() == f"{env.name} is in order"
    assert len(env.stand.fakes.slack.messages) == told
    assert env.holder() is None


def test_drift_is_told_once_and_once_more_when_it_is_over(served):
    env = served()
    messages = env.stand.fakes.slack.messages
    before, as_it_was = len(messages), env.route()
    write(env, lambda route: swapped(route, route.hosts[Colour.BLUE], route.token))

    text = reconcile(env.name)
    assert "A PERSON HAS TO LOOK: drift: the ledger says green" in text
    assert "A PERSON HAS TO LOOK" in reconcile(env.name), "the run says it as long as it lasts"

    [told] = messages[before:]
    assert "a person has to look" in str(told.blocks)

    write(env, lambda _: as_it_was)
    assert reconcile(env.name) == f"{env.name} is in order"
    reconcile(env.name)

    [over] = messages[before + 1 :]
    assert "is as it should be again" in str(over.blocks)


def test_a_rotation_that_stands_still_is_told_with_what_to_run(served):
    env = served()
    begun = Record("kanvaro/mongodb", "2026-11-22", "old", "new", time.time() - 7200, step="set")
    ledger.write_rotation(env.environment, begun, read_lock(env.environment).token)

    assert "run `rotate-secrets` with rotation_id=2026-11-22" in reconcile(env.name)
