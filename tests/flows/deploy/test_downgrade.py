"""`ci` does not go back to an older version, however an old push comes again."""

from dataclasses import asdict

import pytest

import flows.ci
from delivery.errors import RequestRefused
from delivery.run.ledger import Intent
from flows.ci import ci
from flows.rollback import rollback
from sandbox.parts.sample import git
from tasks.run import ledger
from tests.flows.deploy.moves import Moves


@pytest.fixture
def world(stand, app, tmp_path, monkeypatch):
    """An environment in which three commits were proven, and the second is live."""
    monkeypatch.setattr("tasks.checks.runner.security_report", lambda *_: ())
    made = Moves(stand, app, tmp_path / "workshop")
    made.change(repository=app.address)
    made.old, made.live_one, made.new = (made.publish() for _ in range(3))
    made.serve(made.live_one)
    yield made
    made.remove()


def run(world, revision, **asked):
    state = ci(revision=revision, environment=world.name, return_state=True, **asked)
    return state.result(raise_on_failure=False)


def test_an_ancestor_is_refused_before_anything_is_checked_or_changed(world, monkeypatch):
    before, releases = world.stand.changes(world.environment), world.releases()
    monkeypatch.setattr(flows.ci, "run_checks", lambda *_: pytest.fail("it was checked"))

    error = run(world, world.old)

    assert isinstance(error, RequestRefused)
    said = str(error)
    assert f"{world.old[:10]} is an ancestor of {world.live_one[:10]}" in said
    assert f"which is live in {world.name} since" in said
    assert "run `rollback`" in error.hint
    assert world.live() == world.live_one
    assert (world.stand.changes(world.environment), world.releases()) == (before, releases)


def test_what_is_live_may_be_run_again_and_what_is_newer_goes_live(world):
    assert "is live" in run(world, world.live_one)
    assert world.live() == world.live_one

    assert "is live" in run(world, world.new)
    assert world.live() == world.new


def test_an_older_push_that_waited_while_a_newer_one_went_live_is_refused(world, monkeypatch):
    """GitHub may deliver two pushes in the wrong order."""
    record = flows.ci.record_proof

    def overtaken(*args):
        world.serve(newest)
        return record(*args)

    newest = world.publish()
    monkeypatch.setattr(flows.ci, "record_proof", overtaken)

    error = run(world, world.new)

    assert isinstance(error, RequestRefused)
    assert f"{world.new[:10]} is an ancestor of {newest[:10]}" in str(error)
    assert world.live() == newest


def test_what_a_run_put_live_that_died_before_it_wrote_so_is_live(world):
    world.serve(world.new)
    *_, last = world.releases()
    world.environment.retrying("dynamodb").delete_item(
        TableName=world.environment.ledger_table,
        Key=ledger.key(world.environment, f"release#{last.number:010d}"),
    )
    left = {"kind": "promote", "colour": last.colour, "run": "dead", "opened": ledger.now()}
    detail = {"release": asdict(last)}
    ledger.open_intent(world.environment, Intent(last.number, 1, **left, detail=detail))

    error = run(world, world.live_one)

    assert f"is an ancestor of {world.new[:10]}" in str(error)
    assert world.live() == world.new


def test_a_branch_that_was_rewritten_without_the_live_commit_goes_live(world, app):
    """A person pushed that by force, and wants what is on the branch now."""
    git(app.sample.folder, "reset", "--quiet", "--hard", world.old)

    assert "is live" in run(world, world.old)

    assert world.live() == world.old


def test_on_another_branch_an_ancestor_is_checked_and_not_deployed(world, app):
    git(app.sample.folder, "branch", "hotfix", world.old)

    assert "is not the deploy branch" in run(world, world.old, ref="refs/heads/hotfix")

    assert world.live() == world.live_one


def test_a_rollback_goes_back_and_what_was_taken_back_can_come_again(world):
    assert "is live" in run(world, world.new)

    rollback(reason="errors since 03:00", target_version=world.live_one, environment=world.name)
    assert world.live() == world.live_one
    assert isinstance(run(world, world.old), RequestRefused)

    assert "is live" in run(world, world.new)


def test_one_service_that_is_updated_in_place_does_not_go_back_either(world):
    world.change(strategy="in-place", public_address=None, router=None)
    world.ok(world.new)
    [before] = world.services_in_place()

    error = run(world, world.live_one)

    assert f"{world.live_one[:10]} is an ancestor of {world.new[:10]}" in str(error)
    [after] = world.services_in_place()
    assert after["SourceConfiguration"] == before["SourceConfiguration"]
    assert "is live" in run(world, world.new)
