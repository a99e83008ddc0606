import pytest

from delivery.aws_errors import Refusal, refusal


@pytest.mark.parametrize(
    ("code", "status", "classify"),
    [
        ("ThrottlingException", 400, Refusal.TRY_AGAIN),
        ("TooManyRequestsException", 429, Refusal.TRY_AGAIN),
        ("SomethingNew", 429, Refusal.TRY_AGAIN),
        ("InternalServiceErrorException", 500, Refusal.OUTCOME_UNKNOWN),
        ("ServerException", 503, Refusal.OUTCOME_UNKNOWN),
        ("InvalidStateException", 400, Refusal.BUSY),
        ("InvalidRequestException", 400, Refusal.INVALID),
        ("ValidationException", 400, Refusal.INVALID),
        ("AccessDeniedException", 400, Refusal.DENIED),
        ("ExpiredTokenException", 400, Refusal.DENIED),
        ("UnheardOf", 403, Refusal.DENIED),
        ("ServiceQuotaExceededException", 402, Refusal.QUOTA),
        ("LimitExceeded", 409, Refusal.QUOTA),
        ("EntityTemporarilyUnmodifiable", 409, Refusal.BUSY),
        ("RepositoryNotFoundException", 400, Refusal.ABSENT),
        ("", 0, Refusal.INVALID),
    ],
)
def test_an_error_code_has_one_meaning(code, status, classify):
    assert refusal(code, status) is classify
