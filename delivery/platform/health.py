"""What the application answers about itself, and when that proves a deployment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NONE_DEMANDED: Mapping[str, str] = {}


@dataclass(frozen=True)
class HealthAnswer:
    """One answer of a health endpoint; `status` 0 means that none came.

    `milliseconds` is the time to the whole answer; `remark` says what else was seen. `secrets`
    maps each kind of secret to the id of the version that it runs with, where it says so.
    """

    status: int
    revision: str | None
    milliseconds: float
    remark: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)

    def is_from(self, revision: str) -> bool:
        """Whether it is a ready answer of this revision."""
        return self.status == 200 and self.revision == revision

    def runs_with(self, versions: Mapping[str, str]) -> bool:
        """Whether it says that it runs with all of these versions of its secrets."""
        return all(self.secrets.get(kind) == version for kind, version in versions.items())

    @property
    def is_ready(self) -> bool:
        return self.status == 200

    def __str__(self) -> str:
        if not self.status:
            return f"no answer ({self.remark})"
        said = f"{self.status} from revision {(self.revision or 'unknown')[:10]}"
        return f"{said} ({self.remark})" if self.remark else said


def good_in_a_row(
    answers: Sequence[HealthAnswer],
    revision: str | None,
    secrets: Mapping[str, str] = NONE_DEMANDED,
) -> int:
    """How many of the newest answers are ready, from `revision` and with `secrets`, without a gap.

    None: the application does not say its revision, and every ready answer counts.
    """
    count = 0
    for answer in reversed(answers):
        is_good = answer.is_from(revision) if revision else answer.is_ready
        if not is_good or not answer.runs_with(secrets):
            break
        count += 1
    return count
