"""Work pools have the installed worker's own template, with our defaults."""

import asyncio

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect_aws.workers import ECSWorker
from prefect_aws.workers.ecs_worker import ECSJobConfiguration
from prefect_docker.worker import DockerWorker, DockerWorkerJobConfiguration

from delivery.errors import ConfigurationError
from deployments.server import work_pools
from deployments.server.work_pools import POOL, ensure_pool, filled_in, template
from tests.databases import throwaway_server

GIVEN = {
    "WORKER_IMAGE": "registry.invalid/kanvaro-worker:3f2a",
    "DOCKER_GROUP": "998",
    "ECS_CLUSTER": "delivery",
    "ECS_EXECUTION_ROLE": "arn:aws:iam::000000000000:role/execution",
    "ECS_TASK_ROLE": "arn:aws:iam::000000000000:role/task",
    "ECS_VPC": "vpc-0a1b2c",
}


def defaults(kind):
    variables = template(kind, GIVEN)["variables"]["properties"]
    return {name: about["default"] for name, about in variables.items() if "default" in about}


def configured(configuration, worker, kind):
    """What the worker would start, without asking a server for blocks."""

    async def ask():
        async with get_client() as client:
            return await configuration.from_template_and_values(
                template(kind, GIVEN), {}, client=client
            )

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def backend():
    with throwaway_server():
        yield


def test_a_container_is_nobody_in_particular_and_gives_its_run_back(backend):
    made = configured(DockerWorkerJobConfiguration, DockerWorker, "docker")
    assert made.image == GIVEN["WORKER_IMAGE"]
    assert made.env["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"
    assert made.env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert made.container_create_kwargs["user"] == "10001:10001"
    assert made.container_create_kwargs["group_add"] == ["998"]
    assert made.mem_limit == "4g"
    assert not made.privileged


def test_a_task_of_ecs_is_nobody_in_particular_and_has_time_to_give_its_run_back(backend):
    made = configured(ECSJobConfiguration, ECSWorker, "ecs")
    [container] = made.task_definition["containerDefinitions"]
    assert container["image"] == GIVEN["WORKER_IMAGE"]
    assert container["user"] == "10001:10001"
    assert container["stopTimeout"] == 120
    assert container["linuxParameters"] == {"initProcessEnabled": True}
    assert made.cluster == "delivery"
    assert made.env["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"
    assert made.prefect_api_auth_string_secret_arn is None


def test_a_pool_becomes_what_its_file_says_and_another_type_is_refused(backend):
    assert ensure_pool("docker", GIVEN) == ("docker", "created, for docker workers")
    assert ensure_pool("", {}) == ("docker", "exists")
    newer = {**GIVEN, "WORKER_IMAGE": "registry.invalid/kanvaro-worker:newer"}
    assert ensure_pool("docker", newer)[1] == "updated to deployments/pools/docker.yaml"
    with get_client(sync_client=True) as client:
        pool = client.read_work_pool(POOL)
        image = pool.base_job_template["variables"]["properties"]["image"]
        assert image["default"] == newer["WORKER_IMAGE"]
        with pytest.raises(ConfigurationError, match="is for docker workers"):
            ensure_pool("process", {})
        client.delete_work_pool(POOL)
    assert ensure_pool("", {}) == ("process", "created, for process workers")


def test_an_unknown_type_is_refused_before_the_server_is_asked():
    with pytest.raises(ConfigurationError, match="POOL=kubernetes") as refused:
        ensure_pool("kubernetes", {})
    assert "process, docker, ecs" in refused.value.hint


@pytest.mark.parametrize("kind", ["docker", "ecs"])
def test_what_a_pool_needs_and_nobody_gave_is_named(kind):
    with pytest.raises(ConfigurationError, match="needs WORKER_IMAGE, which is not set"):
        template(kind, {})


def test_a_default_that_the_installed_worker_does_not_know_is_named(tmp_path, monkeypatch):
    (tmp_path / "docker.yaml").write_text(yaml.safe_dump({"defaults": {"memory_limit": "4g"}}))
    monkeypatch.setattr(work_pools, "FOLDER", tmp_path)
    with pytest.raises(ConfigurationError, match="sets memory_limit, which the docker worker"):
        template("docker", {})


def test_variables_are_filled_in_anywhere():
    written = {"a": ["${ONE}-${TWO:-2}", 3], "b": "${THREE:-}"}
    assert filled_in(written, {"ONE": "1"}, "docker") == {"a": ["1-2", 3], "b": ""}


@pytest.mark.parametrize("kind", work_pools.TYPES)
def test_no_default_holds_a_secret(kind):
    text = str(defaults(kind)).lower()
    assert not [word for word in ("password", "auth_string=", "api_key=") if word in text]


def test_a_pool_that_a_worker_made_between_look_and_creation_is_taken(backend, monkeypatch):
    made, _ = ensure_pool("", {})
    look, early = work_pools._type_of_the_pool, [None]
    monkeypatch.setattr(
        work_pools, "_type_of_the_pool", lambda client: early.pop() if early else look(client)
    )

    assert ensure_pool("", {}) == (made, "exists")
    assert not early
