"""Each flow's role allows what the flow called of AWS in the whole of the tests, and nothing else.

Run by `make test` when its rows have ended: each has left in .called what its flows called.
"""

import pytest

from tests.conftest import ROWS
from tests.permissions import (
    FLOWS,
    FOLDER,
    actions,
    grants_of,
    idle,
    read,
    roles,
    twin_of,
    wrong_with,
)

# Needed, and seen by no test of `make test`.
UNSEEN = {
    "ci": {
        "the Docker engine pushes, and boto3 does not": {
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:CompleteLayerUpload",
            "ecr:GetDownloadUrlForLayer",
            "ecr:InitiateLayerUpload",
            "ecr:PutImage",
            "ecr:UploadLayerPart",
        },
    },
    "release": {
        "a run that failed says what serves: in place App Runner is asked, as after `ci`": {
            "apprunner:DescribeService",
            "apprunner:ListServices",
        },
    },
}
# They make a version live by `put_live` of flows/blue_green.py: what one of them is seen to call
# there, all need. That a rollback asks no figures is in tests/test_roles.py.
PUT_LIVE = {"ci", "blue-green", "rollback"}
# Resources of a statement that are needed, and on which no test of `make test` sees a call.
UNTOUCHED: dict[str, dict[str, set[tuple[str, str]]]] = {}


@pytest.fixture(scope="module")
def called():
    """By flow, what it called in all rows."""
    missing = [row for row in ROWS if not (FOLDER / f"{row}.json").is_file()]
    if missing:
        pytest.fail(f"nothing was recorded by {', '.join(missing)}: run `make test`, which does")
    records = [read(row) for row in ROWS]
    return {flow: [s for record in records for s in record.get(flow, [])] for flow in FLOWS}


def called_alike(flow, called):
    """What was called by a flow, and by those that need the same."""
    return [s for each in (PUT_LIVE if flow in PUT_LIVE else {flow}) for s in called[each]]


def names(seen):
    return {each.need.action for each in seen}


@pytest.mark.parametrize("flow", sorted(FLOWS))
def test_a_flow_may_do_what_it_called_and_nothing_else(flow, called):
    statements = roles()[flow]
    grants = grants_of(statements)
    unseen = {action for reason in UNSEEN.get(flow, {}).values() for action in reason}

    wrong = [wrong for each in called[flow] if (wrong := wrong_with(flow, each, grants))]
    assert not wrong, "; ".join(wrong)
    needless = sorted(actions(statements) - names(called_alike(flow, called)) - unseen)
    assert not needless, (
        f"the role of {flow} allows what no test saw it call: {', '.join(needless)}. Take it away, "
        "or test what needs it"
    )


@pytest.mark.parametrize("flow", sorted(FLOWS))
def test_a_flow_may_reach_what_its_calls_acted_on_and_nothing_else(flow, called):
    unseen = {action for reason in UNSEEN.get(flow, {}).values() for action in reason}
    untouched = {each for reason in UNTOUCHED.get(flow, {}).values() for each in reason}

    left = idle(grants_of(roles()[flow]), called_alike(flow, called))
    # What may be done to one colour may be done to the other: tests/test_roles.py.
    needless = {
        (grant.sid, grant.pattern.rpartition(":")[2])
        for grant in left
        if grant.actions - unseen and grant._replace(pattern=twin_of(grant.pattern)) in left
    }
    assert not needless - untouched, (
        f"the role of {flow} allows it on what no test saw it act on: "
        f"{sorted(needless - untouched)}. Take it away, or test what needs it"
    )
    assert not untouched - needless, f"this is needed and seen: {sorted(untouched - needless)}"


def test_what_no_test_sees_is_allowed_and_indeed_not_seen(called):
    """Else the list above would keep what nobody needs any more."""
    for flow, reasons in UNSEEN.items():
        unseen = {action for reason in reasons.values() for action in reason}
        assert unseen <= actions(roles()[flow])
        assert not unseen & names(called[flow])
