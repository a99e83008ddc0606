"""The ledger holds one row for the deploy lock and one for each run that waits for it."""

import time
from contextlib import suppress
from typing import Any
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError
from httpx import HTTPError
from prefect import get_client
from prefect.exceptions import PrefectException

from blocks.environment import Environment
from delivery.run.ledger import KINDS_THAT_SUPERSEDE, Holder, LockRow
from tasks.run import ledger
from tasks.run.ledger import REFUSED

# The sort key of the row, as it was first spelt: rows that stand in a ledger stay readable.
LOCK = "turn"
WAITING = "waiting#"


def read_lock(environment: Environment) -> LockRow:
    """Return who holds the deploy lock at this moment, and whether it was asked to stop."""
    return _row_of(ledger.row(environment, LOCK))


def read_waiting(environment: Environment) -> list[Holder]:
    """Return the runs that wait for the lock and said so within the last lease."""
    now, lease = time.time(), environment.policy.lock_lease_s
    return [
        Holder.read(row["said"]["S"])
        for row in ledger.rows(environment, WAITING)
        if now - float(row["seen"]["N"]) <= lease
    ]


def ask_to_stop(environment: Environment, row: LockRow, why: str) -> None:
    """Ask the holder of the lock to take its change back; it sees it at its next heartbeat."""
    update_lock(
        environment,
        "SET #stop = :why",
        "#token = :token AND attribute_exists(holder) AND attribute_not_exists(#stop)",
        {":why": {"S": why[:500]}, ":token": {"N": str(row.token)}},
        stop=True,
    )


def update_lock(
    environment: Environment,
    update: str,
    condition: str,
    values: dict[str, Any],
    *,
    stop: bool = False,
) -> LockRow | None:
    """Change the row of the lock; None if the condition does not hold.

    After a lost answer it is sent again, which the condition makes harmless: what was
    written already is then refused, and the next look shows whose it is.
    """
    names = {"#token": "token", **({"#stop": "stop"} if stop else {})}
    try:
        answer = environment.retrying("dynamodb").update_item(
            TableName=environment.ledger_table,
            Key=ledger.key(environment, LOCK),
            UpdateExpression=update,
            ConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != REFUSED:
            raise
        return None
    return _row_of(answer["Attributes"])


def _row_of(row: dict[str, Any]) -> LockRow:
    held = row.get("holder", {}).get("S")
    return LockRow(
        token=int(row.get("token", {}).get("N", 0)),
        heartbeat=int(row.get("beat", {}).get("N", 0)),
        heard=float(row.get("heard", {}).get("N", 0)),
        holder=Holder.read(held) if held else None,
        stop=row.get("stop", {}).get("S", ""),
        last={
            kind: float(row[f"last_{kind}"]["N"])
            for kind in KINDS_THAT_SUPERSEDE
            if f"last_{kind}" in row
        },
    )


def at_this_moment() -> dict[str, str]:
    """Return the time as a row holds it: seconds since 1970."""
    return {"N": f"{time.time():.3f}"}


def say_waiting(environment: Environment, mine: Holder, *, no_longer: bool = False) -> None:
    """Write that a run waits for the deploy lock, and is alive; or take that back."""
    client, entry = environment.retrying("dynamodb"), f"{WAITING}{mine.run}"
    where = ledger.key(environment, entry)
    if no_longer:
        with suppress(ClientError, BotoCoreError):  # an old row is not believed for long
            client.delete_item(TableName=environment.ledger_table, Key=where)
        return
    seen = {"said": {"S": mine.text()}, "seen": at_this_moment()}
    client.put_item(TableName=environment.ledger_table, Item={**where, **seen})


def is_finished(run: str) -> bool:
    """Return whether Prefect calls a run finished; unknown is no."""
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(run)).state
    except (HTTPError, PrefectException, ValueError):
        return False  # then a whole lease must pass
    return bool(state and state.is_final())
