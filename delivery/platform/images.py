"""Name container images in a registry."""

import re
from dataclasses import dataclass

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
REVISION_LABEL = "org.opencontainers.image.revision"
TREE_LABEL = "kanvaro.tree"


@dataclass(frozen=True)
class Image:
    """An image in ECR, identified by its digest: a tag can be moved, a digest cannot.

    `repository` is ECR's URI of the repository, `revision` the commit it was built from.
    """

    repository: str
    digest: str
    revision: str

    def __post_init__(self) -> None:
        if not DIGEST.fullmatch(self.digest):
            raise ValueError(f"not a digest: {self.digest!r}")

    @property
    def reference(self) -> str:
        return f"{self.repository}@{self.digest}"

    def __str__(self) -> str:
        return f"{self.revision[:10]} ({self.digest[:19]})"
