"""Keep the text of unexpected errors out of Prefect while secrets are in memory.

Prefect stores the text of an exception in its database, its logs and its events.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from delivery.errors import DeliveryError, Unforeseen


@contextmanager
def redacted(doing: str) -> Iterator[None]:
    """Re-raise an unexpected error as `Unforeseen`, with its type and place only.

    Its text may hold a secret. `doing` completes "while we wanted to …".
    """
    try:
        yield
    except DeliveryError:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise Unforeseen(
            f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno} while we wanted "
            f"to {doing}; its text is not shown, since it may quote a secret"
        ) from None
