"""What may not be quoted: the text of an error that nobody foresaw, where secrets are at hand.

Prefect keeps the text of an exception in its database, its logs and its events.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from delivery.errors import DeliveryError, Unforeseen


@contextmanager
def redacted(doing: str) -> Iterator[None]:
    """Say of an error that is none of ours where it was raised, and not what it says.

    `doing` completes "while we wanted to …". Raises `Unforeseen`.
    """
    try:
        yield
    except DeliveryError:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise Unforeseen(
            f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno} while we wanted "
            f"to {doing}; what it says is kept back, since it may quote a secret"
        ) from None
