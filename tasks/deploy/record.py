"""The record of a deployment: the ledger's release, and what is live now."""

from dataclasses import replace
from typing import Any

from delivery.deploy.snapshot import Snapshot
from delivery.platform.route import Colour
from delivery.platform.service import Deployment
from delivery.run.ledger import Live, Release
from tasks import operation
from tasks.aws_errors import translate_aws_errors
from tasks.deploy.colours import settings_digest
from tasks.deploy.watch import public_address
from tasks.platform.secret_versions import secret_versions
from tasks.platform.versions import Version
from tasks.run import ledger
from tasks.run.lock import DeployLock


def release_of(
    lock: DeployLock, version: Version, colour: str, route_version: int, operation_id: str | None
) -> Release:
    """Make the ledger's entry for a version that goes live; no colour means in place."""
    environment = lock.environment
    service = environment.on(Colour(colour)) if colour else environment
    return Release(
        revision=version.revision,
        digest=version.digest,
        configuration=settings_digest(service, version.image),
        secrets=secret_versions(environment),
        operations=(operation_id,) if operation_id else (),
        migration=version.proven.migration,
        **_of_this_run(lock, colour, route_version),
    )


def re_release(lock: DeployLock, version: Version, colour: str, route_version: int) -> Release:
    """Make the entry for a version that still runs as released, with the secrets of that time.

    It reads nothing but the ledger, since somebody waits for the traffic to move.
    """
    known = [r for r in ledger.read_releases(lock.environment) if r.digest == version.digest]
    if not known:
        return release_of(lock, version, colour, route_version, None)
    return replace(known[-1], **_of_this_run(lock, colour, route_version))


def _of_this_run(lock: DeployLock, colour: str, route_version: int) -> dict[str, Any]:
    """Return the fields that describe the run that makes a version live, and its colour."""
    holder = lock.holder
    return {
        "number": lock.token,
        "colour": colour,
        "since": ledger.now(),
        "run": holder.run,
        "actor": holder.actor,
        "reason": holder.reason,
        "kind": holder.kind,
        "route_version": route_version,
    }


def live_now(lock: DeployLock, snapshot: Snapshot, release: Release) -> Live:
    """Describe what a switch made live."""
    before = snapshot.digest_on(snapshot.route.live) if snapshot.route else ""
    return Live(release, public_address(lock), before, changed=True)


@operation("record that {version} is live in {lock.environment.name}")
def still_live(lock: DeployLock, snapshot: Snapshot, version: Version) -> Live:
    """Describe what was live already; it is written down only if it never was."""
    colour = snapshot.live or ""
    number = snapshot.route.version if snapshot.route else 0
    release = _recorded(lock, version, colour, number, None)
    return Live(release, public_address(lock), version.digest, changed=False)


@operation("record that {version} is live in {lock.environment.name}")
def live_in_place(lock: DeployLock, version: Version, deployment: Deployment, address: str) -> Live:
    """Record and describe what the update of the one service made live."""
    before = (deployment.previous_image or "").rpartition("@")[2]
    release = _recorded(lock, version, "", 0, deployment.operation_id)
    return Live(release, address, before, deployment.changed_something)


def _recorded(
    lock: DeployLock, version: Version, colour: str, route_version: int, operation_id: str | None
) -> Release:
    with translate_aws_errors("write to the ledger"):
        known = list(ledger.read_releases(lock.environment))
        if known and not operation_id and known[-1].digest == version.digest:
            return known[-1]
        release = release_of(lock, version, colour, route_version, operation_id)
        ledger.record_release(lock.environment, release)
        return release
