"""Define the life cycle of every part of the sandbox: it runs while it is entered."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self


class Part:
    """Runs while it is entered: a subclass's `_start` pushes its clean-up onto the stack.

    The clean-up runs in reverse order, at the end and also when the start itself fails half way.
    """

    _stack: ExitStack

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _start(self, stack: ExitStack) -> None:
        raise NotImplementedError
