"""Translate botocore's exceptions into our own errors."""

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
    """Return what an exception of botocore means; a broken connection leaves the outcome open."""
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
    """Raise our own error in place of botocore's; `doing` completes "AWS refused to …".

    Raises `AccessDenied`, `ConfigurationError` or `Unreachable`. A `hint` replaces their own, for
    calls that come after a write.
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
    """Return the text of an error; of an error of AWS its code and message, without the request."""
    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        return f"{answer.get('Code', 'error')}: {answer.get('Message') or 'no message'}"
    return str(error)
