"""What is live, is it well, and how do I get back: read from the cloud and the ledger."""

from prefect.artifacts import create_markdown_artifact

from blocks.environment import Environment
from delivery.errors import DeliveryError
from delivery.health import Answer
from delivery.images import Image
from delivery.ledger import Release
from delivery.route import Colour
from delivery.scene import Scene, drift
from delivery.status import Status, as_markdown, as_text, headline
from tasks import fact, ledger, operation
from tasks.app_runner import live_service
from tasks.colours import read_scene
from tasks.going_back import choose_target, steps_back
from tasks.health import ask
from tasks.refusals import in_our_words
from tasks.turn_row import read_turn, read_waiting
from tasks.versions import Version, as_proven


@fact("what is live in {environment.name}, and is it well?")
def read_status(environment: Environment) -> Status:
    """Everything a person on call asks for, at this moment; changes nothing."""
    with in_our_words("read the status"):
        blue_green = environment.strategy == "blue-green"
        scene = read_scene(environment) if blue_green else None
        releases = list(ledger.read_releases(environment))
        environment = _as_live(environment, releases)
        address = _address(environment)
        path = environment.policy.readiness_path
        return Status(
            environment=environment.name,
            address=address or "no address yet",
            public=ask(f"{address}{path}") if address else Answer(0, None, 0, "no address yet"),
            scene=scene,
            colours=_colours(environment, scene) if scene else {},
            releases=releases,
            turn=read_turn(environment),
            waiting=read_waiting(environment),
            intents=ledger.read_intents(environment),
            drift=drift(scene, releases) if scene else "",
            way_back=_way_back(environment, scene, releases),
            seen_at=ledger.now(),
        )


@operation("show the status")
def show_status(status: Status) -> str:
    """Publish the status as an artifact that is brought up to date, and return it as text."""
    create_markdown_artifact(
        as_markdown(status), key=f"status-{status.environment}", description=headline(status)
    )
    return as_text(status)


def _as_live(environment: Environment, releases: list[Release]) -> Environment:
    """The environment, with the health endpoint that the live version was proven to have."""
    live = releases[-1] if releases else None
    for proven in ledger.read_proven(environment, live.revision) if live else ():
        if live and proven.digest == live.digest:
            return as_proven(environment, Version(Image("", live.digest, live.revision), proven))
    return environment


def _address(environment: Environment) -> str:
    if environment.public_address:
        return environment.public_address.rstrip("/")
    service = live_service.fn(environment)
    return f"{environment.service_scheme}://{service.address}" if service else ""


def _colours(environment: Environment, scene: Scene) -> dict[Colour, Answer]:
    path, scheme = environment.policy.readiness_path, environment.service_scheme
    return {
        colour: ask(f"{scheme}://{service.address}{path}")
        for colour, service in scene.services.items()
        if service and service.status == "RUNNING"
    }


def _way_back(environment: Environment, scene: Scene | None, releases: list[Release]) -> str:
    if not releases:
        return "none: nothing was live before"
    try:
        target = choose_target.fn(environment, "previous", False)
    except DeliveryError as error:
        return f"none: {error}"
    return f"`rollback` to {target}: {'; '.join(steps_back(environment, scene, target))}"
