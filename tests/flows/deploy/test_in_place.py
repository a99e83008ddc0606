"""One service that is updated in place: what is live, and what a dead run left, are told, too."""

from dataclasses import replace

import pytest

from delivery.errors import RequestRefused
from flows.reconcile import reconcile
from flows.status import status
from tests.flows.deploy.moves import until
from tests.flows.maintenance.test_status import hold, open_intent, seen, without_app_runner


@pytest.fixture
def bare(moves):
    """An environment with one service, in which nothing was ever deployed."""
    made = moves()
    made.change(strategy="in-place", public_address=None, router=None)
    return made


@pytest.fixture
def env(bare):
    """The same, after two deployments."""
    bare.versions = [bare.publish(), bare.publish()]
    for version in bare.versions:
        bare.ok(version)
    return bare


def service(env):
    [found] = env.services_in_place()
    return found


def pause(env):
    client = env.environment.sending_once("apprunner")
    client.pause_service(ServiceArn=service(env)["ServiceArn"])
    until(lambda: service(env)["Status"] == "PAUSED", "it is paused")


def told_since(env, before):
    return [str(message.blocks) for message in env.stand.fakes.slack.messages[before:]]


def test_what_is_live_and_well_is_told_and_nothing_is_changed(env):
    before = env.row(), env.changes()

    text = status(env.name)

    assert f"{env.versions[1][:10]} is live, and well" in text
    for told in (
        f"200 from revision {env.versions[1][:10]} at http://{service(env)['ServiceUrl']}",
        "service   RUNNING",
        f"`rollback` to {env.versions[0][:10]}",
        "update the service in place",
        "the last deployment there took",
    ):
        assert told in text, told
    assert "blue" not in text
    assert (env.row(), env.changes()) == before


def test_where_nothing_was_ever_deployed_both_say_so(bare):
    text = status(bare.name)

    assert "nothing is live" in text
    assert "no service" in text
    assert "none: nothing was live before" in text
    assert reconcile(bare.name) == f"{bare.name} is in order"
    assert isinstance(bare.go_back().result(raise_on_failure=False), RequestRefused)
    assert bare.changes() == []


def test_a_paused_service_is_a_worry_and_a_rollback_resumes_it(env):
    pause(env)

    told = seen(env)

    assert any(each.startswith("the service is paused") for each in told.alerts)
    assert "the public name does not answer well" in "; ".join(told.alerts)
    assert "resume the service, then update" in told.way_back

    assert env.go_back().is_completed()

    assert service(env)["Status"] == "RUNNING"
    assert seen(env).public.is_from(env.versions[0])
    assert seen(env).is_well


def test_a_service_that_does_not_answer_well_is_a_worry(env):
    digest = env.digests[env.versions[1]]
    for running in list(env.stand.programs.running.values()):
        if running.launch.digest == digest:
            running.program = replace(running.program, health="never")

    assert "does not answer well: 503" in "; ".join(seen(env).alerts)


def test_a_service_that_somebody_deleted_is_a_worry(env):
    client = env.environment.sending_once("apprunner")
    client.delete_service(ServiceArn=service(env)["ServiceArn"])
    until(lambda: not env.services_in_place(), "it is gone")

    told = seen(env)

    assert told.service_state == "no service"
    assert "no answer (no address yet)" in "; ".join(told.alerts)
    assert f"drift: the ledger says {env.versions[1][:10]}" in "; ".join(told.alerts)


def test_a_service_that_cannot_be_described_is_not_called_absent(env, monkeypatch):
    without_app_runner(monkeypatch)
    told = seen(env)

    assert told.service_state == "unknown"
    assert "the service could not be read" in "; ".join(told.alerts)
    assert told.live.revision == env.versions[1]
    assert not told.drift


def test_what_is_in_order_is_left_alone(env):
    before = env.row(), env.changes(), len(env.stand.fakes.slack.messages)

    assert reconcile(env.name) == f"{env.name} is in order"

    assert (env.row(), env.changes()) == before[:2]
    assert told_since(env, before[2]) == []


def test_an_open_intent_of_a_dead_run_is_settled_and_told(env):
    open_intent(env, kind="restart")
    hold(env, "a-dead-run")
    assert any("intents are open" in each for each in _after_its_lease(env).alerts)
    before, changes = len(env.stand.fakes.slack.messages), env.changes()

    text = reconcile(env.name)

    assert "recovered restart blue by run a-dead-r: open; " in text
    assert "held the deploy lock, and was silent" in text
    assert not env.intents()
    assert env.holder() is None
    assert env.changes() == changes
    [told] = told_since(env, before)
    assert "what a killed run left half done was recovered" in told
    assert seen(env).is_well


def _after_its_lease(env):
    until(lambda: seen(env).silent_s > env.environment.policy.lock_lease_s, "its lease is over")
    return seen(env)


def test_what_a_dead_run_deployed_and_did_not_write_down_is_told_and_ended_by_its_rerun(env):
    version = env.publish()
    kept = env.releases()
    _update_without_a_word(env, version)

    text = reconcile(env.name)

    assert f"A PERSON HAS TO LOOK: drift: the ledger says {env.versions[1][:10]}" in text
    assert any(each.startswith("drift: ") for each in seen(env).alerts)
    assert env.releases() == kept

    changes = env.changes()
    env.ok(version)

    assert env.changes() == changes, "it runs already"
    assert env.releases()[-1].revision == version
    assert reconcile(env.name) == f"{env.name} is in order"
    assert seen(env).is_well


def _update_without_a_word(env, version):
    """As a run does that dies before it writes the ledger."""
    source = service(env)["SourceConfiguration"]
    repository = source["ImageRepository"]["ImageIdentifier"].partition("@")[0]
    source["ImageRepository"]["ImageIdentifier"] = f"{repository}@{env.digests[version]}"
    env.environment.sending_once("apprunner").update_service(
        ServiceArn=service(env)["ServiceArn"], SourceConfiguration=source
    )
    until(lambda: seen(env).public.is_from(version), "App Runner runs it")
