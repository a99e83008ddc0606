"""Errors of the control API, and the ways in which a rollout can fail.

* AwsError            an error answer with a code, as boto3 sees it
* RolloutFailed       the new version did not become healthy
* ImageUnavailable    the registry does not hold the image
* BrokenAnswer        the emulator's own answer does not fit the service model
"""


class AwsError(Exception):
    """An error answer of the control API: `code` as in the service model, and its HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class RolloutFailed(Exception):
    """Raised when a version cannot serve; the reason becomes a line of the service's event log."""


class ImageUnavailable(RolloutFailed):
    pass


class BrokenAnswer(AssertionError):
    """Raised for a defect of this emulator: its answer does not fit botocore's service model."""


def invalid_request(message: str) -> AwsError:
    return AwsError("InvalidRequestException", message)


def invalid_state(message: str) -> AwsError:
    return AwsError("InvalidStateException", message)


def not_found(arn: str) -> AwsError:
    return AwsError("ResourceNotFoundException", f"No resource exists for the ARN {arn}.")


def quota_exceeded(message: str) -> AwsError:
    return AwsError("ServiceQuotaExceededException", message, status=402)


def not_emulated(what: str) -> AwsError:
    """Return the error for a feature of AWS that is not emulated, rather than pretend success."""
    return AwsError("NotEmulatedException", f"The sandbox does not emulate {what}.", status=501)
