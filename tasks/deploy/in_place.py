"""The strategy `in-place` lets App Runner replace the version of the one service there is.

There are no smoke tests: the new version has its users as soon as it is up.
"""

from delivery.deploy.progress import Milestone
from delivery.run.ledger import Live
from tasks.deploy.record import live_in_place
from tasks.platform.app_runner.service import await_deployment, deploy
from tasks.platform.health import await_revision
from tasks.platform.versions import Version
from tasks.run.lock import DeployLock
from tasks.run.progress import record_milestone


def update_in_place(lock: DeployLock, version: Version) -> Live:
    """Deploy, wait for the verdict of our operation, prove it; App Runner undoes a failed one."""
    lock.ensure_held_now()
    deployment = deploy(lock.environment, version.image)
    record_milestone(Milestone.SENT)
    service = await_deployment(lock.environment, deployment, lock.ensure_held)
    address = await_revision(lock.environment, service, version.revision, lock.ensure_held)
    return live_in_place(lock, version, deployment, address)
