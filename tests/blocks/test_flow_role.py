"""A flow acts in its own role, in a session that names its run, and in nobody else's."""

import logging

import pytest
from prefect_aws import AwsCredentials
from pydantic import ValidationError

from blocks import clients
from delivery.errors import AccessDenied
from delivery.platform.route import Colour
from tests.strict_sts import StrictSts
from tests.tasks.account import environment_in

# What our own flows call is compared with their roles (tests/permissions.py).
NOT_OURS = "flow-of-others"
ROLE = "arn:aws:iam::000000000000:role/kanvaro-{flow}"
RUN = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def way(aws):
    with StrictSts(aws.endpoint) as strict:
        yield strict


@pytest.fixture
def env(aws, way):
    way.closed, way.sessions, way.signed_by = set(), [], set()
    way.expiring = way.is_over = False
    made = environment_in(aws)
    made.flow_role = ROLE
    made.endpoints |= dict.fromkeys(("sts", "dynamodb"), way.url)
    return made


def who(environment):
    return environment.retrying("sts").get_caller_identity()["Arn"]


def test_calls_for_a_flow_are_made_in_its_role_and_name_the_run(env):
    acting = env.act_for("blue-green", RUN)

    session = f"assumed-role/kanvaro-blue-green/blue-green.{RUN}"
    assert who(acting) == f"arn:aws:sts::000000000000:{session}"


def test_calls_for_nobody_are_made_with_the_credentials_themselves(env, way):
    assert "assumed-role" not in who(env)
    assert not way.sessions


def test_without_roles_a_flow_acts_with_the_credentials(env, way):
    env.flow_role = None

    assert "assumed-role" not in who(env.act_for("ci", RUN))
    assert not way.sessions


def test_the_role_is_taken_once_for_all_services_and_not_before_it_is_needed(env, way):
    acting = env.act_for(NOT_OURS, RUN)
    assert not way.sessions

    who(acting)
    acting.retrying("dynamodb").list_tables()
    acting.sending_once("dynamodb").list_tables()

    assert way.sessions == [f"{NOT_OURS}.{RUN}"]
    assert way.signed_by == {"ASIA"}


def test_the_role_is_taken_again_before_it_ends(env, way):
    way.expiring = True
    acting = env.act_for("ci", RUN)

    who(acting)
    who(acting)

    assert len(way.sessions) > 1


def test_a_role_outlives_the_session_of_the_credentials_that_took_it(env, way, monkeypatch):
    acting = env.act_for("ci", RUN)
    who(acting)
    monkeypatch.setattr(clients, "LIFE_S", -1)
    way.is_over = True

    who(acting)

    assert len(way.sessions) == 1


def test_the_next_role_is_taken_with_the_credentials_as_they_are_by_then(env, way, monkeypatch):
    made = []
    fresh = AwsCredentials.get_boto3_session

    def counted(block):
        made.append(block)
        return fresh(block)

    monkeypatch.setattr(AwsCredentials, "get_boto3_session", counted)
    way.expiring = True
    acting = env.act_for("ci", RUN)

    who(acting)
    before = len(made)
    who(acting)

    assert len(made) > before


def test_credentials_that_have_ended_are_told_as_such(env, way):
    way.is_over = True

    with pytest.raises(AccessDenied, match=r"credentials with which .*ExpiredToken") as refused:
        env.act_for(NOT_OURS, RUN).retrying("dynamodb").list_tables()

    assert "Renew the worker's credentials" in refused.value.hint


def test_a_colour_of_an_environment_acts_as_the_environment_does(env):
    assert "kanvaro-ci" in who(env.act_for("ci", RUN).on(Colour.BLUE))


def test_who_acts_next_does_not_act_as_the_one_before(env):
    first = env.act_for("ci", RUN)
    assert "kanvaro-ci" in who(first)

    assert "kanvaro-rollback" in who(first.act_for("rollback", RUN))
    assert "kanvaro-ci" in who(first)


def test_for_what_strangers_wrote_no_role_is_taken(env):
    acting = env.act_for("pull-request", RUN)
    who(acting)

    bare = acting.without_secrets()

    assert bare.flow_role is None
    assert bare._clients.acting is None


def test_a_role_that_may_not_be_taken_is_told_with_what_to_do(env, way, caplog):
    way.closed = {ROLE.format(flow=NOT_OURS)}

    with pytest.raises(AccessDenied) as refused:
        env.act_for(NOT_OURS, RUN).retrying("dynamodb").list_tables()

    assert f"AWS does not let {NOT_OURS} take its role {ROLE.format(flow=NOT_OURS)}" in str(
        refused.value
    )
    assert "AccessDenied: User: " in str(refused.value)
    assert "roles.yaml" in refused.value.hint
    assert "flow_role" in refused.value.hint
    assert not way.signed_by, "nothing is sent with other credentials instead"
    assert not [record for record in caplog.records if record.exc_info], "told once, in our words"


def test_what_sts_gives_is_not_logged(env, caplog):
    caplog.set_level(logging.INFO)
    acting = env.act_for("ci", RUN)
    who(acting)

    held = acting._clients._session.get_credentials().get_frozen_credentials()
    assert held.secret_key not in caplog.text
    assert held.token not in caplog.text


@pytest.mark.parametrize(
    "role", ["kanvaro-{flow}", "arn:aws:iam::000000000000:role/kanvaro", ROLE + "\n", ROLE + "{}"]
)
def test_a_role_that_is_not_each_flows_own_is_refused(env, role):
    with pytest.raises(ValidationError, match="flow_role"):
        type(env)(**{**env.model_dump(), "flow_role": role})
