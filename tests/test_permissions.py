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
    twins_of,
    wrong_with,
)

# Needed, and seen by no test of `make test`.
UNSEEN = {
    "ci": {
        "the Docker engine pushes, and boto3 does not": {
            "ecr:BatchCheckLayerAvailability",
            "ecr:CompleteLayerUpload",
            "ecr:GetDownloadUrlForLayer",
            "ecr:InitiateLayerUpload",
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


def actions_in(seen):
    return {each.need.action for each in seen}


@pytest.mark.parametrize("flow", sorted(FLOWS))
def test_a_flow_may_do_what_it_called_and_nothing_else(flow, called):
    grants = grants_of(roles()[flow])
    wrong = [wrong for each in called[flow] if (wrong := wrong_with(flow, each, grants))]
    assert not wrong, "; ".join(wrong)

    unseen = {action for reason in UNSEEN.get(flow, {}).values() for action in reason}
    left = idle(grants, called_alike(flow, called))
    # What may be done to one colour or stack may be done to the others: tests/test_roles.py.
    needless = sorted(
        f"{grant.action} on {grant.pattern}"
        for grant in left
        if grant.action not in unseen
        and all(grant._replace(pattern=twin) in left for twin in twins_of(grant.pattern))
    )
    assert not needless, (
        f"the role of {flow} allows what no test saw it call: {', '.join(needless)}. Take it away, "
        "or test what needs it"
    )


def test_what_no_test_sees_is_allowed_and_indeed_not_seen(called):
    """Else the list above would keep what nobody needs any more."""
    for flow, reasons in UNSEEN.items():
        unseen = {action for reason in reasons.values() for action in reason}
        assert unseen <= actions(roles()[flow])
        assert not unseen & actions_in(called[flow])
