"""What AWS means when it says no, in our own words."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    TokenRetrievalError,
)

from delivery.aws_errors import Refusal, refusal
from delivery.errors import AccessDenied, ConfigurationError, Unreachable

NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
)


def classify(error: ClientError | BotoCoreError) -> Refusal:
    """What an exception of botocore means; a broken connection leaves the outcome unknown."""
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return refusal(code, status)
    if isinstance(error, NO_CREDENTIALS):
        return Refusal.DENIED
    if isinstance(error, ParamValidationError):
        return Refusal.INVALID
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return Refusal.TRY_AGAIN
    return Refusal.OUTCOME_UNKNOWN


@contextmanager
def translate_aws_errors(doing: str, hint: str | None = None) -> Iterator[None]:
    """Turn what botocore raises into our errors; `doing` completes "AWS refused to …".

    Raises `AccessDenied`, `ConfigurationError` or `Unreachable`, with a `hint` in place of their
    own where something was sent already.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        match classify(error):
            case Refusal.DENIED:
                raise AccessDenied(
                    f"AWS refused to {doing}: {describe(error)}", hint=hint
                ) from None
            case Refusal.ABSENT | Refusal.INVALID | Refusal.QUOTA:
                raise ConfigurationError(
                    f"AWS cannot {doing}: {describe(error)}", hint=hint
                ) from None
            case _:
                raise Unreachable(f"AWS would not {doing}: {describe(error)}", hint=hint) from None


def describe(error: Exception) -> str:
    """What an error says: of AWS's, the code and the message, without the request."""
    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        return f"{answer.get('Code', 'error')}: {answer.get('Message') or 'no message'}"
    return str(error)
