"""A whole run acts in the role of its flow: its tasks, its threads, and the hook at its end."""

import re

import pytest

from delivery.errors import AccessDenied
from flows.status import status
from tests.strict_sts import StrictSts

ROLE = "arn:aws:iam::000000000000:role/kanvaro-{flow}"


@pytest.fixture(scope="module")
def way(stand):
    with StrictSts(stand.aws.endpoint) as strict:
        yield strict


@pytest.fixture
def env(moves, way):
    made = moves()
    made.serve(made.publish())
    way.closed, way.sessions, way.signed_by = set(), [], set()
    ours = [name for name in made.environment.endpoints if name != "apprunner"]
    made.change(
        flow_role=ROLE,
        endpoints={**made.environment.endpoints, **dict.fromkeys([*ours, "sts"], way.url)},
    )
    return made


def test_every_call_of_a_deployment_is_signed_by_the_role_of_its_flow(env, way):
    version = env.publish()
    way.signed_by = set()

    env.ok(version)

    assert env.live() == version
    assert way.sessions == [f"blue-green.{env.id}"], "it is taken once"
    assert way.signed_by == {"ASIA"}


def test_each_flow_takes_its_own(env, way):
    assert "is live, and well" in status(env.name)

    [session] = set(way.sessions)
    assert re.fullmatch(r"status\.[0-9a-f-]{36}", session)


def test_a_run_that_may_not_take_its_role_changes_nothing_and_says_why(env, way):
    version = env.publish()
    before = env.live(), env.changes()
    way.closed = {ROLE.format(flow="blue-green")}
    way.signed_by = set()

    error = env.fail(AccessDenied, version)

    assert "does not let blue-green take its role" in str(error)
    assert "does not let blue-green take its role" in env.said()
    assert not way.signed_by, "the hook takes no other role, either"
    assert (env.live(), env.changes()) == before
