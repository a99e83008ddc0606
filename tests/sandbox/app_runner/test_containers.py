"""Real containers on a real Docker engine, pulled by digest from a real registry."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import docker
import httpx
import pytest
from docker.errors import DockerException

from delivery.errors import EngineUnavailable
from sandbox.app_runner import AppRunner, Containers
from sandbox.host.bridge import bridge_address
from tests.sandbox.app_runner import tiny_image
from tests.sandbox.app_runner.account import HTTP_CHECK, INSTANCE_ROLE, Account, source
from tests.sandbox.app_runner.load import Load

TCP_CHECK = {"Protocol": "TCP", "Interval": 1, "Timeout": 1}


@pytest.fixture(scope="module")
def engine():
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    yield client
    client.close()


@pytest.fixture(scope="module")
def images(engine, aws):
    """Digests by revision, of two images in the registry."""
    aws.client("ecr").create_repository(repositoryName="kanvaro")
    digests, built = {}, []
    for revision in ("v1", "v2"):
        context = tiny_image.context(revision)
        image, _ = engine.images.build(fileobj=context, custom_context=True, rm=True)
        repository = f"{aws.registry}/kanvaro"
        image.tag(repository, revision)
        credentials = {"username": "AWS", "password": "sandbox"}
        for line in engine.images.push(
            repository, revision, auth_config=credentials, stream=True, decode=True
        ):
            assert "error" not in line, line
            digests[revision] = line.get("aux", {}).get("Digest") or digests.get(revision)
        built.append(image.id)
    yield digests
    for image_id in built:
        engine.images.remove(image_id, force=True)


@pytest.fixture
def account(aws, images):
    instances = Containers(registry=aws.registry, network="kanvaro-sandbox")
    with AppRunner(
        instances, time_scale=0, aws_endpoint=aws.endpoint, become_healthy_at_least=5.0
    ) as app_runner:
        yield Account(app_runner)


def containers_of(engine, account, arn):
    label = f"kanvaro.sandbox.service={arn.rsplit('/', 1)[1]}"
    return engine.containers.list(all=True, filters={"label": label}, ignore_removed=True)


def test_a_version_is_updated_without_a_failed_request_and_deleted_without_leftovers(
    account, images, engine
):
    arn = account.create(images["v1"])
    assert account.revision(arn) == "v1"

    with Load(f"http://{account.service(arn)['ServiceUrl']}") as load:
        load.go_on_for(50)
        assert account.update(arn, images["v2"]) == "SUCCEEDED"
        account.until(lambda: containers_of(engine, account, arn), lambda found: len(found) == 1)
        load.go_on_for(50)
    assert load.failures == []
    assert {status for status, _ in load.answers} == {200}
    assert load.answers[-1] == (200, "v2")

    answer = account.client.delete_service(ServiceArn=arn)
    assert account.finish(arn, answer["OperationId"]) == "SUCCEEDED"
    account.until(lambda: containers_of(engine, account, arn), lambda found: not found)


@pytest.fixture
def network(engine):
    network = engine.networks.create("kanvaro-app-runner-test", driver="bridge")
    yield network.name
    network.remove()


def test_limits_port_network_and_labels_are_those_of_the_service(aws, images, engine, network):
    with AppRunner(Containers(aws.registry, network=network), time_scale=0) as app_runner:
        account = Account(app_runner)
        arn = account.create(
            images["v1"], InstanceConfiguration={"Cpu": "0.25 vCPU", "Memory": "0.5 GB"}
        )
        (container,) = containers_of(engine, account, arn)

        assert list(container.attrs["NetworkSettings"]["Networks"]) == [network]
        limits = container.attrs["HostConfig"]
        assert (limits["NanoCpus"], limits["Memory"]) == (250_000_000, 512 * 1024**2)
        (published,) = container.attrs["NetworkSettings"]["Ports"]["3000/tcp"]
        assert published["HostIp"] == "127.0.0.1"
        assert container.labels["kanvaro.sandbox"] == "app-runner"


# Prints the status of a service, and for each further port whether anything listens there.
ASK = """
import http.client, socket, sys
host, service, *others = sys.argv[1:]
connection = http.client.HTTPConnection(host, int(service), timeout=10)
connection.request("GET", "/")
print(connection.getresponse().status)
for port in others:
    try:
        socket.create_connection((host, int(port)), 10).close()
        print("open")
    except ConnectionRefusedError:
        print("refused")
"""


def test_a_container_on_another_network_reaches_services_on_the_bridge_and_nothing_else(
    aws, images, engine, network
):
    bridge = bridge_address(engine)
    if not bridge:
        pytest.skip("the engine's default bridge is not on this machine")
    with AppRunner(Containers(aws.registry), time_scale=0, also_on=bridge) as app_runner:
        account = Account(app_runner)
        service = account.service(account.create(images["v1"]))["ServiceUrl"]
        others = (app_runner.url, aws.endpoint, aws.registry)
        ports = [address.rpartition(":")[2] for address in (service, *others)]
        seen = engine.containers.run(
            f"{aws.registry}/kanvaro:v1",
            [str(Path(sys._base_executable).resolve()), "-S", "-c", ASK, bridge, *ports],
            network=network,
            remove=True,
        )
    assert seen.decode().split() == ["200", *["refused"] * len(others)]


@pytest.mark.parametrize(
    ("behaviour", "check"),
    [("deaf", TCP_CHECK), ("exits", HTTP_CHECK)],
)
def test_a_version_that_never_becomes_healthy_is_rolled_back_and_removed(
    account, images, engine, behaviour, check
):
    arn = account.create(images["v1"], HealthCheckConfiguration=check)

    outcome = account.update(
        arn, images["v2"], RuntimeEnvironmentVariables={"BEHAVIOUR": behaviour}
    )

    assert outcome == "ROLLBACK_SUCCEEDED"
    assert account.revision(arn) == "v1"
    assert account.image(arn).endswith(images["v1"])
    assert len(containers_of(engine, account, arn)) == 1


def test_a_crashed_container_is_replaced(account, images, engine):
    arn = account.create(images["v1"])
    (first,) = containers_of(engine, account, arn)
    with contextlib.suppress(httpx.HTTPError):
        account.get(arn, "/exit")

    account.until(lambda: account.get(arn).status_code, lambda status: status == 200, seconds=15)

    (second,) = containers_of(engine, account, arn)
    assert second.id != first.id


def test_secrets_and_port_reach_the_container_and_its_lines_reach_the_log(account, images, aws):
    store = aws.client("secretsmanager")
    secret = store.create_secret(Name="kanvaro/container", SecretString='{"jwt": "in-store"}')
    arn = account.create(
        SourceConfiguration=source(
            images["v1"],
            Port="5000",
            RuntimeEnvironmentVariables={"LEVEL": "debug"},
            RuntimeEnvironmentSecrets={"JWT": f"{secret['ARN']}:jwt::"},
        ),
        InstanceConfiguration={"InstanceRoleArn": INSTANCE_ROLE},
    )
    service = account.service(arn)

    seen = account.get(arn, "/environment").json()
    assert {name: seen[name] for name in ("LEVEL", "JWT", "PORT")} == {
        "LEVEL": "debug",
        "JWT": "in-store",
        "PORT": "5000",
    }
    logs = aws.client("logs")
    group = f"/aws/apprunner/{service['ServiceName']}/{service['ServiceId']}/application"

    def lines():
        try:
            return [e["message"] for e in logs.filter_log_events(logGroupName=group)["events"]]
        except logs.exceptions.ResourceNotFoundException:
            return []

    assert "revision v1 starts" in account.until(lines, len)


def test_a_tag_that_moves_in_the_registry_deploys_by_itself(account, images, aws):
    move_tag(aws, "release", "v1")
    arn = account.create(SourceConfiguration=source("release", auto=True))
    assert account.revision(arn) == "v1"

    move_tag(aws, "release", "v2")

    account.until(lambda: account.revision(arn), lambda revision: revision == "v2", seconds=15)


def move_tag(aws, tag, revision):
    """What a push of an image under another tag does, without pushing its layers again."""
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifests = f"http://{aws.registry}/v2/kanvaro/manifests"
    login = ("AWS", "sandbox")
    manifest = httpx.get(f"{manifests}/{revision}", headers={"Accept": kind}, auth=login)
    pushed = httpx.put(
        f"{manifests}/{tag}", content=manifest.content, headers={"Content-Type": kind}, auth=login
    )
    assert pushed.status_code == 201, pushed.text


def test_start_command_takes_the_place_of_the_images_own(account, images):
    arn = account.create(SourceConfiguration=source(images["v1"], StartCommand="/no/such/program"))

    assert account.service(arn)["Status"] == "CREATE_FAILED"
    assert account.update(arn, images["v1"]) == "SUCCEEDED"


def test_closing_in_the_middle_of_a_deployment_leaves_no_container(aws, images, engine):
    with AppRunner(Containers(aws.registry), time_scale=1.0) as app_runner:
        account = Account(app_runner)
        arns = []
        for name, behaviour in (("half-started", "healthy"), ("never-well", "deaf")):
            wanted = source(images["v1"], RuntimeEnvironmentVariables={"BEHAVIOUR": behaviour})
            created = account.client.create_service(ServiceName=name, SourceConfiguration=wanted)
            arns.append(created["Service"]["ServiceArn"])
        account.until(lambda: containers_of(engine, account, arns[0]), len)

    assert [containers_of(engine, account, arn) for arn in arns] == [[], []]


@pytest.fixture
def program(aws):
    """Starts `python -m sandbox.app_runner` and returns its process and its control address."""
    command = [sys.executable, "-m", "sandbox.app_runner"]
    started = []

    def start(*options):
        process = subprocess.Popen(
            [*command, "--registry", aws.registry, "--time-scale", "0", *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, process.stdout.readline().split()[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_as_a_process_it_serves_until_it_is_asked_to_stop(program, images, engine):
    process, url = program()
    account = Account(SimpleNamespace(url=url))
    arn = account.create(images["v1"])
    assert account.revision(arn) == "v1"

    process.terminate()

    assert process.wait(20) == 0
    assert containers_of(engine, account, arn) == []


def test_what_a_killed_emulator_left_is_removed_by_the_next(program, images, engine):
    process, url = program()
    account = Account(SimpleNamespace(url=url))
    arn = account.create(images["v1"])

    with AppRunner(Containers("127.0.0.1:9")):
        assert len(containers_of(engine, account, arn)) == 1
    process.kill()
    process.wait()
    with AppRunner(Containers("127.0.0.1:9")):
        assert containers_of(engine, account, arn) == []


def test_where_its_process_cannot_be_seen_the_next_of_the_same_owner_removes_it(
    program, images, engine, monkeypatch
):
    owner = f"test-{time.time_ns()}"
    process, url = program("--owner", owner)
    account = Account(SimpleNamespace(url=url))
    arn = account.create(images["v1"])
    process.kill()
    process.wait()
    monkeypatch.setattr("sandbox.host.orphans.is_gone", lambda identity: False)

    with AppRunner(Containers("127.0.0.1:9", owner=f"{owner}-other")):
        assert len(containers_of(engine, account, arn)) == 1
    with AppRunner(Containers("127.0.0.1:9", owner=owner)):
        assert containers_of(engine, account, arn) == []


def test_without_an_engine_it_says_so_at_the_start(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")

    with pytest.raises(EngineUnavailable), AppRunner(Containers("127.0.0.1:9")):
        pass


def test_a_registry_that_does_not_answer_fails_the_operation(engine):
    with AppRunner(Containers("127.0.0.1:9"), time_scale=0) as app_runner:
        account = Account(app_runner)
        arn = account.create("sha256:" + "0" * 64)

        assert account.service(arn)["Status"] == "CREATE_FAILED"
