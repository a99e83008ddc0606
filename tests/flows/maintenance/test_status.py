"""The answer at 3 a.m.: every worry is said, and the way back is what `rollback` then does."""

import time
from dataclasses import replace

import pytest
from botocore.exceptions import EndpointConnectionError

from blocks.environment import Environment
from delivery.platform.route import Colour, shifted, swapped
from delivery.run.ledger import Holder, Intent
from flows.status import status
from tasks.deploy.colours import read_snapshot
from tasks.maintenance.status import collect_status
from tasks.platform.routing import router_of
from tasks.run import ledger
from tasks.run.lock_row import ask_to_stop, read_lock, update_lock
from tests.flows.deploy.moves import until
from tests.flows.stand import arn_of


@pytest.fixture
def env(moves):
    made = moves()
    made.versions = [made.publish(), made.publish()]
    made.serve(*made.versions)
    return made


def seen(env):
    return collect_status(env.environment)


def write(env, change):
    found = router_of(env.environment).read()
    router_of(env.environment).write(change(found.route), found.etag)


def open_intent(env, kind="shift"):
    intent = Intent(2, 9, kind, "blue", "a-dead-run", ledger.now())
    ledger.open_intent(env.environment, intent)


def hold(env, run="a-living-run"):
    holder = Holder(run, "version 9", "deploy", "grace", "a better cart", 1.0, ledger.now())
    taken = update_lock(
        env.environment,
        "SET #token = :t, beat = :b, holder = :h",
        "attribute_exists(#token)",
        {
            ":t": {"N": str(read_lock(env.environment).token + 1)},
            ":b": {"N": "0"},
            ":h": {"S": holder.text()},
        },
    )
    assert taken


def test_an_environment_in_order_is_told_in_full_and_changed_in_nothing(env):
    before = env.row(), env.route(), env.changes()

    text = status(env.name)

    assert "is live, and well" in text
    for told in (
        env.versions[1],
        "by ada: as it was",
        "all on green",
        "RUNNING, 200 from revision",
        "`rollback` to " + env.versions[0][:10],
        "one write of the route",
        "free",
    ):
        assert told in text, told
    assert (env.row(), env.route(), env.changes()) == before
    assert seen(env).is_well


def test_where_nothing_was_ever_live_it_says_so(moves):
    text = status(moves().name)

    assert "nothing is live" in text
    assert "nothing was live before" in text


def test_a_live_version_that_is_unwell_is_a_worry(env):
    digest = env.digests[env.versions[1]]
    for running in list(env.stand.programs.running.values()):
        if running.launch.digest == digest:
            running.program = replace(running.program, health="never")
    until(lambda: env.get("/api/health")[0] != 200, "it is unwell")

    told = seen(env)

    assert not told.is_well
    assert "does not answer well: 503" in " ".join(told.alerts)


def test_drift_is_a_worry(env):
    write(env, lambda route: swapped(route, route.hosts[Colour.BLUE], route.token))

    assert any(each.startswith("drift: the ledger says green") for each in seen(env).alerts)


def test_an_image_changed_by_hand_is_drift(env):
    client = env.environment.retrying("apprunner")
    arn = arn_of(env.environment, Colour.GREEN)
    source = client.describe_service(ServiceArn=arn)["Service"]["SourceConfiguration"]
    other = source["ImageRepository"]["ImageIdentifier"].partition("@")[0]
    source["ImageRepository"]["ImageIdentifier"] = f"{other}@{env.digests[env.versions[0]]}"
    env.environment.sending_once("apprunner").update_service(
        ServiceArn=arn, SourceConfiguration=source
    )

    assert any("App Runner says sha256:" in each for each in seen(env).alerts)


def test_open_intents_of_nobody_are_a_worry_and_those_of_a_living_run_are_not(env):
    open_intent(env)
    told = seen(env)
    assert any(
        "intents are open and no living run holds the deploy lock" in each for each in told.alerts
    )
    assert "shift blue by run a-dead-r: open" in status(env.name)

    hold(env)

    assert not seen(env).alerts


def test_a_shift_that_nobody_goes_on_with_is_a_worry_and_one_under_way_is_not(env):
    write(env, lambda route: shifted(route, 50, route.hosts[Colour.BLUE], route.token))
    told = seen(env)
    assert any(
        "a shift is half done and no living run holds the deploy lock" in each
        for each in told.alerts
    )

    hold(env)

    assert not seen(env).alerts
    assert "50 % on green, 50 % on blue" in status(env.name)


def test_who_has_the_lock_and_why_is_said_and_a_run_asked_to_stop_is_a_worry(env):
    hold(env)
    text = status(env.name)
    assert "a better cart" in text
    assert "version 9" in text

    ask_to_stop(env.environment, read_lock(env.environment), "the cart is empty")

    assert any("asked to stop: the cart is empty" in each for each in seen(env).alerts)


def test_a_run_that_is_not_heard_of_is_a_worry(env):
    hold(env)
    long_ago = {":now": {"N": f"{time.time() - 60:.3f}"}}
    assert update_lock(env.environment, "SET heard = :now", "attribute_exists(#token)", long_ago)

    assert any("silent for 6" in each for each in seen(env).alerts)
    assert "heard of 6" in status(env.name)


def without_app_runner(monkeypatch):
    """Let App Runner, and nothing else, be out of reach of whoever looks."""
    retrying = Environment.retrying

    def unless_of_app_runner(self, service):
        if service == "apprunner":
            raise EndpointConnectionError(endpoint_url="https://apprunner")
        return retrying(self, service)

    monkeypatch.setattr(Environment, "retrying", unless_of_app_runner)


def test_what_cannot_be_read_hides_nothing_else(env, monkeypatch):
    without_app_runner(monkeypatch)
    told = seen(env)

    assert set(told.unread) == {"the colours", "the way back"}
    assert told.public.is_from(env.versions[1])
    assert told.live.revision == env.versions[1]
    assert any("the colours could not be read" in each for each in told.alerts)


def test_a_cold_way_back_says_how_long_app_runner_took_there(env):
    blue = read_snapshot(env.environment).services[Colour.BLUE]
    env.environment.sending_once("apprunner").pause_service(ServiceArn=blue.arn)
    until(lambda: env.services()["blue"] == "PAUSED", "it is paused")

    assert "the last deployment there took" in seen(env).way_back


def test_the_way_back_is_what_a_rollback_then_does(env):
    told = seen(env).way_back

    env.go_back().result()

    assert env.versions[0][:10] in told
    assert env.live() == env.versions[0]
    assert env.changes() == ["CreateService", "CreateService"]
