"""The folders of a run on a worker's disk: whose they are decides who may remove them."""

import os
import time

import pytest

from tasks.containers.run_engine import our_mark
from tasks.workspace.workspace import OWNER_FILE, open_workspace

A_DAY = 24 * 3600


@pytest.fixture
def left(environment):
    """Makes a folder as a run leaves it that had no time to tidy up."""

    def leave(mark, age_s=0):
        folder = environment.data_dir / "workspaces" / f"of-{len(mark)}-{age_s}"
        folder.mkdir(parents=True)
        (folder / OWNER_FILE).write_text(mark)
        os.utime(folder / OWNER_FILE, (time.time() - age_s,) * 2)
        return folder

    return leave


def elsewhere():
    """The mark of a worker in another container, which cannot be seen from here."""
    return our_mark().rpartition(":")[0] + ":4026539999@another"


def test_a_run_has_its_folders_while_it_goes_on_and_leaves_its_logs(environment):
    with open_workspace(environment) as workspace:
        (workspace.home / "x").touch()
        (workspace.source.parent / "y").touch()
    assert workspace.logs.is_dir()
    assert not workspace.home.exists()
    assert not workspace.source.parent.exists()


def test_what_a_living_run_works_in_is_left_alone_however_old(environment, left):
    ours = left(our_mark(), age_s=3 * A_DAY)
    theirs = left(elsewhere(), age_s=A_DAY)
    with open_workspace(environment):
        assert ours.exists()
        assert theirs.exists()


def test_what_a_dead_run_left_is_removed_and_after_days_also_what_another_container_left(
    environment, left
):
    mark, number, _, machine = our_mark().split(":")
    dead = left(f"{mark}:{number}:1:{machine}")
    unseen = left(elsewhere(), age_s=3 * A_DAY)
    with open_workspace(environment):
        assert not dead.exists()
        assert not unseen.exists()
