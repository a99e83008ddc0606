"""An intent records a change before it is sent, so that what a killed run leaves is on record."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from prefect.logging import get_run_logger

from delivery.errors import DeliveryError
from delivery.run.ledger import Intent
from tasks.run import ledger
from tasks.run.lock import DeployLock


@contextmanager
def intent(lock: DeployLock, kind: str, colour: str, **detail: Any) -> Iterator[None]:
    """Write that a change is about to be sent, and afterwards what became of it.

    A run that is killed in between leaves the intent open, and the next holder of the deploy lock
    closes it.
    So does an end that cannot be written, which is no reason to fail what has succeeded.
    """
    said = Intent(
        number=lock.token,
        step=lock.next_step(),
        kind=kind,
        colour=colour,
        run=lock.holder.run,
        opened=ledger.now(),
        detail=detail,
    )
    ledger.open_intent(lock.environment, said)
    try:
        yield
    except Exception as error:
        # A release may be live although its end could not be seen or written: reading tells.
        if "release" not in detail:
            _close(lock, said, f"failed: {type(error).__name__}")
        raise
    _close(lock, said, "done")


def _close(lock: DeployLock, said: Intent, outcome: str) -> None:
    try:
        ledger.close_intent(lock.environment, replace(said, closed=ledger.now(), outcome=outcome))
    except (ClientError, BotoCoreError, DeliveryError) as error:
        get_run_logger().warning("%s stays open in the ledger: %s", said, type(error).__name__)
