"""Read what the application answers about itself, and decide when it proves a deployment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NONE_REQUIRED: Mapping[str, str] = {}


@dataclass(frozen=True)
class HealthAnswer:
    """One answer of a health endpoint; `status` 0 means that no answer came.

    `milliseconds` is the time until the whole answer was read; `remark` says what else was seen.
    `secrets` maps each kind of secret to the id of the version in use, if the answer names it.
    """

    status: int
    revision: str | None
    milliseconds: float
    remark: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)

    def is_from(self, revision: str) -> bool:
        """Return whether it is a ready answer of this revision."""
        return self.status == 200 and self.revision == revision

    def runs_with(self, versions: Mapping[str, str]) -> bool:
        """Return whether it names all of these versions of the secrets."""
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
    secrets: Mapping[str, str] = NONE_REQUIRED,
) -> int:
    """Count the newest answers in a row that are ready, from `revision` and with `secrets`.

    With `revision` None, for an application that does not report it, every ready answer counts.
    """
    count = 0
    for answer in reversed(answers):
        is_good = answer.is_from(revision) if revision else answer.is_ready
        if not is_good or not answer.runs_with(secrets):
            break
        count += 1
    return count
