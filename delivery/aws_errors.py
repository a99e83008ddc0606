"""What an AWS error means for us; one table, one test.

Sources: the services' API references and the measurements in docs/decisions.md.
"""

from enum import Enum


class Refusal(Enum):
    """What to do about an AWS call that did not succeed."""

    TRY_AGAIN = "it was not accepted, and may be sent again"
    OUTCOME_UNKNOWN = "it may have been carried out: read before anything else"
    BUSY = "another operation is under way: wait for it, then look again"
    DENIED = "our credentials do not allow it"
    QUOTA = "the account's quota is used up"
    ABSENT = "what it names does not exist"
    INVALID = "the request is wrong and would be wrong again"


CLOSED = (
    "Look at the role first. If it may do this, the account may not: App Runner takes no new "
    "customers since 30 April 2026, and an account that never used it cannot begin. AWS names ECS "
    "(Express Mode, or a service behind a load balancer) in its place; see docs/provisioning.md."
)

# Of what is denied: AWS does not know who asks, whatever they may.
WHO_ASKS = {
    *("UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException"),
    *("SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException"),
}

_BY_CODE = {
    Refusal.TRY_AGAIN: """Throttling ThrottlingException ThrottledException RequestThrottled
        RequestThrottledException TooManyRequestsException RequestLimitExceeded
        ProvisionedThroughputExceededException SlowDown PriorRequestNotComplete
        TransactionInProgressException EC2ThrottledException BandwidthLimitExceeded""",
    Refusal.BUSY: """InvalidStateException ConflictException ServiceNotActiveException
        ResourceInUseException OperationNotPermittedException EntityTemporarilyUnmodifiable
        ConcurrentModification""",
    Refusal.DENIED: """AccessDenied AccessDeniedException UnauthorizedOperation AuthFailure
        MissingAuthenticationToken MissingAuthenticationTokenException OptInRequired
        KMSAccessDeniedException SubscriptionRequiredException""",
    Refusal.QUOTA: "ServiceQuotaExceededException LimitExceededException LimitExceeded",
    Refusal.ABSENT: """ResourceNotFoundException RepositoryNotFoundException
        ImageNotFoundException NoSuchEntity NotFoundException""",
}
_MEANING = {code: refusal for refusal, codes in _BY_CODE.items() for code in codes.split()}
_MEANING |= dict.fromkeys(WHO_ASKS, Refusal.DENIED)


def refusal(code: str, status: int) -> Refusal:
    """The meaning of an error answer with this `code` and HTTP `status`.

    An unknown code of the 5xx family may follow a request that was carried out.
    """
    if code in _MEANING:
        return _MEANING[code]
    if status == 429:
        return Refusal.TRY_AGAIN
    if status >= 500:
        return Refusal.OUTCOME_UNKNOWN
    if status in (401, 403):
        return Refusal.DENIED
    return Refusal.INVALID
