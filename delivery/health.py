"""What the application answers about itself, and when that proves a deployment."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """One answer of a health endpoint; `status` 0 means that none came.

    `milliseconds` is the time to the whole answer; `remark` says what else was seen.
    """

    status: int
    revision: str | None
    milliseconds: float
    remark: str = ""

    def is_from(self, revision: str) -> bool:
        """Whether it is a ready answer of this revision."""
        return self.status == 200 and self.revision == revision

    @property
    def is_ready(self) -> bool:
        return self.status == 200

    def __str__(self) -> str:
        if not self.status:
            return f"no answer ({self.remark})"
        said = f"{self.status} from revision {(self.revision or 'unknown')[:10]}"
        return f"{said} ({self.remark})" if self.remark else said


def good_in_a_row(answers: Sequence[Answer], revision: str | None) -> int:
    """How many of the newest answers are ready and from `revision`, without a gap.

    None: the application does not say its revision, and every ready answer counts.
    """
    count = 0
    for answer in reversed(answers):
        if not (answer.is_from(revision) if revision else answer.is_ready):
            break
        count += 1
    return count
