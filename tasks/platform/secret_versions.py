"""Find which version of each secret is current: ids for the ledger, never a value."""

from botocore.exceptions import BotoCoreError, ClientError
from prefect.logging import get_run_logger

from blocks.environment import Environment
from delivery.credentials.secret_value import secret_of
from tasks.aws_errors import describe


def secret_versions(environment: Environment) -> dict[str, str]:
    """Return the id of the current version for each variable that is read from a secret.

    A version that cannot be read is left out, with a warning: a release does not fail for its
    record.
    """
    current: dict[str, str] = {}
    found: dict[str, str] = {}
    for variable, reference in environment.service.secrets.items():
        secret = secret_of(reference)
        if secret not in current:
            current[secret] = _current(environment, secret)
        if current[secret]:
            found[variable] = current[secret]
    return found


def _current(environment: Environment, secret: str) -> str:
    try:
        stages = environment.retrying("secretsmanager").describe_secret(SecretId=secret)
    except (ClientError, BotoCoreError) as error:
        get_run_logger().warning("the version of a secret is not recorded: %s", describe(error))
        return ""
    versions: dict[str, list[str]] = stages.get("VersionIdsToStages", {})
    return next((v for v, labels in versions.items() if "AWSCURRENT" in labels), "")
