"""Store auto scaling configurations, immutable revisions of a name; only MinSize has an effect."""

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from sandbox.app_runner.errors import invalid_request, not_found
from sandbox.app_runner.settings import Settings

DEFAULT_NAME = "DefaultConfiguration"


@dataclass
class ScalingConfiguration:
    name: str
    revision: int
    arn: str
    max_concurrency: int = 100
    min_size: int = 1
    max_size: int = 25
    tags: dict[str, str] = field(default_factory=dict)
    created_at: float = field(default_factory=time.time)
    deleted_at: float | None = None

    def summary(self, *, is_used: bool) -> dict[str, Any]:
        return {
            "AutoScalingConfigurationArn": self.arn,
            "AutoScalingConfigurationName": self.name,
            "AutoScalingConfigurationRevision": self.revision,
            "Status": "INACTIVE" if self.deleted_at else "ACTIVE",
            "CreatedAt": self.created_at,
            "HasAssociatedService": is_used,
            "IsDefault": self.name == DEFAULT_NAME,
        }

    def described(self, *, is_used: bool, is_latest: bool) -> dict[str, Any]:
        times = {"DeletedAt": self.deleted_at} if self.deleted_at else {}
        return {
            **self.summary(is_used=is_used),
            "Latest": is_latest,
            "MaxConcurrency": self.max_concurrency,
            "MinSize": self.min_size,
            "MaxSize": self.max_size,
            **times,
        }


class ScalingConfigurations:
    """The configurations of one region; AWS's default one always exists."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_arn: dict[str, ScalingConfiguration] = {}
        self.default = self._add(DEFAULT_NAME, 100, 1, 25, identity="0" * 31 + "1")

    def create(self, parameters: dict[str, Any], tags: dict[str, str]) -> ScalingConfiguration:
        """Create a new revision of the name; raises InvalidRequestException."""
        name = parameters["AutoScalingConfigurationName"]
        if name == DEFAULT_NAME:
            raise invalid_request(f"{DEFAULT_NAME} belongs to App Runner.")
        smallest, largest = parameters.get("MinSize", 1), parameters.get("MaxSize", 25)
        if smallest > largest:
            raise invalid_request(f"MinSize {smallest} is greater than MaxSize {largest}.")
        if largest > 25:
            raise invalid_request("MaxSize must be at most 25.")
        created = self._add(name, parameters.get("MaxConcurrency", 100), smallest, largest)
        created.tags.update(tags)
        return created

    def find(self, arn: str) -> ScalingConfiguration:
        """Find a configuration by its full ARN, or by one that ends in the name or the revision.

        Raises ResourceNotFoundException.
        """
        for configuration in reversed(self.all(include_deleted=True)):
            short = configuration.arn.rsplit("/", 1)[0]
            if arn in (configuration.arn, short, short.rsplit("/", 1)[0]) and (
                arn == configuration.arn or not configuration.deleted_at
            ):
                return configuration
        raise not_found(arn)

    def delete(self, configuration: ScalingConfiguration) -> None:
        configuration.deleted_at = configuration.deleted_at or time.time()

    def all(self, *, include_deleted: bool = False) -> list[ScalingConfiguration]:
        """Return the configurations in order of creation."""
        return [c for c in self._by_arn.values() if include_deleted or not c.deleted_at]

    def is_latest(self, configuration: ScalingConfiguration) -> bool:
        same_name = [c.revision for c in self.all() if c.name == configuration.name]
        return configuration.revision == max(same_name, default=0)

    def _add(
        self, name: str, concurrency: int, smallest: int, largest: int, identity: str = ""
    ) -> ScalingConfiguration:
        revision = 1 + sum(c.name == name for c in self.all(include_deleted=True))
        suffix = identity or uuid.uuid4().hex
        arn = self._settings.arn(f"autoscalingconfiguration/{name}/{revision}/{suffix}")
        created = ScalingConfiguration(name, revision, arn, concurrency, smallest, largest)
        self._by_arn[arn] = created
        return created
