"""Passes of checks are kept in Prefect's result storage, but not by Prefect's own cache.

That cache deserializes a stored file with the serializer which the file names. Whoever can write
there could run code in this process, where role and tokens are, or forge a verdict of any class.
"""

import time
from typing import Any

from prefect.logging import get_run_logger
from prefect.results import get_default_result_storage, get_result_store

from blocks.environment import Environment
from delivery.checks.passes import pass_text, read_pass
from delivery.checks.plan import CheckReport


def find_pass(environment: Environment, key: str) -> CheckReport | None:
    """Return the pass that is remembered under `key`, unless it is older than the policy says."""
    try:
        written: bytes = _storage().read_path(_path(key))
    except Exception:  # each kind of storage has its own error for a missing file
        return None
    return read_pass(written, key, time.time(), environment.policy.result_days)


def remember_pass(key: str, report: CheckReport) -> None:
    """Keep a pass; a storage that does not take it is no reason to fail a check that passed."""
    try:
        _storage().write_path(_path(key), pass_text(key, report, time.time()).encode())
    except Exception as error:
        get_run_logger().warning("the pass is not remembered: %s", type(error).__name__)


def _path(key: str) -> str:
    return f"passes/{key}.json"


def _storage() -> Any:
    """Return the block that holds results; its methods are typed as coroutines, and block here."""
    default: Any = get_default_result_storage
    return get_result_store().result_storage or default(_sync=True)
