"""The access keys of the IAM user whose secret keys become SMTP passwords of Amazon SES.

An orphan is the key of a run that was killed after CreateAccessKey, which returns the secret key
only once, and before it stored that. It is in no version of the secret, was made after the start of
a rotation that is not over, and was never used. Any other unknown key belongs to somebody else and
is not touched. IAM is eventually consistent, and a user has two keys at most.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError, ClientError

from blocks.environment import Environment
from delivery.aws_errors import Refusal
from delivery.errors import Drift, OutcomeUnknown, RequestRefused
from delivery.rotation.facts import DAY_S
from tasks.aws_errors import classify, translate_aws_errors
from tasks.confirmed import PAUSE_S, TRIES, UNCLEAR, aws_is_unclear, ensure

KEYS_PER_USER = 2
EVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class AccessKey:
    """An access key as IAM lists it; `created` is in seconds since 1970."""

    id: str
    is_active: bool
    created: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class NewAccessKey:
    """A key that was just made; IAM never shows its secret again, and `repr` does not either."""

    id: str
    secret: str = field(repr=False)


def keys_of(environment: Environment, user: str) -> list[AccessKey]:
    """The keys of an IAM user. Raises `ConfigurationError` if there is no such user."""
    with translate_aws_errors(f"list the access keys of the IAM user {user}"):
        answer = environment.retrying("iam").list_access_keys(UserName=user)
    return [
        AccessKey(each["AccessKeyId"], each["Status"] == "Active", each["CreateDate"].timestamp())
        for each in answer["AccessKeyMetadata"]
    ]


def orphans_of(
    environment: Environment, user: str, known: Collection[str], left_since: float
) -> list[AccessKey]:
    """The keys that are in no version of the secret, all of them left by killed rotations.

    `known` are the key ids in every version of the secret that has a label, `left_since` is when
    the first rotation began that may have left one. Raises `Drift` if the user has keys but none of
    those, and `RequestRefused` if one belongs to somebody else, who then uses the IAM user too.
    """
    found = keys_of(environment, user)
    unknown = [key for key in found if key.id not in known]
    if found and len(unknown) == len(found):
        raise Drift(
            f"none of the access keys of the IAM user {user} is in the secret",
            hint="Correct iam_user in the secret, or put the user's own key there by hand. "
            "No key was deleted.",
        )
    for key in unknown:
        if key.created < left_since or was_used_since(environment, key.id, EVER):
            raise RequestRefused(
                f"the access key {key.id} of the IAM user {user}, created on {_day(key.created)}, "
                f"was not made by a rotation, and IAM allows a user only {KEYS_PER_USER} keys",
                hint="Find out who uses it, and delete it by hand. Nothing was changed.",
            )
    return unknown


def remove_orphans(
    environment: Environment, user: str, known: Collection[str], left_since: float
) -> list[str]:
    """Deactivate and delete the orphans; returns their ids. See `orphans_of`."""
    orphans = [key.id for key in orphans_of(environment, user, known, left_since)]
    for orphan in orphans:
        deactivate_key(environment, user, orphan)
        _delete(environment, user, orphan)
    return orphans


def create_key(
    environment: Environment, user: str, known: Collection[str], left_since: float
) -> NewAccessKey:
    """Make a key for the user; orphans are removed first, and again after a lost answer.

    Each request is sent once. Raises `RequestRefused` if both keys are known, so one must be
    retired first, or one belongs to somebody else; `OutcomeUnknown` if no answer came three times.
    """
    for _ in range(TRIES):
        remove_orphans(environment, user, known, left_since)
        if len(keys_of(environment, user)) >= KEYS_PER_USER:
            raise RequestRefused(
                f"the IAM user {user} has two access keys already, and both are in use",
                hint="Wait until the older one is retired, or retire it by hand, then run again. "
                "Nothing was changed.",
            )
        if made := _create(environment, user):
            return made
        time.sleep(PAUSE_S)
    raise OutcomeUnknown(
        f"IAM did not answer whether it made a new access key for the user {user}",
        hint="Run again: a key whose secret was lost is removed first.",
    )


def _create(environment: Environment, user: str) -> NewAccessKey | None:
    """A new key; None if the answer was lost, or IAM counts an orphan that it does not list yet."""
    with translate_aws_errors(f"create an access key for the IAM user {user}"):
        try:
            made = environment.sending_once("iam").create_access_key(UserName=user)["AccessKey"]
        except (ClientError, BotoCoreError) as error:
            if aws_is_unclear(error) or classify(error) is Refusal.QUOTA:
                return None
            raise
    return NewAccessKey(made["AccessKeyId"], made["SecretAccessKey"])


def deactivate_key(environment: Environment, user: str, key: str) -> None:
    """Deactivate a key, which can be undone by hand, unless it is inactive or deleted already."""

    def is_done() -> bool:
        found = _found(environment, user, key)
        return found is None or not found.is_active

    with translate_aws_errors(f"deactivate the access key {key}", hint=UNCLEAR):
        ensure(
            lambda: environment.sending_once("iam").update_access_key(
                UserName=user, AccessKeyId=key, Status="Inactive"
            ),
            is_done,
            _may_be_done,
            what=f"the access key {key} becomes inactive",
        )


def delete_key(
    environment: Environment,
    user: str,
    key: str,
    *,
    inactive_since: float,
    now: float,
    inactive_for_s: float = DAY_S,
) -> None:
    """Delete a key that has been inactive for `inactive_for_s`, unless it is deleted already.

    Moments are seconds since 1970; `inactive_since` comes from the ledger, since IAM does not store
    it. Raises `RequestRefused` if the key is active or has not been inactive for so long.
    """
    found = _found(environment, user, key)
    if found and found.is_active:
        raise RequestRefused(f"the access key {key} is active, so it is not deleted")
    if now - inactive_since < inactive_for_s:
        raise RequestRefused(
            f"the access key {key} has not been inactive for {inactive_for_s / 3600:g} hours yet"
        )
    _delete(environment, user, key)


def _delete(environment: Environment, user: str, key: str) -> None:
    with translate_aws_errors(f"delete the access key {key}", hint=UNCLEAR):
        ensure(
            lambda: environment.sending_once("iam").delete_access_key(
                UserName=user, AccessKeyId=key
            ),
            lambda: _found(environment, user, key) is None,
            _may_be_done,
            what=f"the access key {key} is deleted",
        )


def was_used_since(environment: Environment, key: str, moment: datetime) -> bool:
    """Whether AWS recorded a use of a key at or after a moment; the record may lag by hours."""
    with translate_aws_errors(f"ask when the access key {key} was used last"):
        answer = environment.retrying("iam").get_access_key_last_used(AccessKeyId=key)
    last: datetime | None = answer["AccessKeyLastUsed"].get("LastUsedDate")
    return last is not None and last >= moment


def _found(environment: Environment, user: str, key: str) -> AccessKey | None:
    return next((each for each in keys_of(environment, user) if each.id == key), None)


def _may_be_done(error: Exception) -> bool:
    # NoSuchEntity: somebody else may have deleted it meanwhile, which the next look shows.
    return aws_is_unclear(error) or (
        isinstance(error, ClientError) and classify(error) is Refusal.ABSENT
    )


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
