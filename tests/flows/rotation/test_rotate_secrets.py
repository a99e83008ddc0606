"""Rotations of real accounts under a running application: nobody is locked out, ever."""

import threading
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import pytest
import redis
from aiohttp import web
from redis.backoff import NoBackoff
from redis.retry import Retry

from delivery.errors import (
    AccessDenied,
    ConfigurationError,
    DeliveryError,
    Drift,
    NeverBecameHealthy,
    OutcomeUnknown,
    PlatformBusy,
    RequestRefused,
    SecretMalformed,
    Unforeseen,
)
from delivery.platform.route import Colour, shifted
from delivery.rotation.record import RotationStep
from flows.rotate_secrets import rotate_secrets
from sandbox.aws.first_secrets import _key_rings
from sandbox.load import Sessions
from tasks.credentials.database import DatabaseCredential
from tasks.platform.cloudfront import default_origin
from tasks.platform.routing import router_of
from tasks.rotation.rolling_restart import look_at_consumers
from tasks.run import ledger
from tasks.run.lock_row import read_lock
from tests.flows.deploy.moves import Beside, until
from tests.flows.maintenance.test_status import hold, open_intent, write
from tests.flows.rotation.rotation_world import Rotating, rings_in
from tests.flows.rotation.signed_in import signed_in
from tests.flows.stand import arn_of


@pytest.fixture
def served(stand, strict, databases, moves, kept_secret):
    """Makes an environment where two versions serve, each with the first secrets."""

    def make(without=(), policy=None, serves=None, **options):
        env = moves(healthy_answers=2, **(policy or {}))
        rotating = Rotating(stand, strict, databases, env.environment, **options)
        rotating.without_reference(*without)
        env.versions = [env.publish(serves=serves), env.publish(serves=serves)]
        env.serve(*env.versions)
        rotating.env, rotating.began = env, len(env.changes())
        kept_secret(rotating)
        return rotating

    return make


def changes(rotating):
    return rotating.env.changes()[rotating.began :]


def test_all_secrets_are_rotated_with_one_restart_and_the_old_ones_still_work(served):
    env = served()
    before = {kind: (env.current(kind), env.value(kind)) for kind in ("database", "jwt")}

    text = env.ok(secrets=["database", "jwt", "email"], reason="a test")

    assert changes(env) == ["StartDeployment", "StartDeployment"]
    now = {kind: env.current(kind) for kind in ("database", "jwt")}
    assert all(now[kind] != before[kind][0] for kind in now)
    assert env.serving() == {"blue": now, "green": now}
    assert all("AWSPENDING" not in env.labels(kind) for kind in now)
    assert env.value("database")["version"] == now["database"]
    assert env.logs_in(env.value("database"))
    assert env.survives_a_restart(env.value("database"))
    assert env.logs_in(before["database"][1])
    old, new = rings_in(before["jwt"][1])["access"], rings_in(env.value("jwt"))["access"]
    assert new["current"] == old["next"]
    assert [key["kid"] for key in new["previous"]] == [old["current"]["kid"]]
    assert env.env.live() == env.env.versions[1]
    assert f"{env.name('database')}: waits, until " in text
    assert f"{env.name('jwt')}: done" in text
    assert f"{env.name('email')} cannot be rotated" in text
    assert not env.env.intents()
    assert env.env.holder() is None


def test_users_who_are_signed_in_notice_nothing_of_two_rotations(served, figure):
    """Their tokens are from before, from during and from after; the old accounts are retired."""
    env = served(serves=signed_in)
    url = env.stand.edge.url
    with Sessions(url, rate=30) as sessions:
        for week in ("one", "two"):
            env.ok(week)
            sessions.wait_for(12)
            env.age()
            assert "the old one is refused" in env.tidy()
            sessions.wait_for(12)

    refused = sum(sessions.refused.values())
    figure(f"{refused} of {sessions.requests} authenticated requests refused during two rotations")
    assert not sessions.refused
    assert sessions.requests > 50
    assert sessions.users > 12

    with Sessions(url, rate=30) as sessions:
        env.ok("three", secrets=["jwt"], force_logout=True, reason="so that somebody notices")
        sessions.wait_for(12)
    assert sessions.refused["/api/session 401"] > 0


def test_the_idle_colour_is_restarted_before_the_live_one(served):
    env = served()

    env.ok()

    restarted = [
        str(call.parameters["ServiceArn"])
        for call in env.stand.app_runner.calls
        if call.operation == "StartDeployment"
        and env.environment.service.name in str(call.parameters)
    ]
    assert ["blue" in restarted[0], "green" in restarted[1]] == [True, True]
    assert env.env.all_on() == "green"


def test_a_service_without_colours_is_restarted_in_place(served):
    env = served()
    env.environment.strategy, env.environment.public_address = "in-place", None
    env.save()
    env.env.ok(env.env.versions[1])
    before = env.value("database")

    env.ok(reason="a test")

    [service] = env.env.services_in_place()
    assert [call for call in env.env.changes() if call == "StartDeployment"] == ["StartDeployment"]
    [runs_with] = env.serving().values()
    assert runs_with == {kind: env.current(kind) for kind in ("database", "jwt")}
    assert service["Status"] == "RUNNING"
    assert env.logs_in(env.value("database"))
    assert env.logs_in(before)
    assert env.value("database") != before


def test_in_place_a_service_is_given_what_it_lacks_and_resumes_with_todays_secrets(served):
    env = served(without=["SECRET_VERSION_JWT"])
    env.environment.strategy, env.environment.public_address = "in-place", None
    env.save()
    env.env.ok(env.env.versions[1])
    env.with_all_references()
    before = len(changes(env))

    env.ok(reason="a test")
    [service] = env.env.services_in_place()
    env.environment.sending_once("apprunner").pause_service(ServiceArn=service["ServiceArn"])
    until(lambda: env.env.services_in_place()[0]["Status"] == "PAUSED", "it is paused")
    env.env.ok(env.env.versions[1])

    assert changes(env)[before:] == [
        *("UpdateService", "PauseService"),
        *("ResumeService", "StartDeployment"),
    ]


def test_a_shift_that_a_dead_run_left_is_put_back_before_anything_is_rotated(served):
    env = served()
    write(env.env, lambda route: shifted(route, 50, route.hosts[Colour.BLUE], route.token))
    open_intent(env.env)
    hold(env.env, "a-dead-run")
    router_of(env.env.environment).set_default_origin("elsewhere.invalid", lambda: None)
    before = env.current("jwt")

    env.ok(secrets=["jwt"], reason="a test")

    assert env.env.all_on() is Colour.GREEN
    assert not env.env.intents()
    distribution = env.env.environment.router.distribution
    assert default_origin(env.env.environment, distribution) != "elsewhere.invalid"
    assert env.current("jwt") != before


def test_a_paused_colour_that_is_gone_back_to_is_started_with_todays_secrets(served):
    env = served()
    arn = arn_of(env.environment, Colour.BLUE)
    env.environment.sending_once("apprunner").pause_service(ServiceArn=arn)

    state = env.env.go_back()

    assert state.is_completed(), state
    assert changes(env) == ["PauseService", "ResumeService", "StartDeployment"]


def test_a_second_run_of_a_slot_changes_nothing(served):
    env = served()
    env.ok()
    before = env.everything()

    text = env.ok()

    assert env.everything()[:3] == before[:3]
    assert len(env.rows()) == len(env.rows("jwt")) == 1
    assert "waits, until" in text


def test_an_old_credential_is_retired_once_it_is_due_and_drained(served):
    env = served()
    first = env.value("database")
    env.ok()
    env.tidy()
    assert env.logs_in(first)  # in its overlap

    env.age()
    env.tidy()
    assert not env.logs_in_somewhere(first)
    [row] = env.rows()
    assert row.step == RotationStep.DONE
    assert row.retired_at is not None
    assert env.logs_in(env.value("database"))
    assert not env.survives_a_restart(first)
    assert all(env.logs_in(given_to(each)) for each in env.given())
    before = env.everything()

    assert "is in order" in env.tidy()

    assert env.everything() == before
    assert changes(env) == ["StartDeployment", "StartDeployment"]


@pytest.fixture
def unclosed(served):
    """The keys were rotated by a run that died before it wrote the end, long ago."""
    env = served()
    env.ok(secrets=["jwt"])
    [row] = env.rows("jwt")
    assert row.is_over
    token = read_lock(env.environment).token
    ledger.write_rotation(env.environment, replace(row, step=RotationStep.RESTART), token)
    env.age()
    return env


def test_a_rotation_of_keys_that_was_not_closed_is_closed(unclosed):
    """There is nothing to retire: what is left is to see that every service runs with it."""
    before = changes(unclosed)

    unclosed.tidy()

    [row] = unclosed.rows("jwt")
    assert row.is_over
    assert changes(unclosed) == before


def test_what_is_pending_is_left_to_a_rotation(unclosed):
    unclosed.put("jwt", unclosed.value("jwt"), "AWSPENDING")
    before = unclosed.labels("jwt"), changes(unclosed)

    unclosed.tidy()

    assert (unclosed.labels("jwt"), changes(unclosed)) == before


def given_to(environment):
    return {"mongodb_uri": environment["MONGODB_URI"], "redis_url": environment["REDIS_URL"]}


def test_an_old_credential_that_somebody_is_connected_with_is_not_retired(served):
    env = served()
    first = env.value("database")
    with closing(redis.Redis.from_url(first["redis_url"])) as left_over:
        left_over.ping()
        env.ok()
        env.age()

        env.tidy()

        assert env.logs_in(first)
        assert left_over.ping()
        assert env.rows()[0].retired_at is None
    env.tidy()  # sees that nobody is connected any more
    assert env.logs_in(first)

    env.age()
    env.tidy()

    assert not env.logs_in_somewhere(first)


def test_what_is_long_overdue_is_told_once(served):
    env = served()
    with closing(redis.Redis.from_url(env.value("database")["redis_url"])) as left_over:
        left_over.ping()
        env.ok()
        env.age(3 * 24 * 3600)

        assert "overdue for more than 48 hours" in env.tidy()
        assert "overdue" not in env.tidy()


def test_a_weekly_run_says_what_is_overdue_since_the_last_one_and_goes_on(served):
    env = served()
    old = env.current("database")
    with closing(redis.Redis.from_url(env.value("database")["redis_url"])) as left_over:
        left_over.ping()
        assert "overdue" not in env.ok("one")
        env.age(3 * 24 * 3600)

        text = env.ok("two")

    overdue = f"{env.name('database')}: the old version {old} was replaced at "
    assert text.count(overdue) == 1
    assert "overdue for more than 48 hours" in text
    assert overdue in env.env.said(env.id)
    assert f"{env.name('jwt')}: the old" not in text
    assert len(env.rows()) == 2
    assert "overdue" not in env.ok("two")


def test_two_runs_at_the_same_time_take_turns_and_make_one_version(served, monkeypatch):
    env = served()
    is_proving, may_prove = threading.Event(), threading.Event()
    prove = DatabaseCredential.prove

    def proving(*args):
        is_proving.set()
        assert may_prove.wait(60)
        prove(*args)

    monkeypatch.setattr(DatabaseCredential, "prove", proving)
    asked = {"environment": env.environment.name, "secrets": ["database"], "rotation_id": "first"}
    first = Beside(rotate_secrets, asked)
    assert is_proving.wait(60)
    before = env.everything()
    env.env.change(policy={"lock_timeout_s": 1})

    error = env.fail(secrets=["database"])

    assert isinstance(error, PlatformBusy), error
    assert "(rotate database (first); “the weekly rotation”)" in str(error)
    assert env.everything() == before
    may_prove.set()
    assert first.state().is_completed()
    before = env.everything()
    assert "waits, until" in env.ok(secrets=["database"])
    assert env.everything()[:3] == before[:3]
    assert len(env.rows()) == 1


def test_three_weeks_go_by_and_the_users_take_turns(served):
    env = served()
    users = []
    for week in ("one", "two", "three"):
        env.ok(week)
        users.append(env.value("database")["mongodb_uri"].split("//")[1].split(":")[0])
        env.age()
        env.tidy()
        assert env.logs_in(env.value("database"))
        env.age(6 * 24 * 3600)

    assert [user.rpartition("_")[2] for user in users] == ["b", "a", "b"]
    assert changes(env) == ["StartDeployment"] * 6
    assert len(env.rows()) == 3


def test_a_compromised_credential_is_revoked_in_the_same_run(served):
    env = served()
    first, keys = env.value("database"), rings_in(env.value("jwt"))
    with closing(redis.Redis.from_url(first["redis_url"], retry=Retry(NoBackoff(), 0))) as thief:
        thief.ping()

        text = env.ok(compromised=True, reason="it was in a log")

        with pytest.raises(redis.RedisError):
            thief.ping()
    assert not env.logs_in_somewhere(first)
    assert env.logs_in(env.value("database"))
    assert all(env.logs_in(given_to(each)) for each in env.given())
    ring = rings_in(env.value("jwt"))["access"]
    assert not ring["previous"]
    old = {keys["access"]["current"]["k"], keys["access"]["next"]["k"]}
    assert not {ring["current"]["k"], ring["next"]["k"]} & old
    assert "waits" not in text


NEW = ("SECRET_VERSION_DATABASE", "SECRET_VERSION_JWT", "JWT_RING")


def test_services_that_lack_the_references_are_given_them(served):
    env = served(without=NEW)
    env.with_all_references()

    env.ok()

    assert changes(env) == ["UpdateService", "UpdateService"]
    now = {kind: env.current(kind) for kind in ("database", "jwt")}
    assert env.serving() == {"blue": now, "green": now}


def test_a_key_ring_begins_with_the_old_keys(served):
    rings = _key_rings()
    # A service cannot be given a ring that is not there yet.
    first = {name: rings[name] for name in ("jwt_secret", "refresh_secret")}
    env = served(without=NEW, jwt=first)
    env.with_all_references()

    env.ok("one")

    ring = rings_in(env.value("jwt"))["access"]
    assert ring["current"] == {"kid": "legacy", "k": first["jwt_secret"]}
    assert not ring["previous"]
    assert env.value("jwt")["refresh_secret"] == first["refresh_secret"]
    assert changes(env) == ["UpdateService", "UpdateService"]

    env.ok("two", secrets=["jwt"])

    second = rings_in(env.value("jwt"))["access"]
    assert second["current"] == ring["next"]
    assert [key["k"] for key in second["previous"]] == [first["jwt_secret"]]


def test_a_version_that_does_not_say_its_secrets_is_refused_before_anything_is_changed(served):
    async def silent(_request):
        return web.json_response({"status": "ok", "revision": silent.revision})

    env = served()
    silent.revision = env.env.publish(health=silent)
    env.env.serve(env.env.publish(), silent.revision)
    env.began = len(env.env.changes())
    before = env.everything()

    error = env.fail()

    assert isinstance(error, ConfigurationError), error
    assert "does not name it" in str(error)
    assert env.everything() == before


def test_a_restart_that_is_not_proven_retires_nothing_and_the_next_run_resumes_it(served):
    """App Runner says that it succeeded; the application goes on with what it had."""
    stuck = SimpleNamespace(revision="", secrets={}, is_stuck=True)

    async def answer(request):
        return web.json_response({"revision": stuck.revision, "secrets": stuck.secrets})

    env = served(policy={"health_timeout_s": 1})
    stuck.revision = env.env.publish(health=answer)
    stuck.secrets = {kind: env.current(kind) for kind in ("database", "jwt")}
    env.env.serve(env.env.publish(), stuck.revision)
    env.began = len(env.env.changes())
    first = env.value("database")

    error = env.fail(secrets=["database"])

    assert isinstance(error, NeverBecameHealthy), error
    assert "nothing is retired" in error.hint
    assert env.logs_in(first)
    assert env.logs_in(env.value("database"))
    assert env.rows()[0].rolled_at is None
    assert "stopped" in env.env.said(env.id)
    assert env.env.live() == stuck.revision

    stuck.secrets["database"] = env.current("database")
    new = env.current("database")
    assert "waits, until" in env.ok(secrets=["database"])
    assert env.current("database") == new


@pytest.fixture
def misread(monkeypatch):
    """Lets so many looks after a restart miss the versions that the services report."""

    def make(looks):
        left = [looks]

        def look(environment):
            left[0] -= 1
            found = look_at_consumers(environment)
            if left[0] < 0:
                return found
            return [replace(each, answer=replace(each.answer, secrets={})) for each in found]

        monkeypatch.setattr("tasks.rotation.rolling_restart.look_at_consumers", look)

    return make


def test_a_restart_that_one_look_misses_is_proven_again_and_not_repeated(served, misread):
    env = served()
    misread(1)

    text = env.ok(secrets=["database"])

    assert "waits, until" in text
    assert changes(env) == ["StartDeployment", "StartDeployment"]


def test_services_that_seem_behind_again_and_again_end_the_run(served, misread):
    env = served()
    first = env.value("database")
    misread(100)

    error = env.fail(secrets=["database"])

    assert isinstance(error, OutcomeUnknown), error
    assert "again and again" in str(error)
    assert changes(env) == ["StartDeployment", "StartDeployment"]
    assert env.logs_in(first)


def no_secret(env):
    env.environment.rotated = {**env.environment.rotated, "jwt": "kanvaro/not-there"}
    env.save()


def no_keys(env):
    env.put("jwt", {"version": "by hand"})


def no_json(env):
    env.put("database", "canary-no-json")


def by_hand(env):
    env.ok("earlier")
    env.put("database", env.value("database"))
    env.began = len(env.env.changes())


def no_reference(env):
    env.without_reference("REDIS_URL")


def no_ring(env):
    env.without_reference("JWT_RING")


def no_admin(env):
    wrong = env.value("admin")
    wrong["redis_urls"] = [each.replace("root:", "root:wrong") for each in wrong["redis_urls"]]
    env.put("admin", wrong)


def default_user(env):
    value = env.value("database")
    env.put("database", {**value, "redis_url": "redis://:canary-password@127.0.0.1:6379"})


BAD = [
    (no_secret, {}, ConfigurationError, "kanvaro/not-there"),
    (no_keys, {}, SecretMalformed, "no text in jwt_secret"),
    (no_json, {}, SecretMalformed, "is not a JSON object"),
    (by_hand, {}, Drift, "no rotation made it or saw it (S6)"),
    (no_reference, {}, ConfigurationError, "is not given redis_url"),
    (no_ring, {}, RequestRefused, "would log everybody out"),
    (no_admin, {}, AccessDenied, "refused to look at its users"),
    (default_user, {}, SecretMalformed, "names no user of its own"),
    (None, {"force_logout": True}, RequestRefused, "force_logout needs a reason"),
    (None, {"compromised": True}, RequestRefused, "compromised needs a reason"),
    (None, {"secrets": ["database"], "force_logout": True, "reason": "why"}, RequestRefused,
     "jwt, which is not among"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "parameters", "kind", "said"),
    BAD,
    ids=[spoil.__name__ if spoil else "-".join(asked) for spoil, asked, *_ in BAD],
)
def test_bad_input_gets_one_sentence_and_changes_nothing(served, spoil, parameters, kind, said):
    env = served()
    first = env.value("database")
    if spoil:
        spoil(env)
    before = env.everything()

    error = env.fail(**parameters)

    assert isinstance(error, kind), error
    assert said in str(error)
    assert "\n" not in str(error)
    assert "canary" not in str(error) + error.hint
    assert env.everything() == before
    assert env.logs_in(first)
    assert "a rotation of secrets stopped" in env.env.said(env.id)


def test_where_nothing_runs_there_is_nothing_to_rotate(stand, strict, databases, moves):
    env = Rotating(stand, strict, databases, moves().environment)

    error = env.fail()

    assert isinstance(error, RequestRefused), error
    assert "nothing runs in" in str(error)


def test_an_unknown_provider_is_told_and_nothing_else(served):
    env = served()
    before = env.everything()

    text = env.ok(secrets=["email"])

    assert f"{env.name('email')} cannot be rotated: no way for provider gmail" in text
    assert "provider gmail" in env.env.said(env.id)
    assert env.everything() == before


def test_force_logout_needs_no_ring_and_leaves_no_key(served):
    env = served()
    old = rings_in(env.value("jwt"))["access"]["current"]["k"]
    env.without_reference("JWT_RING")

    env.ok(secrets=["jwt"], force_logout=True, reason="a key was seen")

    assert old not in str(env.value("jwt"))
    assert env.serving()["green"]["jwt"] == env.current("jwt")


def quoting(*values):
    raise RuntimeError(f"cannot work with {values}")


@pytest.mark.parametrize(
    "place",
    [
        "tasks.rotation.preflight.begin_rotation",
        "tasks.credentials.secrets_manager._put",
        "tasks.credentials.redis_account.set_account",
        "tasks.credentials.mongodb_account.prove_account",
    ],
)
def test_an_error_that_nobody_foresaw_is_named_by_its_place_and_not_quoted(
    served, monkeypatch, place
):
    """The rest of it is seen by `kept_secret`."""
    env = served()
    first = env.value("database")

    with monkeypatch.context() as patch:
        patch.setattr(place, quoting)
        error = env.fail(secrets=["database"])

    assert isinstance(error, Unforeseen), error
    assert "RuntimeError at test_rotate_secrets.py:" in str(error)
    assert "cannot work" not in env.told(env.id)
    assert env.logs_in(first)
    assert "waits, until" in env.ok(secrets=["database"])


def test_no_secret_text_is_left_anywhere(served):
    env = served()
    env.ok(reason="a test")
    runs = [env.id]
    env.put("database", env.value("database"))
    assert isinstance(env.fail("another"), DeliveryError)
    runs.append(env.id)

    told = env.told(*runs)
    told += str([row.text() for row in env.rows() + env.rows("jwt")])
    texts = env.texts()
    assert len(texts) > 6
    assert env.current("jwt") in told
    assert not [text for text in texts if text in told]
