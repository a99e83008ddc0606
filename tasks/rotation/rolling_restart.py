"""Services that run with the secrets: which versions each has, and their restart, one by one.

App Runner reads secrets when it deploys. The idle colour is restarted first, since no user is
there; then the live one, in place. What the application answers proves which versions it has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blocks.environment import Environment
from delivery.errors import OutcomeUnknown
from delivery.platform.health import HealthAnswer
from delivery.platform.images import Image
from delivery.platform.route import Colour
from delivery.platform.service import Deployment, Service
from delivery.rotation.record import RotationStep
from delivery.run.ledger import Release
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.deploy.colours import read_snapshot
from tasks.platform.app_runner.service import await_deployment, change_service, restart_service
from tasks.platform.app_runner.state import service_of
from tasks.platform.health import answer_of, await_secrets
from tasks.rotation.state import Rotation
from tasks.rotation.steps import record_restart
from tasks.run import ledger
from tasks.run.intents import intent
from tasks.run.lock import DeployLock

RUNS = ("RUNNING", "OPERATION_IN_PROGRESS")
# An interrupted rotation needs one and the rotation that was asked for another; the rest is in
# reserve, since a single answer decides whether a service is behind.
MOST_RESTARTS = 4


@dataclass(frozen=True)
class Consumer:
    """A service that runs, and what it answered about itself.

    `environment` is that of its one colour, with the health endpoint of the version it runs;
    `revision` is None where the ledger does not know that version.
    """

    environment: Environment
    service: Service
    revision: str | None
    answer: HealthAnswer
    colour: str = ""

    @property
    def name(self) -> str:
        return self.environment.service.name

    @property
    def references(self) -> Mapping[str, str]:
        """The references to secrets that App Runner resolves for it, by variable."""
        repository = self.service.settings["SourceConfiguration"].get("ImageRepository", {})
        configuration = repository.get("ImageConfiguration", {})
        found: Mapping[str, str] = configuration.get("RuntimeEnvironmentSecrets", {})
        return found

    def runs_with(self, kind: str) -> str:
        """The version of a kind of secret that it reports; empty if it reports none."""
        return self.answer.secrets.get(kind, "")

    def __str__(self) -> str:
        return self.name


@fact("with which secrets does {environment.name} run?")
def look_at_consumers(environment: Environment) -> list[Consumer]:
    """The services of an environment that run, in the order in which they are to be restarted."""
    with translate_aws_errors("look at the services"):
        releases = list(ledger.read_releases(environment))
        return [
            _consumer(environment, colour, service, releases)
            for colour, service in _in_order_of_restart(environment)
            if service is not None and service.status in RUNS and service.address
        ]


def _in_order_of_restart(environment: Environment) -> list[tuple[Colour | None, Service | None]]:
    """The service of each colour, where there is one; the one in place has no colour."""
    if environment.strategy == "in-place":
        return [(None, service_of(environment))]
    snapshot = read_snapshot(environment)
    order = (snapshot.idle, snapshot.idle.other)
    return [(colour, snapshot.services[colour]) for colour in order]


def _consumer(
    environment: Environment, colour: Colour | None, service: Service, releases: Sequence[Release]
) -> Consumer:
    own = environment.on(colour) if colour else environment
    digest = service.image.rpartition("@")[2]
    revision = next((each.revision for each in releases if each.digest == digest), None)
    for proven in ledger.read_proven(environment, revision) if revision else []:
        if proven.digest == digest:
            answers_revision = own.policy.answers_revision and proven.answers_revision
            own = own.answering(proven.readiness_path, answers_revision)
    return Consumer(own, service, revision, answer_of(own, service), colour or "")


def rolling_restart(
    lock: DeployLock, rotations: Sequence[Rotation], consumers: Sequence[Consumer]
) -> None:
    """Restart each service that runs with an older version, one by one: idle colour, then live.

    Each is proven by its own answers before the next one is touched; a service that is not behind
    is only proven. Nothing is done where no rotation needs it. Raises `RolledBack`,
    `RolloutFailed` or `NeverBecameHealthy`; all credentials, old and new, still work then.
    """
    waiting = [each for each in rotations if each.needs_restart]
    versions = {str(each.credential.kind): each.next.version for each in waiting}
    behind = {service for each in waiting for service in each.next.services}
    for consumer in consumers if waiting else ():
        service = consumer.service
        if consumer.name in behind:
            lock.ensure_held_now()
            deployment = restart(lock, consumer, versions)
            service = await_deployment(consumer.environment, deployment, lock.ensure_held)
        await_secrets(consumer.environment, service, consumer.revision, versions, lock.ensure_held)


@operation("restart {consumer} with the current secrets")
def restart(lock: DeployLock, consumer: Consumer, versions: Mapping[str, str]) -> Deployment:
    """Make a service read its secrets again, and give it references that it lacks."""
    environment, image = consumer.environment, _image(consumer)
    wanted = environment.service.secrets

    def is_needed() -> bool:
        return not answer_of(environment, consumer.service).runs_with(versions)

    with (
        translate_aws_errors(f"restart {consumer}"),
        intent(lock, "roll", consumer.colour, versions=dict(versions)),
    ):
        if wanted.items() - consumer.references.items():
            return change_service(environment, image, lock.ensure_held_now)
        return restart_service(environment, image, is_needed, lock.ensure_held_now)


def _image(consumer: Consumer) -> Image:
    repository, _, digest = consumer.service.image.rpartition("@")
    return Image(repository, digest, consumer.revision or consumer.answer.revision or "unknown")


def record_running_versions(
    lock: DeployLock, rotations: Sequence[Rotation], consumers: list[Consumer]
) -> list[Consumer]:
    """Record for each restarted secret that every service was proven to run with its new version.

    Returns the services as they are now. Raises `OutcomeUnknown` after too many restarts.
    """
    restarted = [each for each in rotations if each.needs_restart]
    for rotation in restarted:
        record_restart(lock, rotation)
    if any(each.taken.count(RotationStep.RESTART) >= MOST_RESTARTS for each in restarted):
        raise OutcomeUnknown("services run with other versions of secrets, again and again")
    return look_at_consumers(lock.environment) if restarted else consumers
