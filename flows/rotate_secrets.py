"""
Give the application new credentials, and take the old ones away once nobody uses them.

    recover ─ check all ─┬ new version, pending ─ set the idle account ─ prove ─ make current ┐
                        └ (for each secret; one that waits for a person is left)             │
    tell ◀─ retire what is due ◀─ prove which versions run ◀─ roll: idle colour, then live ◀─┘

Old and new are both good from the first change until the retirement, which is due a day after
the roll at the earliest: `reconcile` or the next run carries it out. Killed anywhere, run it again.
"""

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from blocks.parameters import OptionalReason, Registered, RotationId, Secrets
from delivery.rotation.facts import SecretKind
from flows.reconcile import recover_interrupted
from tasks.deploy.conclusion import tell_failure
from tasks.rotation.announcements import (
    WEEKLY,
    announce_rotation,
    conclude_rotation,
    rotation_request,
)
from tasks.rotation.preflight import check_secrets
from tasks.rotation.rolling_restart import look_at_consumers
from tasks.rotation.rotate import rotate
from tasks.run.hooks import on_bad_end
from tasks.run.lock import deploy_lock


@flow(
    name="rotate-secrets",
    flow_run_name="rotate secrets of {environment}",
    **on_bad_end(tell_failure),
)
def rotate_secrets(
    environment: Registered = Field(default="production", description="A registered environment."),
    secrets: Secrets = Field(default=list(SecretKind), description="Which secrets to rotate."),
    rotation_id: RotationId = Field(
        default="",
        description="Names the rotation: the same id goes on with it, another makes other "
        "versions. Empty: the scheduled start of the run.",
    ),
    reason: OptionalReason = Field(
        default="", description="Why; needed for force_logout and compromised."
    ),
    force_logout: bool = Field(default=False, description="New keys at once: ends all sessions."),
    compromised: bool = Field(
        default=False,
        description="No overlap: the old credentials are revoked as soon as the roll is done.",
    ),
) -> str:
    """Rotate secrets as far as can be today; say what waits, and until when."""
    env = Environment.named(environment)
    request = rotation_request(secrets, rotation_id, reason, force_logout, compromised)
    with deploy_lock(env, "rotate", str(request), reason or WEEKLY) as lock:
        recover_interrupted(lock)
        consumers = look_at_consumers(env)
        rotations, cannot = check_secrets(env, request, consumers)
        announce_rotation(lock, request, rotations, cannot)
        rotate(lock, rotations, consumers)
        told = conclude_rotation(lock, rotations, cannot)
    return f"{env.name}: {told}"
