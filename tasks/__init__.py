"""The steps flows are made of, one module per system they touch.

There are two kinds, and the difference is what makes a second run safe:

* a `fact` only looks. It is retried when the network hiccups, never when it
  has reached a verdict (a `DeliveryError`).
* an `operation` changes something. It is not retried, and is harmless to
  repeat: it reads the facts, and returns early when there is nothing to do.

The name of each run is a sentence, so that the timeline tells the story.
Neither kind is cached: yesterday's answer about the cloud is not an answer.
A check of the application is the one exception; see `tasks.checks.runner`.

Imports: blocks, delivery. Never flows.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import State, Task, task
from prefect.cache_policies import NO_CACHE

from delivery.errors import DeliveryError, Unreachable
from tasks.run_log import filter_logs

P = ParamSpec("P")
R = TypeVar("R")

filter_logs()


def fact(question: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Declare a task that only looks; `question` names its runs."""
    return task(
        task_run_name=question,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=3,
        retry_delay_seconds=[1, 3, 9],
        retry_condition_fn=_was_a_hiccup,
    )


def operation(sentence: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Declare a task that changes the world; `sentence` names its runs."""
    return task(task_run_name=sentence, cache_policy=NO_CACHE, persist_result=False)


def _was_a_hiccup(_task: Any, _run: Any, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, Unreachable) or not isinstance(error, DeliveryError)
