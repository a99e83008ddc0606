"""Create the work pool of the deployments: a process, a container, or an ECS task for each run.

Its template is that of the installed worker, with our defaults of `deployments/pools/TYPE.yaml`.
There `${NAME}` is taken from the environment of `make register`, and `${NAME:-text}` is that text
if the variable is not set.
"""

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from delivery.errors import ConfigurationError

Worker = type[BaseWorker[Any, Any, Any]]

POOL = "delivery"
FOLDER = Path(__file__).parents[1] / "pools"
TYPES = ("process", "docker", "ecs")
# The folder of the flows in the image of deployments/worker.
FOLDER_IN_THE_IMAGE = "/opt/kanvaro"
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::-(?P<otherwise>[^}]*))?\}")


def ensure_pool(requested: str, given: Mapping[str, str]) -> tuple[str, str]:
    """Create the pool, or update it to its file if its type is `requested`.

    Without `requested`, an existing pool stays unchanged, and a new one runs processes. Return the
    pool's type, and what was done, for a person. Raises `ConfigurationError`.
    """
    if requested and requested not in TYPES:
        raise ConfigurationError(
            f"POOL={requested} is not a supported type of work pool",
            hint=f"One of: {', '.join(TYPES)}.",
        )
    with get_client(sync_client=True) as client:
        there = _type_of_the_pool(client)
        if there is None:
            kind = requested or "process"
            wanted = template(kind, given)
            try:
                client.create_work_pool(
                    WorkPoolCreate(name=POOL, type=kind, base_job_template=wanted)
                )
            except ObjectAlreadyExists:  # a worker that started in the meantime created one
                return ensure_pool(requested, given)
            return kind, f"created, for {kind} workers"
        if not requested:
            return there, "exists"
        if requested != there:
            raise _other_type(requested, there)
        client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template(requested, given)))
    return there, f"updated to deployments/pools/{requested}.yaml"


def folder_of_flows(kind: str, checkout: Path, given: Mapping[str, str]) -> str:
    """Return where a run on such a pool finds the flows: in the checkout, or in its image.

    FLOWS_FOLDER overrides it, for instance for a process worker that is itself in a container.
    """
    usual = str(checkout) if kind == "process" else FOLDER_IN_THE_IMAGE
    return given.get("FLOWS_FOLDER") or usual


def template(kind: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the worker's own template with our defaults. Raises `ConfigurationError`.

    It also raises for a variable that the installed worker does not know.
    """
    ours = filled_in(yaml.safe_load((FOLDER / f"{kind}.yaml").read_text()), given, kind)
    made = copy.deepcopy(_worker(kind).get_default_base_job_template())
    known = made["variables"]["properties"]
    for name, value in ours["defaults"].items():
        if name not in known:
            raise ConfigurationError(
                f"deployments/pools/{kind}.yaml sets {name}, which the {kind} worker does not know",
                hint=f"It knows {', '.join(sorted(known))}.",
            )
        if value != "":
            known[name]["default"] = value
    _overlay(made["job_configuration"], ours.get("job_configuration", {}))
    return made


def filled_in(written: Any, given: Mapping[str, str], kind: str) -> Any:
    """Return the content of a file with its variables taken from `given`."""
    if isinstance(written, dict):
        return {name: filled_in(value, given, kind) for name, value in written.items()}
    if isinstance(written, list):
        return [filled_in(value, given, kind) for value in written]
    if not isinstance(written, str):
        return written

    def value(found: re.Match[str]) -> str:
        name, otherwise = found["name"], found["otherwise"]
        if not (text := given.get(name) or otherwise) and otherwise is None:
            raise ConfigurationError(
                f"a {kind} pool needs {name}, which is not set",
                hint=f"Set it: `{name}=… POOL={kind} make register` (docs/scaling.md).",
            )
        return text or ""

    return _VARIABLE.sub(value, written)


def _overlay(under: Any, over: Any) -> None:
    """Merge one nested document into another: maps by key, lists by position."""
    for key, value in over.items() if isinstance(over, dict) else enumerate(over):
        if isinstance(value, dict | list) and (isinstance(under, list) or key in under):
            _overlay(under[key], value)
        else:
            under[key] = value


def _worker(kind: str) -> Worker:
    # Imported here, since each needs a library that the others do not.
    if kind == "docker":
        from prefect_docker.worker import DockerWorker

        return cast(Worker, DockerWorker)
    if kind == "ecs":
        from prefect_aws.workers import ECSWorker

        return ECSWorker
    return ProcessWorker


def _type_of_the_pool(client: SyncPrefectClient) -> str | None:
    try:
        return client.read_work_pool(POOL).type
    except ObjectNotFound:
        return None


def _other_type(requested: str, there: str) -> ConfigurationError:
    return ConfigurationError(
        f"the work pool {POOL} is for {there} workers, and cannot become one for {requested}",
        hint=f"Wait until no run is on it, `prefect work-pool delete {POOL}`, then register again: "
        "deployments keep their schedules and their history.",
    )
