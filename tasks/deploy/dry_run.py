"""A dry run says what a deployment would do, and does none of it."""

from prefect.artifacts import create_markdown_artifact

from blocks.environment import Environment
from delivery.deploy.dry_run import as_markdown, as_text, dry_run
from delivery.errors import RequestRefused
from tasks import fact
from tasks.aws_errors import translate_aws_errors
from tasks.deploy.colours import read_snapshot
from tasks.platform.app_runner.settings import wanted_settings
from tasks.platform.versions import Version


@fact("what would putting {version} live in {environment.name} change?")
def publish_dry_run(environment: Environment, version: Version) -> str:
    """Publish every call that would change something, as an artifact and as text.

    Raises `RequestRefused` where the environment has no colours to plan for.
    """
    if environment.strategy != "blue-green":
        raise RequestRefused(f"{environment.name} is updated in place: one UpdateService, no plan")
    with translate_aws_errors("look at both colours"):
        snapshot = read_snapshot(environment)
    idle, policy = environment.on(snapshot.idle), environment.policy
    changes = dry_run(
        snapshot,
        wanted_settings(idle, version.image),
        policy.shift_steps,
        version.revision,
        policy.keep_warm_s,
        has_default_origin=bool(environment.router and environment.router.distribution),
    )
    create_markdown_artifact(
        f"# What putting {version} live in {environment.name} would change\n\n"
        f"Now: {snapshot}\n\n{as_markdown(changes)}",
        key="plan",
        description=f"{len(changes)} calls would change something",
    )
    return as_text(changes)
