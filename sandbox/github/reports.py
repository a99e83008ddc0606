"""Serve commit statuses and deployments, which a delivery reports.

Protocol: https://docs.github.com/en/rest/commits/statuses and …/rest/deployments.
"""

import re
from typing import Any

from sandbox.github import history
from sandbox.github.api_request import ApiRequest, Route
from sandbox.github.repositories import repository_json
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


def add_status(request: ApiRequest) -> dict[str, Any]:
    requested, revision = request.body, request.parts["revision"]
    history.require_revision(request.repository, revision)
    require_one_of(requested, "state", STATUS_STATES, "Status")
    description = require_short(requested, "description", LONGEST_DESCRIPTION, "Status")
    status = request.github.made(request.name, f"statuses/{revision}") | {
        "avatar_url": None,
        "state": requested["state"],
        "description": description,
        "target_url": requested.get("target_url"),
        "context": requested.get("context") or "default",
        "creator": person(request.token.login, request.github.address),
    }
    with request.github.lock:
        request.repository.statuses.append(status | {"sha": revision})
    return status


def statuses(request: ApiRequest) -> list[dict[str, Any]]:
    """List every status of a revision, the newest first."""
    revision = history.revision_of(request.repository, request.parts["revision"])
    found = [each for each in request.repository.statuses if each["sha"] == revision]
    return [_without(status, "sha") for status in reversed(found)]


def combined_status(request: ApiRequest) -> dict[str, Any]:
    """Return the latest status of each context and the state they combine to."""
    revision = history.revision_of(request.repository, request.parts["revision"])
    latest: dict[str, dict[str, Any]] = {}
    for status in (each for each in request.repository.statuses if each["sha"] == revision):
        latest[status["context"]] = _without(_without(status, "creator"), "sha")
    address = f"{request.base}/commits/{revision}"
    return {
        "state": _amount_to({status["state"] for status in latest.values()}),
        "statuses": list(latest.values()),
        "sha": revision,
        "total_count": len(latest),
        "repository": repository_json(request.github, request.name),
        "commit_url": address,
        "url": f"{address}/status",
    }


def add_deployment(request: ApiRequest) -> dict[str, Any]:
    requested = request.body
    if not requested.get("ref"):
        raise invalid("Deployment", "ref", "missing_field")
    description = require_short(requested, "description", LONGEST_DESCRIPTION, "Deployment")
    number = next(request.github.numbers)
    environment = requested.get("environment") or "production"
    ref = str(requested["ref"])
    revision = history.revision_of(request.repository, ref, "No ref found for: {}")
    deployment = request.github.made(request.name, f"deployments/{number}", number) | {
        "sha": revision,
        "ref": ref,
        "task": requested.get("task") or "deploy",
        "payload": requested.get("payload", {}),
        "original_environment": environment,
        "environment": environment,
        "description": description,
        "creator": person(request.token.login, request.github.address),
        "statuses_url": f"{request.base}/deployments/{number}/statuses",
        "repository_url": request.base,
        "transient_environment": bool(requested.get("transient_environment", False)),
        "production_environment": bool(
            requested.get("production_environment", environment == "production")
        ),
    }
    with request.github.lock:
        request.repository.deployments.append(deployment)
        request.repository.deployment_statuses[number] = []
    return deployment


def deployments(request: ApiRequest) -> list[dict[str, Any]]:
    """List the deployments with the requested `sha`, `ref`, `task` and `environment`."""
    names = ("sha", "ref", "task", "environment")
    filters = {name: request.query[name] for name in names if name in request.query}
    return [
        deployment
        for deployment in reversed(request.repository.deployments)
        if all(deployment[key] == value for key, value in filters.items())
    ]


def deployment(request: ApiRequest) -> dict[str, Any]:
    for each in request.repository.deployments:
        if each["id"] == request.number:
            return each
    raise missing()


def add_deployment_status(request: ApiRequest) -> dict[str, Any]:
    about, requested = deployment(request), request.body
    require_one_of(requested, "state", DEPLOYMENT_STATES, "DeploymentStatus")
    description = require_short(requested, "description", LONGEST_DESCRIPTION, "DeploymentStatus")
    own = next(request.github.numbers)
    log_url = requested.get("log_url") or requested.get("target_url") or ""
    status = request.github.made(
        request.name, f"deployments/{request.number}/statuses/{own}", own
    ) | {
        "state": requested["state"],
        "creator": person(request.token.login, request.github.address),
        "description": description or "",
        "environment": requested.get("environment") or about["environment"],
        "target_url": log_url,
        "log_url": log_url,
        "environment_url": requested.get("environment_url") or "",
        "deployment_url": about["url"],
        "repository_url": about["repository_url"],
    }
    with request.github.lock:
        request.repository.deployment_statuses[request.number].append(status)
    return status


def deployment_statuses(request: ApiRequest) -> list[dict[str, Any]]:
    deployment(request)
    return request.repository.deployment_statuses[request.number][::-1]


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
