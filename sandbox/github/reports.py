"""Commit statuses and deployments: what a delivery reports.

Protocol: https://docs.github.com/en/rest/commits/statuses and …/rest/deployments.
"""

import re
from typing import Any

from sandbox.github import history
from sandbox.github.asked import Asked, Route
from sandbox.github.repositories import shown_repository
from sandbox.github.words import (
    invalid,
    missing,
    person,
    require_one_of,
    require_short,
)

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


def add_status(asked: Asked) -> dict[str, Any]:
    requested, revision = asked.requested, asked.parts["revision"]
    history.require_revision(asked.repository, revision)
    require_one_of(requested, "state", STATUS_STATES, "Status")
    description = require_short(requested, "description", LONGEST_DESCRIPTION, "Status")
    status = asked.github.made(asked.name, f"statuses/{revision}") | {
        "avatar_url": None,
        "state": requested["state"],
        "description": description,
        "target_url": requested.get("target_url"),
        "context": requested.get("context") or "default",
        "creator": person(asked.token.login, asked.github.address),
    }
    with asked.github.lock:
        asked.repository.statuses.append(status | {"sha": revision})
    return status


def statuses(asked: Asked) -> list[dict[str, Any]]:
    """Every status of a revision, the newest first."""
    revision = history.revision_of(asked.repository, asked.parts["revision"])
    said = [each for each in asked.repository.statuses if each["sha"] == revision]
    return [_without(status, "sha") for status in reversed(said)]


def combined_status(asked: Asked) -> dict[str, Any]:
    """The latest status of each context and what they amount to."""
    revision = history.revision_of(asked.repository, asked.parts["revision"])
    latest: dict[str, dict[str, Any]] = {}
    for status in (each for each in asked.repository.statuses if each["sha"] == revision):
        latest[status["context"]] = _without(_without(status, "creator"), "sha")
    address = f"{asked.base}/commits/{revision}"
    return {
        "state": _amount_to({status["state"] for status in latest.values()}),
        "statuses": list(latest.values()),
        "sha": revision,
        "total_count": len(latest),
        "repository": shown_repository(asked.github, asked.name),
        "commit_url": address,
        "url": f"{address}/status",
    }


def add_deployment(asked: Asked) -> dict[str, Any]:
    requested = asked.requested
    if not requested.get("ref"):
        raise invalid("Deployment", "ref", "missing_field")
    description = require_short(requested, "description", LONGEST_DESCRIPTION, "Deployment")
    number = next(asked.github.numbers)
    environment = requested.get("environment") or "production"
    ref = str(requested["ref"])
    revision = history.revision_of(asked.repository, ref, "No ref found for: {}")
    deployment = asked.github.made(asked.name, f"deployments/{number}", number) | {
        "sha": revision,
        "ref": ref,
        "task": requested.get("task") or "deploy",
        "payload": requested.get("payload", {}),
        "original_environment": environment,
        "environment": environment,
        "description": description,
        "creator": person(asked.token.login, asked.github.address),
        "statuses_url": f"{asked.base}/deployments/{number}/statuses",
        "repository_url": asked.base,
        "transient_environment": bool(requested.get("transient_environment", False)),
        "production_environment": bool(
            requested.get("production_environment", environment == "production")
        ),
    }
    with asked.github.lock:
        asked.repository.deployments.append(deployment)
        asked.repository.deployment_statuses[number] = []
    return deployment


def deployments(asked: Asked) -> list[dict[str, Any]]:
    """The deployments that fit the `sha`, `ref`, `task` and `environment` wanted."""
    names = ("sha", "ref", "task", "environment")
    filters = {name: asked.query[name] for name in names if name in asked.query}
    return [
        deployment
        for deployment in reversed(asked.repository.deployments)
        if all(deployment[key] == value for key, value in filters.items())
    ]


def deployment(asked: Asked) -> dict[str, Any]:
    for each in asked.repository.deployments:
        if each["id"] == asked.number:
            return each
    raise missing()


def add_deployment_status(asked: Asked) -> dict[str, Any]:
    about, requested = deployment(asked), asked.requested
    require_one_of(requested, "state", DEPLOYMENT_STATES, "DeploymentStatus")
    description = require_short(requested, "description", LONGEST_DESCRIPTION, "DeploymentStatus")
    own = next(asked.github.numbers)
    log_url = requested.get("log_url") or requested.get("target_url") or ""
    status = asked.github.made(asked.name, f"deployments/{asked.number}/statuses/{own}", own) | {
        "state": requested["state"],
        "creator": person(asked.token.login, asked.github.address),
        "description": description or "",
        "environment": requested.get("environment") or about["environment"],
        "target_url": log_url,
        "log_url": log_url,
        "environment_url": requested.get("environment_url") or "",
        "deployment_url": about["url"],
        "repository_url": about["repository_url"],
    }
    with asked.github.lock:
        asked.repository.deployment_statuses[asked.number].append(status)
    return status


def deployment_statuses(asked: Asked) -> list[dict[str, Any]]:
    deployment(asked)
    return asked.repository.deployment_statuses[asked.number][::-1]


def _amount_to(states: set[str]) -> str:
    if states & {"error", "failure"}:
        return "failure"
    return "success" if states == {"success"} else "pending"


def _without(status: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in status.items() if key != name}


_DEPLOYMENT = "/deployments/{number:[0-9]+}"
ROUTES = (
    Route("POST", "/statuses/{revision}", "statuses=write", add_status, 201),
    Route("GET", "/statuses/{revision}", "statuses=read", statuses),
    Route("GET", "/commits/{revision}/statuses", "statuses=read", statuses),
    Route("GET", "/commits/{revision}/status", "statuses=read", combined_status),
    Route("POST", "/deployments", "deployments=write", add_deployment, 201),
    Route("GET", "/deployments", "deployments=read", deployments),
    Route("GET", _DEPLOYMENT, "deployments=read", deployment),
    Route("POST", f"{_DEPLOYMENT}/statuses", "deployments=write", add_deployment_status, 201),
    Route("GET", f"{_DEPLOYMENT}/statuses", "deployments=read", deployment_statuses),
)
