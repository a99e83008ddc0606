"""
Give the application new credentials, and retire the old ones once no client uses them.

    recover interrupted runs ─ look at the services ─ check all secrets ─ announce ─┐
      ┌─────────────────────────────────────────────────────────────────────────────┘
      └ for each secret: create a version ─ set the idle account ─ prove ─ make it current ┐
      ┌────────────────────────────────────────────────────────────────────────────────────┘
      └ restart the idle colour, prove it ─ restart the live one, prove it ─ record ─┐
    conclude ◀─ retire what is due already ◀─────────────────────────────────────────┘

Old and new credentials both work from the first change until the retirement, which is due a day
after the restart at the earliest: `reconcile` or the next run retires then. A killed run is simply
started again; a secret that waits for a person is left out.
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
from tasks.rotation.rolling_restart import (
    look_at_consumers,
    record_running_versions,
    rolling_restart,
)
from tasks.rotation.rotate import renew_credentials, require_none_failed, retire_due_credentials
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
        description="Names the rotation: the same id resumes it, another id makes other versions. "
        "Empty: the scheduled start of the run.",
    ),
    reason: OptionalReason = Field(
        default="", description="Why; needed for force_logout and compromised."
    ),
    force_logout: bool = Field(default=False, description="New keys at once: ends all sessions."),
    compromised: bool = Field(
        default=False,
        description="No overlap: the old credentials are revoked right after the restart.",
    ),
) -> str:
    """Rotate secrets as far as possible today; report what waits, and until when."""
    env = Environment.named(environment)
    request = rotation_request(secrets, rotation_id, reason, force_logout, compromised)
    with deploy_lock(env, "rotate", str(request), reason or WEEKLY) as lock:
        recover_interrupted(lock)
        consumers = look_at_consumers(env)
        rotations, excluded = check_secrets(env, request, consumers)
        announce_rotation(lock, request, rotations, excluded)
        consumers = renew_credentials(lock, rotations, consumers)
        rolling_restart(lock, rotations, consumers)
        consumers = record_running_versions(lock, rotations, consumers)
        retire_due_credentials(lock, rotations, consumers)
        require_none_failed(rotations)
        outcome = conclude_rotation(lock, rotations, excluded)
    return f"{env.name}: {outcome}"
