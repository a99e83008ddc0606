"""The services that run with the secrets: what they run with, and starting them anew.

App Runner reads secrets when it deploys. The idle colour goes first, where no user is; then the
live one, in place. Each is proven by what the application itself says that it runs with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blocks.environment import Environment
from delivery.platform.health import HealthAnswer
from delivery.platform.images import Image
from delivery.platform.service import Deployment, Service
from delivery.run.ledger import Release
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.deploy.colours import read_snapshot
from tasks.platform.app_runner.service import await_deployment, change_service, restart_service
from tasks.platform.app_runner.state import service_of
from tasks.platform.health import answer_of, await_secrets
from tasks.run import ledger
from tasks.run.intents import intent
from tasks.run.lock import DeployLock

RUNS = ("RUNNING", "OPERATION_IN_PROGRESS")


@dataclass(frozen=True)
class Consumer:
    """A service that runs, and what it said of itself.

    `environment` is that of its one colour, as its version was proven; `revision` is None where
    the ledger does not know what it runs.
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
    def given(self) -> Mapping[str, str]:
        """The secrets that App Runner gives it: variable to reference."""
        repository = self.service.settings["SourceConfiguration"].get("ImageRepository", {})
        configuration = repository.get("ImageConfiguration", {})
        found: Mapping[str, str] = configuration.get("RuntimeEnvironmentSecrets", {})
        return found

    def runs_with(self, kind: str) -> str:
        """The version of a kind of secret that it says it runs with; empty where it says none."""
        return self.answer.secrets.get(kind, "")

    def __str__(self) -> str:
        return self.name


@fact("with which secrets does {environment.name} run?")
def look_at_consumers(environment: Environment) -> list[Consumer]:
    """The services of an environment that run, in the order in which they are to be rolled."""
    with translate_aws_errors("look at the services"):
        releases = list(ledger.read_releases(environment))
        return [
            _consumer(environment, place, service, releases, colour)
            for place, service, colour in _places(environment)
            if service is not None and service.status in RUNS and service.address
        ]


def _places(environment: Environment) -> list[tuple[Environment, Service | None, str]]:
    if environment.strategy == "in-place":
        return [(environment, service_of(environment), "")]
    snapshot = read_snapshot(environment)
    order = (snapshot.idle, snapshot.idle.other)
    return [(environment.on(colour), snapshot.services[colour], colour) for colour in order]


def _consumer(
    environment: Environment,
    place: Environment,
    service: Service,
    releases: Sequence[Release],
    colour: str,
) -> Consumer:
    digest = service.image.rpartition("@")[2]
    revision = next((each.revision for each in releases if each.digest == digest), None)
    for proven in ledger.read_proven(environment, revision) if revision else []:
        if proven.digest == digest:
            says_revision = place.policy.answers_revision and proven.answers_revision
            place = place.answering(proven.readiness_path, says_revision)
    return Consumer(place, service, revision, answer_of(place, service), colour)


def restart_services(
    lock: DeployLock,
    consumers: Sequence[Consumer],
    behind: Mapping[str, Sequence[str]],
    versions: Mapping[str, str],
) -> None:
    """Start each service anew that is `behind`, and prove that all run with `versions`.

    `behind` maps a service to the kinds of secrets of which it runs with an older version. Raises
    `RolledBack`, `RolloutFailed` or `NeverBecameHealthy`; every credential is still good then.
    """
    for consumer in consumers:
        service = consumer.service
        if behind.get(consumer.name):
            lock.demand_now()
            deployment = start_anew(lock, consumer, versions)
            service = await_deployment(consumer.environment, deployment, lock.demand)
        await_secrets(consumer.environment, service, consumer.revision, versions, lock.demand)


@operation("start {consumer} anew, with today's secrets")
def start_anew(lock: DeployLock, consumer: Consumer, versions: Mapping[str, str]) -> Deployment:
    """Let a service read its secrets anew, or give it references that it has not yet."""
    environment, image = consumer.environment, _image(consumer)
    wanted = environment.service.secrets

    def is_needed() -> bool:
        return not answer_of(environment, consumer.service).runs_with(versions)

    with (
        translate_aws_errors(f"start {consumer} anew"),
        intent(lock, "roll", consumer.colour, versions=dict(versions)),
    ):
        if wanted.items() - consumer.given.items():
            return change_service(environment, image, lock.demand_now)
        return restart_service(environment, image, is_needed, lock.demand_now)


def _image(consumer: Consumer) -> Image:
    repository, _, digest = consumer.service.image.rpartition("@")
    return Image(repository, digest, consumer.revision or consumer.answer.revision or "unknown")
