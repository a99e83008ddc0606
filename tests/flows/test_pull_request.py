"""What a pull request is told, and by whom it cannot be fooled."""

import pytest

from sandbox.inbox import Inbox
from tests.flows.pulling import COVERED, Pulling, branch, files

ALL_WELL = {
    "kanvaro": "success",
    "kanvaro/lint": "success",
    "kanvaro/security": "success",
    "kanvaro/unit": "success",
}


@pytest.fixture(scope="module")
def inbox():
    with Inbox() as running:
        yield running


@pytest.fixture
def pulls(inbox, app, tmp_path):
    app.commit()
    return Pulling(inbox, app, tmp_path / "workshop")


def test_a_pull_request_is_told_how_each_check_went(pulls, app):
    revision = branch(app, "change")
    pulls.ok(pulls.open(), revision)
    assert pulls.states(revision) == ALL_WELL
    assert pulls.statuses(revision)["kanvaro"] == "success: 3 checks passed; 5 not applicable"
    assert all(str(pulls.id) in each for each in pulls.targets(revision))


def test_coverage(pulls, app):
    base = app.commit(files=files(a=(1, 2), b=(2, 2)), **COVERED)
    revision = branch(app, "change", files=files(a=(2, 2), b=(2, 2)) | {"src/a.ts": "1"}, **COVERED)
    print(pulls.ok(pulls.open(), revision))
    print(pulls.comments)
    print(pulls.statuses(revision))
    print([(c.method, c.path) for c in pulls.hub.calls])
