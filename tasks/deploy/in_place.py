"""The strategy `in-place`: App Runner replaces the one service there is."""

from delivery.run.ledger import Live
from tasks.deploy.record import live_in_place
from tasks.platform.app_runner.service import await_deployment, deploy
from tasks.platform.health import await_revision
from tasks.platform.versions import Version
from tasks.run.lock import Turn


def update_in_place(turn: Turn, version: Version) -> Live:
    """Deploy, wait for the verdict of our operation, prove it; App Runner undoes a failed one."""
    turn.demand_now()
    deployment = deploy(turn.environment, version.image)
    service = await_deployment(turn.environment, deployment, turn.demand)
    address = await_revision(turn.environment, service, version.revision, turn.demand)
    return live_in_place(turn, version, deployment, address)
