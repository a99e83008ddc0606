"""Hooks of flows: what is called when a run does not succeed."""

from typing import Any, TypedDict

from prefect.flows import FlowStateHook


class Hooks(TypedDict):
    """The hooks of a flow, by the names that Prefect's `@flow` gives them."""

    on_failure: list[FlowStateHook[..., Any]]
    on_crashed: list[FlowStateHook[..., Any]]
    on_cancellation: list[FlowStateHook[..., Any]]


def on_bad_end(hook: FlowStateHook[..., Any]) -> Hooks:
    """Call `hook` when a run fails, crashes or is cancelled: `@flow(…, **on_bad_end(hook))`.

    The decorator itself stays `@flow`, since Prefect reads a flow's name from the text of the
    decorator where it cannot import the module.
    """
    return {"on_failure": [hook], "on_crashed": [hook], "on_cancellation": [hook]}
