"""Rotations of the mail provider's secret: by access keys of SES, and as a person enters it."""

import pytest

from delivery.errors import CredentialUnfit, Drift, RequestRefused, Unforeseen
from delivery.patience import Patience
from delivery.rotation.record import RotationStep
from tasks.credentials import secrets_manager
from tests.flows.rotation.rotation_world import Rotating

EMAIL = {"secrets": ["email"]}


@pytest.fixture
def served(stand, strict, databases, mail, moves, monkeypatch, kept_secret):
    """Makes an environment of a provider where two versions serve."""
    monkeypatch.setattr("tasks.credentials.smtp_account.PROPAGATION", Patience(2, 0.02, 0.1))

    def make(provider):
        env = moves(healthy_answers=2)
        rotating = Rotating(stand, strict, databases, env.environment, provider=provider, mail=mail)
        env.versions = [env.publish(), env.publish()]
        env.serve(*env.versions)
        rotating.env = env
        kept_secret(rotating)
        return rotating

    return make


def given(env):
    """What each running instance logs in with."""
    return [
        {name.lower(): each[name] for name in ("SMTP_HOST", "SMTP_PORT", "SMTP_USER", "SMTP_PASS")}
        for each in env.given()
    ]


def keys(env):
    return env.mail.keys(env.value("email")["iam_user"])


def untouched(env):
    """All that a rotation of it could change."""
    labels = env.described("email")["VersionIdsToStages"]
    users = env.value("email").get("iam_user")
    return labels, env.env.changes(), env.rows("email"), users and env.mail.keys(users)


def test_a_key_of_ses_is_made_put_to_use_made_inactive_and_deleted(served):
    env = served("ses")
    first, before = env.value("email"), len(env.env.changes())

    text = env.ok(**EMAIL)

    now = env.value("email")
    assert now["version"] == env.current("email")
    assert {key: now[key] for key in first if key not in ("smtp_user", "smtp_pass", "version")} == {
        key: first[key] for key in first if key not in ("smtp_user", "smtp_pass", "version")
    }
    assert keys(env) == {first["smtp_user"]: True, now["smtp_user"]: True}
    assert {each["smtp_user"] for each in given(env)} == {now["smtp_user"]}
    assert all(env.mail.lets_in(each) for each in [*given(env), first])
    assert env.serving()["green"]["email"] == env.serving()["blue"]["email"] == now["version"]
    assert env.env.changes()[before:] == ["StartDeployment"] * 2
    assert "waits, until" in text

    env.age()
    env.tidy()
    assert keys(env)[first["smtp_user"]]  # its last use was told just now

    env.mail.forget_uses()
    env.tidy()
    env.age()
    env.tidy()
    assert keys(env) == {first["smtp_user"]: False, now["smtp_user"]: True}
    assert not env.mail.lets_in(first)
    assert "can be made active again until" in env.ok("next", **EMAIL)

    env.age()
    env.tidy()
    assert keys(env) == {now["smtp_user"]: True}
    assert [row.step for row in env.rows("email")] == [RotationStep.DONE]
    assert all(env.mail.lets_in(each) for each in given(env))


def test_a_compromised_key_of_ses_is_gone_after_the_run(served):
    env = served("ses")
    first = env.value("email")

    text = env.ok(compromised=True, reason="it was in a log", **EMAIL)

    assert keys(env) == {env.value("email")["smtp_user"]: True}
    assert not env.mail.lets_in(first)
    assert all(env.mail.lets_in(each) for each in given(env))
    assert "done" in text
    told = env.told(env.id)
    assert env.current("email") in told
    assert first["smtp_pass"] not in told
    assert env.value("email")["smtp_pass"] not in told


def test_a_key_that_a_dead_run_left_makes_room_for_the_next(served, monkeypatch):
    env = served("ses")
    first = env.value("email")

    def die(*_):
        raise KeyError("the run is killed before it stores the key")

    with monkeypatch.context() as patch:
        patch.setattr(secrets_manager, "_put", die)
        assert isinstance(env.fail("one", **EMAIL), Unforeseen)
    [orphan] = keys(env).keys() - {first["smtp_user"]}
    assert env.value("email") == first

    env.ok("two", **EMAIL)

    now = env.value("email")
    assert keys(env).keys() == {first["smtp_user"], now["smtp_user"]}
    assert now["smtp_user"] != orphan
    assert all(env.mail.lets_in(each) for each in [*given(env), first])


def test_a_key_of_somebody_else_is_named_and_left_alone(served):
    env = served("ses")
    user = env.value("email")["iam_user"]
    foreign = env.mail.iam.create_access_key(UserName=user)["AccessKey"]
    before = untouched(env)

    error = env.fail(**EMAIL)

    assert isinstance(error, RequestRefused), error
    assert foreign["AccessKeyId"] in str(error)
    assert foreign["SecretAccessKey"] not in str(error) + error.hint
    assert untouched(env) == before


def test_a_key_that_is_refused_is_not_promoted_and_keeps_no_other_secret_from_it(served):
    env = served("ses")
    first, ring = env.current("email"), env.current("jwt")
    refusals = env.mail.smtp
    refusals.answer_logins_with("535 5.7.8 Authentication credentials invalid", times=10_000)

    error = env.fail(secrets=["email", "jwt"])

    refusals.forget_answers()
    assert isinstance(error, CredentialUnfit), error
    assert "refused with 535" in str(error)
    assert env.current("email") == first
    assert env.current("jwt") == env.serving()["green"]["jwt"] != ring
    pending = env.labels("email")["AWSPENDING"]

    env.ok(**EMAIL)

    assert env.current("email") == env.serving()["green"]["email"] == pending
    assert len(keys(env)) == 2


def test_a_value_by_hand_is_waited_for_tested_and_used_and_a_person_withdraws_the_old_one(served):
    env = served("operator")
    first, before = env.value("email"), untouched(env)

    text = env.ok("sunday", **EMAIL)

    assert "waits: a person has to enter the new value as AWSPENDING" in text
    assert "a person has to enter" in env.env.said(env.id)
    assert untouched(env) == before

    entered = env.mail.by_hand(f"{env.key}-new")
    env.put("email", entered, "AWSPENDING")
    text = env.ok("monday", **EMAIL)

    assert env.value("email") == {**entered, "version": env.current("email")}
    assert env.serving()["blue"]["email"] == env.serving()["green"]["email"] == env.current("email")
    assert {each["smtp_user"] for each in given(env)} == {entered["smtp_user"]}
    assert "AWSPENDING" not in env.labels("email")
    assert "a person has to withdraw it at the provider, from" in text
    assert "a person has to withdraw" in env.env.said(env.id)

    env.age(3 * 24 * 3600)
    assert "at the provider now" in env.tidy()
    assert env.mail.lets_in(first)
    env.mail.smtp.remove_account(first["smtp_user"])
    env.tidy()

    assert [row.step for row in env.rows("email")] == [RotationStep.DONE]
    assert "a person has to enter" in env.ok("next-sunday", **EMAIL)


def test_what_a_person_entered_wrongly_is_not_promoted(served):
    env = served("operator")
    entered = env.mail.by_hand(f"{env.key}-new")
    env.without_reference("SMTP_HOST")
    first, before = env.current("email"), len(env.env.changes())

    env.put("email", {**entered, "smtp_host": "canary.invalid"}, "AWSPENDING")
    moved = env.fail("one", **EMAIL)
    env.put("email", {**entered, "smtp_pass": "canary-wrong"}, "AWSPENDING")
    wrong = env.fail("two", **EMAIL)

    assert isinstance(moved, Drift), moved
    assert "cannot follow the current one" in str(moved)
    assert isinstance(wrong, CredentialUnfit), wrong
    assert "refused with 535" in str(wrong)
    assert "canary" not in f"{moved} {moved.hint} {wrong} {wrong.hint}"
    assert env.current("email") == first
    assert len(env.env.changes()) == before
