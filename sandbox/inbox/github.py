"""GitHub's REST API, as far as a delivery reports to it: statuses, deployments, refs.

Protocol: https://docs.github.com/en/rest (version 2022-11-28). Any token is accepted, but one must
be there. A revision is believed to exist; a ref exists when `set_ref` said so.
"""

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import RLock
from typing import Any

from sandbox.faults import Faults

DOCUMENTATION = "https://docs.github.com/rest"
LONGEST_DESCRIPTION = 140
STATUS_STATES = ("error", "failure", "pending", "success")
DEPLOYMENT_STATES = (
    "error",
    "failure",
    "inactive",
    "in_progress",
    "queued",
    "pending",
    "success",
)
_REVISION = re.compile(r"[0-9a-f]{40}")


class Refused(Exception):
    """An answer with a status of 400 or more, in GitHub's shape."""

    def __init__(self, status: int, message: str, *errors: dict[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message, "documentation_url": DOCUMENTATION}
        if errors:
            self.body["errors"] = list(errors)
        self.body["status"] = str(status)


@dataclass
class Repository:
    """What was said about one repository; every list is in the order of arrival."""

    name: str
    statuses: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    deployment_statuses: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)


@dataclass
class GitHub:
    """All repositories; one comes into being when something is first said about it."""

    faults: Faults = field(
        default_factory=lambda: Faults(
            {
                "message": "You have exceeded a secondary rate limit. Please wait a few minutes.",
                "documentation_url": DOCUMENTATION,
            }
        ),
        repr=False,
    )
    repositories: dict[str, Repository] = field(default_factory=dict)
    address: str = ""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)
    _lock: RLock = field(default_factory=RLock, repr=False)

    def repository(self, name: str) -> Repository:
        with self._lock:
            return self.repositories.setdefault(name, Repository(name))

    def set_ref(self, repository: str, ref: str, revision: str) -> None:
        """Let `ref` (such as `refs/heads/main`) point at a revision."""
        self.repository(repository).refs[ref] = revision

    def forget(self) -> None:
        with self._lock:
            self.repositories.clear()

    def rate_limit(self) -> dict[str, Any]:
        core = {"limit": 5000, "used": 0, "remaining": 5000, "reset": int(time.time()) + 3600}
        return {"resources": {"core": core}, "rate": core}

    def add_status(self, name: str, revision: str, wish: dict[str, Any]) -> dict[str, Any]:
        _require_revision(revision)
        _require_one_of(wish, "state", STATUS_STATES, "Status")
        description = _require_short(wish, "Status")
        repository = self.repository(name)
        status = self._made(name, f"statuses/{revision}") | {
            "state": wish["state"],
            "description": description,
            "target_url": wish.get("target_url"),
            "context": wish.get("context") or "default",
            "creator": _CREATOR,
        }
        with self._lock:
            repository.statuses.append(status | {"sha": revision})
        return status

    def statuses(self, name: str, revision: str) -> list[dict[str, Any]]:
        """Return every status of a revision, the newest first."""
        said = [s for s in self.repository(name).statuses if s["sha"] == revision]
        return [_without(status, "sha") for status in reversed(said)]

    def combined_status(self, name: str, revision: str) -> dict[str, Any]:
        """Return the latest status of each context and what they amount to."""
        _require_revision(revision)
        latest: dict[str, dict[str, Any]] = {}
        for status in reversed(self.statuses(name, revision)):
            latest[status["context"]] = _without(status, "creator")
        address = f"{self.address}/repos/{name}/commits/{revision}"
        return {
            "state": _amount_to({status["state"] for status in latest.values()}),
            "statuses": list(latest.values()),
            "sha": revision,
            "total_count": len(latest),
            "repository": {"full_name": name, "url": f"{self.address}/repos/{name}"},
            "commit_url": address,
            "url": f"{address}/status",
        }

    def add_deployment(self, name: str, wish: dict[str, Any]) -> dict[str, Any]:
        if not wish.get("ref"):
            raise _invalid("Deployment", "ref", "missing_field")
        description = _require_short(wish, "Deployment")
        repository, number = self.repository(name), next(self._numbers)
        environment = wish.get("environment") or "production"
        ref = str(wish["ref"])
        deployment = self._made(name, f"deployments/{number}", number) | {
            "sha": ref if _REVISION.fullmatch(ref) else self._revision_of(repository, ref),
            "ref": ref,
            "task": wish.get("task") or "deploy",
            "payload": wish.get("payload", {}),
            "original_environment": environment,
            "environment": environment,
            "description": description,
            "creator": _CREATOR,
            "statuses_url": f"{self.address}/repos/{name}/deployments/{number}/statuses",
            "repository_url": f"{self.address}/repos/{name}",
            "transient_environment": bool(wish.get("transient_environment", False)),
            "production_environment": bool(
                wish.get("production_environment", environment == "production")
            ),
        }
        with self._lock:
            repository.deployments.append(deployment)
            repository.deployment_statuses[number] = []
        return deployment

    def deployments(self, name: str, wanted: dict[str, str]) -> list[dict[str, Any]]:
        """Return the deployments that fit the `sha`, `ref`, `task` and `environment` wanted."""
        filters = {k: v for k, v in wanted.items() if k in ("sha", "ref", "task", "environment")}
        return [
            deployment
            for deployment in reversed(self.repository(name).deployments)
            if all(deployment[key] == value for key, value in filters.items())
        ]

    def deployment(self, name: str, number: int) -> dict[str, Any]:
        for deployment in self.repository(name).deployments:
            if deployment["id"] == number:
                return deployment
        raise Refused(404, "Not Found")

    def add_deployment_status(self, name: str, number: int, wish: dict[str, Any]) -> dict[str, Any]:
        deployment = self.deployment(name, number)
        _require_one_of(wish, "state", DEPLOYMENT_STATES, "DeploymentStatus")
        description = _require_short(wish, "DeploymentStatus")
        own = next(self._numbers)
        log_url = wish.get("log_url") or wish.get("target_url") or ""
        status = self._made(name, f"deployments/{number}/statuses/{own}", own) | {
            "state": wish["state"],
            "creator": _CREATOR,
            "description": description or "",
            "environment": wish.get("environment") or deployment["environment"],
            "target_url": log_url,
            "log_url": log_url,
            "environment_url": wish.get("environment_url") or "",
            "deployment_url": deployment["url"],
            "repository_url": deployment["repository_url"],
        }
        with self._lock:
            self.repository(name).deployment_statuses[number].append(status)
        return status

    def deployment_statuses(self, name: str, number: int) -> list[dict[str, Any]]:
        self.deployment(name, number)
        return self.repository(name).deployment_statuses[number][::-1]

    def ref(self, name: str, short: str) -> dict[str, Any]:
        revision = self.repository(name).refs.get(f"refs/{short}")
        if not revision:
            raise Refused(404, "Not Found")
        return self._shown_ref(name, f"refs/{short}", revision)

    def matching_refs(self, name: str, short: str) -> list[dict[str, Any]]:
        refs = sorted(self.repository(name).refs.items())
        return [self._shown_ref(name, *ref) for ref in refs if ref[0].startswith(f"refs/{short}")]

    def _shown_ref(self, name: str, ref: str, revision: str) -> dict[str, Any]:
        base = f"{self.address}/repos/{name}/git"
        return {
            "ref": ref,
            "node_id": _node_id(ref),
            "url": f"{base}/{ref}",
            "object": {"type": "commit", "sha": revision, "url": f"{base}/commits/{revision}"},
        }

    def _revision_of(self, repository: Repository, ref: str) -> str:
        for full in (ref, f"refs/heads/{ref}", f"refs/tags/{ref}"):
            if full in repository.refs:
                return repository.refs[full]
        raise Refused(422, f"No ref found for: {ref}")

    def _made(self, name: str, path: str, number: int | None = None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        number = number or next(self._numbers)
        return {
            "url": f"{self.address}/repos/{name}/{path}",
            "id": number,
            "node_id": _node_id(str(number)),
            "created_at": now,
            "updated_at": now,
        }


_CREATOR = {"login": "kanvaro-delivery[bot]", "id": 1, "node_id": "U_sandbox", "type": "Bot"}


def _node_id(name: str) -> str:
    return "SBX_" + name.encode().hex()


def _amount_to(states: set[str]) -> str:
    if states & {"error", "failure"}:
        return "failure"
    return "success" if states == {"success"} else "pending"


def _require_revision(revision: str) -> None:
    if not _REVISION.fullmatch(revision):
        raise Refused(422, f"No commit found for SHA: {revision}")


def _require_one_of(
    wish: dict[str, Any], name: str, allowed: tuple[str, ...], resource: str
) -> None:
    if wish.get(name) not in allowed:
        raise _invalid(resource, name, "custom", f"{name} is not included in the list")


def _require_short(wish: dict[str, Any], resource: str) -> str | None:
    description: str | None = wish.get("description")
    if description and len(description) > LONGEST_DESCRIPTION:
        raise _invalid(
            resource, "description", "custom", "description is too long (maximum is 140 characters)"
        )
    return description


def _invalid(resource: str, name: str, code: str, message: str = "") -> Refused:
    error = {"resource": resource, "field": name, "code": code}
    return Refused(422, "Validation Failed", error | ({"message": message} if message else {}))


def _without(status: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in status.items() if key != name}
