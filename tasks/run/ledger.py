"""The ledger: a DynamoDB table of deploy locks, pushed and proven images, releases and intents.

One table serves all environments: the partition key `environment` names one, the sort key `entry`
says what a row is (`turn` for the deploy lock, `waiting#…`, `proven#…`, `release#…`, `intent#…`,
`rotation#secret#slot`). The images that were pushed to a repository of ECR, which environments may
share, have a partition of their own: `images#repository`, with the entry `revision#digest`. What a
row says is JSON in `said`; only what a condition asks for is an attribute of its own.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from blocks.environment import Environment
from delivery.errors import ConfigurationError, Fenced
from delivery.rotation.record import Record
from delivery.run.ledger import Intent, Proven, Pushed, Release

ABSENT = "ResourceNotFoundException"
REFUSED = "ConditionalCheckFailedException"

Row = dict[str, Any]


def read_releases(environment: Environment) -> Iterator[Release]:
    """Yield every release of an environment, in the order they went live."""
    for row in rows(environment, "release#"):
        yield Release.read(row["said"]["S"])


def read_intents(environment: Environment) -> list[Intent]:
    """Return the intents that are open, oldest first."""
    read = (Intent.read(row["said"]["S"]) for row in rows(environment, "intent#open#"))
    return list(read)


def record_release(environment: Environment, release: Release) -> None:
    """Write a release; one that is written already stays as it is."""
    add(environment, f"release#{release.number:010d}", release.text())


def record_pushed(environment: Environment, pushed: Pushed) -> None:
    """Write that we pushed this image, before it gets the tag of its revision."""
    entry = f"{pushed.revision}#{pushed.digest}"
    add(environment, entry, pushed.text(), partition=images_of(environment))


def is_recorded(environment: Environment, revision: str, digest: str) -> bool:
    """Return whether the ledger names an image as one of ours.

    A proof or a release counts as well: pushes were not recorded in earlier versions.
    """
    pushed = rows(environment, f"{revision}#", partition=images_of(environment))
    return (
        any(Pushed.read(row["said"]["S"]).digest == digest for row in pushed)
        or any(each.digest == digest for each in read_proven(environment, revision))
        or any(
            (each.revision, each.digest) == (revision, digest)
            for each in read_releases(environment)
        )
    )


def images_of(environment: Environment) -> str:
    """Return the partition of the images in the environment's ECR repository."""
    return f"images#{environment.ecr_repository}"


def record_proven(environment: Environment, proven: Proven) -> None:
    """Write that an image passed its checks; the first proof of a revision stays."""
    add(environment, f"proven#{proven.revision}", proven.text())


def read_proven(environment: Environment, revision: str) -> list[Proven]:
    """Return the proven images whose revision begins so."""
    found = rows(environment, f"proven#{revision}")
    return [Proven.read(row["said"]["S"]) for row in found]


def open_intent(environment: Environment, intent: Intent) -> None:
    add(environment, _place(intent, "open"), intent.text())


def close_intent(environment: Environment, intent: Intent) -> None:
    """Move an intent from the open ones to the closed ones, where it stays: both or neither.

    One that was closed already stays as it is.
    """
    table = environment.ledger_table
    closed = {**key(environment, _place(intent, "closed")), "said": {"S": intent.text()}}
    with _table_named(environment):
        environment.retrying("dynamodb").transact_write_items(
            TransactItems=[
                {"Put": {"TableName": table, "Item": closed}},
                {"Delete": {"TableName": table, "Key": key(environment, _place(intent, "open"))}},
            ]
        )


def read_rotations(environment: Environment, secret: str = "") -> list[Record]:
    """Return the rotations of one secret or of all, finished ones too."""
    beginning = f"rotation#{secret}#" if secret else "rotation#"
    return [Record.read(row["said"]["S"]) for row in rows(environment, beginning)]


def write_rotation(environment: Environment, record: Record, token: int) -> None:
    """Write how far a rotation is, under the lock of that `token`.

    Raises `Fenced` if a later lock wrote it. After a lost answer it is sent again.
    """
    try:
        with _table_named(environment):
            environment.retrying("dynamodb").put_item(
                TableName=environment.ledger_table,
                Item={
                    **key(environment, f"rotation#{record.secret}#{record.slot}"),
                    "said": {"S": record.text()},
                    "token": {"N": str(token)},
                },
                ConditionExpression="attribute_not_exists(entry) OR #token <= :token",
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues={":token": {"N": str(token)}},
            )
    except ClientError as error:
        if error.response["Error"]["Code"] != REFUSED:
            raise
        raise Fenced(f"the rotation of {record.secret} was written under a later lock") from None


def add(environment: Environment, entry: str, said: str, *, partition: str = "") -> bool:
    """Write a row that is not there yet, and say whether it was not.

    Harmless to repeat, so after a lost answer it is sent again.
    """
    try:
        with _table_named(environment):
            environment.retrying("dynamodb").put_item(
                TableName=environment.ledger_table,
                Item={**key(environment, entry, partition), "said": {"S": said}},
                ConditionExpression="attribute_not_exists(entry)",
            )
    except ClientError as error:
        if error.response["Error"]["Code"] != REFUSED:
            raise
        return False
    return True


def rows(environment: Environment, beginning: str, *, partition: str = "") -> Iterator[Row]:
    """Yield the rows whose entry begins so, in order, by a consistent read."""
    owner = partition or environment.name
    page: dict[str, Any] = {"LastEvaluatedKey": None}
    while "LastEvaluatedKey" in page:
        start = page["LastEvaluatedKey"]
        with _table_named(environment):
            page = environment.retrying("dynamodb").query(
                TableName=environment.ledger_table,
                KeyConditionExpression="environment = :e AND begins_with(entry, :b)",
                ExpressionAttributeValues={":e": {"S": owner}, ":b": {"S": beginning}},
                ConsistentRead=True,
                **({"ExclusiveStartKey": start} if start else {}),
            )
        yield from page["Items"]


def row(environment: Environment, entry: str) -> Row:
    """Return one row by a consistent read; it is empty if there is none."""
    with _table_named(environment):
        answer = environment.retrying("dynamodb").get_item(
            TableName=environment.ledger_table, Key=key(environment, entry), ConsistentRead=True
        )
    found: Row = answer.get("Item", {})
    return found


def key(environment: Environment, entry: str, partition: str = "") -> Mapping[str, Any]:
    return {"environment": {"S": partition or environment.name}, "entry": {"S": entry}}


def now() -> str:
    """Return this moment in ISO 8601, to the millisecond, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _place(intent: Intent, state: str) -> str:
    return f"intent#{state}#{intent.number:010d}#{intent.step:03d}"


@contextmanager
def _table_named(environment: Environment) -> Iterator[None]:
    """Name the missing table, in place of AWS's own sentence."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != ABSENT:
            raise
        raise ConfigurationError(
            f"there is no DynamoDB table {environment.ledger_table!r} for the ledger",
            hint="Run `provision` with the stack `ledger`, or correct ledger_table.",
        ) from None
