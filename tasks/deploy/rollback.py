"""A rollback goes back to an earlier release, in one write while its colour is warm."""

from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.deploy.snapshot import Snapshot, as_recovered
from delivery.errors import NeverProven, RequestRefused, UnknownRevision
from delivery.platform.images import DIGEST, Image
from delivery.platform.route import Colour
from delivery.run.ledger import Live, Release, find_target, in_the_way
from delivery.workspace.source_names import is_revision
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.deploy.announcements import announce_rollback
from tasks.deploy.colours import read_snapshot
from tasks.deploy.record import live_now, still_live
from tasks.deploy.shift import swap
from tasks.deploy.watch import await_share
from tasks.platform.app_runner.service import live_service
from tasks.platform.health import ask
from tasks.platform.versions import Version, find_version, proof_of
from tasks.run import ledger
from tasks.run.lock import DeployLock

LOOKS_BEFORE = 2


@fact("which version of {environment.name} is {asked}?")
def choose_target(environment: Environment, asked: str, force: bool) -> Version:
    """Choose the version to go back to; `previous` served before the live one.

    While a shift is under way, `previous` is what all had before it. Raises `RequestRefused`
    for a version that was never live, or that an irreversible migration has cut off, unless
    `force` says that this is known.
    """
    return find_target_version(environment, asked, force)


def find_target_version(environment: Environment, asked: str, force: bool) -> Version:
    """Do what `choose_target` does, as part of another step."""
    with translate_aws_errors("find the version to go back to"):
        releases = list(ledger.read_releases(environment))
        snapshot = read_snapshot(environment) if environment.strategy == "blue-green" else None
        if snapshot:
            # What a killed run made live is written down only once this run holds the lock.
            releases = as_recovered(releases, ledger.read_intents(environment), snapshot.route)
        release = _release(environment, asked, releases, snapshot, force)
        if release is None:
            return find_version(environment, asked)
        cut = in_the_way(release, releases)
        if cut and not force:
            raise RequestRefused(
                f"{cut} ran an irreversible migration after {release}, which could not read its "
                "data",
                hint="Repair forwards: put a mended version live. If you know better, use `force`.",
            )
        return _version(environment, release, snapshot)


def _release(
    environment: Environment,
    asked: str,
    releases: list[Release],
    snapshot: Snapshot | None,
    force: bool,
) -> Release | None:
    """Find the release that is meant; None where `force` allows one that never was."""
    live = releases[-1] if releases else None
    if asked == "previous" and live and snapshot and snapshot.route and snapshot.route.is_shifting:
        return live
    is_tag = asked != "previous" and not DIGEST.fullmatch(asked) and not is_revision(asked)
    revision = find_version(environment, asked).revision if is_tag else ""
    try:
        return find_target(asked, releases, live, revision=revision)
    except UnknownRevision:
        if force:
            return None
        raise


def _version(environment: Environment, release: Release, snapshot: Snapshot | None) -> Version:
    """Return the release as an image; a warm colour names the repository, else ECR does."""
    colour = snapshot.colour_of(release.digest) if snapshot else None
    service = snapshot.services[colour] if snapshot and colour else None
    if service is None:
        return find_version(environment, release.digest)
    repository = service.image.partition("@")[0]
    image = Image(repository, release.digest, release.revision)
    return Version(image, proof_of(environment, release.revision, release.digest))


@operation("say how {lock.environment.name} goes back to {target}")
def announce_way_back(lock: DeployLock, snapshot: Snapshot | None, target: Version) -> None:
    """Say what a rollback will do, before it does it."""
    steps = steps_back(lock.environment, snapshot, target)
    for step in steps:
        get_run_logger().info("%s", step)
    announce_rollback(lock, target, steps)


def steps_back(environment: Environment, snapshot: Snapshot | None, target: Version) -> list[str]:
    """Say what a rollback to `target` does, in sentences."""
    if snapshot is None:
        service = live_service(environment)
        is_set_to_run = service is not None and service.image.endswith(target.digest)
        if service and service.is_paused and is_set_to_run:
            return [f"resume the service, which is set to run {target}"]
        if is_set_to_run:
            return [f"nothing: {target} is what the service runs"]
        first = "resume the service, then " if service and service.is_paused else ""
        return [f"{first}update the service in place, which takes App Runner some minutes"]
    colour = snapshot.colour_of(target.digest)
    if colour is not None and colour == snapshot.live:
        return [f"nothing: {target} is what {colour} serves to all"]
    if colour is not None:
        return [f"one write of the route: all traffic to {colour}, which still runs {target}"]
    paused = snapshot.services[snapshot.idle]
    first = f"resume {snapshot.idle}, then " if paused and paused.is_paused else ""
    return [
        f"{first}bring {target} up on {snapshot.idle} with today's settings: some minutes",
        "prove it there, then shift the traffic",
    ]


def swap_if_warm(lock: DeployLock, snapshot: Snapshot | None, target: Version) -> Live | None:
    """Go back in one write if a colour still runs the target well; return None if none does.

    What was never live is not warm, whatever colour runs it: it has yet to be proven.
    """
    colour = snapshot.colour_of(target.digest) if snapshot else None
    if snapshot is None or colour is None or not _was_live(lock, target):
        return None
    if colour == snapshot.live:
        live = still_live(lock, snapshot, target)
    elif not _answers_well(lock, snapshot, colour, target):
        return None
    else:
        live = live_now(lock, snapshot, _swapped(lock, snapshot, colour, target))
    await_share(lock, target, 100)
    return live


def _was_live(lock: DeployLock, target: Version) -> bool:
    return any(r.digest == target.digest for r in ledger.read_releases(lock.environment))


def _answers_well(lock: DeployLock, snapshot: Snapshot, colour: Colour, target: Version) -> bool:
    """Return whether the warm colour is ready now: it answers well twice at its own address."""
    environment, service = lock.environment, snapshot.services[colour]
    address = f"{environment.service_scheme}://{service.address}" if service else ""
    for _ in range(LOOKS_BEFORE):
        answer = ask(f"{address}{environment.policy.readiness_path}")
        expects = environment.policy.answers_revision
        if not (answer.is_from(target.revision) if expects else answer.is_ready):
            get_run_logger().warning("%s is not fit to go back to: %s", colour, answer)
            return False
    return True


def _swapped(lock: DeployLock, snapshot: Snapshot, colour: Colour, target: Version) -> Release:
    service = snapshot.services[colour]
    if service is None:  # a colour that runs something has a service
        raise NeverProven(f"{colour} has no service")
    return swap(lock, colour, service, target)
