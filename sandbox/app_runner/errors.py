"""
Everything App Runner says no with, and how a rollout can go wrong.

* AwsError            an answer with an error code, as boto3 sees it
* RolloutFailed       the new version did not become fit to serve
* ImageUnavailable    the registry does not hold the image
* BrokenAnswer        the emulator itself answered what the service model does not allow
"""


class AwsError(Exception):
    """An error answer of the control API: `code` as in the service model, and its HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class RolloutFailed(Exception):
    """The reason becomes a line of the service's event log."""


class ImageUnavailable(RolloutFailed):
    pass


class BrokenAnswer(AssertionError):
    """A defect of this emulator: its answer does not fit botocore's service model."""


def invalid_request(message: str) -> AwsError:
    return AwsError("InvalidRequestException", message)


def invalid_state(message: str) -> AwsError:
    return AwsError("InvalidStateException", message)


def not_found(arn: str) -> AwsError:
    return AwsError("ResourceNotFoundException", f"No resource exists for the ARN {arn}.")


def quota_exceeded(message: str) -> AwsError:
    return AwsError("ServiceQuotaExceededException", message, status=402)


def not_emulated(what: str) -> AwsError:
    """AWS can do it and this emulator cannot: never a fake success."""
    return AwsError("NotEmulatedException", f"The sandbox does not emulate {what}.", status=501)
