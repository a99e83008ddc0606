"""Decide what an AWS error means for us: one table, one test.

Sources: the services' API references and the measurements in docs/decisions.md.
"""

from enum import Enum


class Refusal(Enum):
    """The meaning of an AWS call that failed: what may be done next."""

    TRY_AGAIN = "it was not accepted, and may be sent again"
    OUTCOME_UNKNOWN = "it may have been carried out: read before anything else"
    BUSY = "another operation is under way: wait for it, then look again"
    DENIED = "our credentials do not allow it"
    QUOTA = "the account's quota is used up"
    ABSENT = "what it names does not exist"
    INVALID = "the request is wrong and would be wrong again"


CLOSED = (
    "Check the role first. If it allows this, the account does not: App Runner has taken no new "
    "customers since 30 April 2026, and an account that never used it cannot start now. AWS "
    "recommends ECS instead (Express Mode, or a service behind a load balancer); see "
    "docs/provisioning.md."
)

# A part of DENIED: AWS does not accept the credentials, so it asks for no permission yet.
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
    """Return the meaning of an error answer with this `code` and HTTP `status`.

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
