"""The emulated account: what a delivery finds there, and that nothing of it stays behind."""

import json
import os
import signal
import subprocess
import sys

import httpx
import pytest
from botocore.exceptions import ClientError

from sandbox.aws import aws as aws_module
from sandbox.aws.aws import ACCOUNT, REGION, Aws
from sandbox.parts.errors import SandboxPartFailed
from tests.waiting import becomes_true


@pytest.fixture(scope="module")
def aws():
    with Aws() as account:
        yield account


def _is_gone(url):
    try:
        httpx.get(url, timeout=1)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:  # it was just ending
        return False
    return False


def test_it_listens_on_the_loopback_address_alone(aws):
    port = aws.registry.rpartition(":")[2]
    listing = subprocess.run(["ss", "-ltnp"], capture_output=True, text=True, check=True).stdout
    own = [line.split()[3] for line in listing.splitlines() if f"pid={aws.pid}," in line]
    assert own == [f"127.0.0.1:{port}"]


@pytest.mark.parametrize(
    ("service", "question"),
    [
        ("ecr", "describe_repositories"),
        ("secretsmanager", "list_secrets"),
        ("dynamodb", "list_tables"),
        ("cloudwatch", "describe_alarms"),
        ("logs", "describe_log_groups"),
        ("sns", "list_topics"),
    ],
)
def test_it_serves_what_a_delivery_needs(aws, service, question):
    answer = getattr(aws.client(service), question)()
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_whoever_asks_is_in_the_sandbox_account(aws):
    assert aws.client("sts").get_caller_identity()["Account"] == ACCOUNT
    assert aws.client("ecr").meta.region_name == REGION


def test_the_seed_holds_what_a_deployment_reads(aws):
    aws.seed(mongodb_uri="mongodb://app:pw@mongodb:27017/kanvaro", redis_url="redis://redis:6379")
    [repository] = aws.client("ecr").describe_repositories(repositoryNames=["kanvaro"])[
        "repositories"
    ]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert _secret(aws, "kanvaro/database") == {
        "version": _current(aws, "kanvaro/database"),
        "mongodb_uri": "mongodb://app:pw@mongodb:27017/kanvaro",
        "redis_url": "redis://redis:6379",
    }
    assert _secret(aws, "kanvaro/jwt").keys() == {"version", "jwt_secret", "refresh_secret", "ring"}
    email = _secret(aws, "kanvaro/email")
    assert email.keys() == {
        *("version", "provider", "smtp_host", "smtp_port", "smtp_user", "smtp_pass"),
    }
    assert email["provider"] == "operator"


def test_each_seeded_value_carries_the_id_of_its_own_version(aws):
    for turn in ("first", "second"):
        aws.seed(
            mongodb_uri=f"mongodb://{turn}",
            redis_url="redis://x",
            admin={"mongodb_uri": f"mongodb://admin@{turn}", "redis_urls": ["redis://admin@x"]},
            email={"smtp_host": turn},
        )
        for name in ("database", "admin/database", "jwt", "email"):
            secret = f"kanvaro/{name}"
            assert _secret(aws, secret)["version"] == _current(aws, secret)


def test_a_seeded_secret_has_no_version_but_its_first():
    with Aws() as account:
        account.seed(mongodb_uri="mongodb://x", redis_url="redis://x")
        told = account.client("secretsmanager").describe_secret(SecretId="kanvaro/jwt")
    assert [stages for stages in told["VersionIdsToStages"].values() if stages] == [["AWSCURRENT"]]


def test_the_seeded_rings_begin_with_the_keys_of_the_secret(aws):
    aws.seed(mongodb_uri="mongodb://x", redis_url="redis://x")
    jwt = _secret(aws, "kanvaro/jwt")
    rings = json.loads(jwt["ring"])
    assert rings["access"]["current"]["k"] == jwt["jwt_secret"]
    assert rings["refresh"]["current"]["k"] == jwt["refresh_secret"]
    keys = [rings[use][slot] for use in ("access", "refresh") for slot in ("current", "next")]
    assert len({key["k"] for key in keys}) == len({key["kid"] for key in keys}) == 4
    assert [rings[use]["previous"] for use in ("access", "refresh")] == [[], []]


def test_seeding_again_keeps_generated_secrets_and_renews_the_addresses(aws):
    aws.seed(mongodb_uri="mongodb://first", redis_url="redis://first")
    before = _secret(aws, "kanvaro/jwt"), _secret(aws, "kanvaro/email")
    first = _current(aws, "kanvaro/database")
    aws.seed(mongodb_uri="mongodb://second", redis_url="redis://second")
    assert (_secret(aws, "kanvaro/jwt"), _secret(aws, "kanvaro/email")) == before
    assert _secret(aws, "kanvaro/database")["mongodb_uri"] == "mongodb://second"
    second = _current(aws, "kanvaro/database")
    aws.seed(mongodb_uri="mongodb://second", redis_url="redis://second")
    assert first != second == _current(aws, "kanvaro/database")


def test_a_mail_server_that_is_named_later_keeps_the_generated_password(aws):
    aws.seed(mongodb_uri="mongodb://x", redis_url="redis://x")
    before = _secret(aws, "kanvaro/email")
    named = {"smtp_host": "127.0.0.1", "smtp_port": 2525}
    aws.seed(mongodb_uri="mongodb://x", redis_url="redis://x", email=named)
    after = _secret(aws, "kanvaro/email")
    assert after == {**before, **named, "version": after["version"]}


def test_generated_secrets_are_long_and_differ(aws):
    aws.seed(mongodb_uri="mongodb://x", redis_url="redis://x")
    jwt = _secret(aws, "kanvaro/jwt")
    values = [
        *(jwt["jwt_secret"], jwt["refresh_secret"]),
        *(json.loads(jwt["ring"])[use]["next"]["k"] for use in ("access", "refresh")),
        _secret(aws, "kanvaro/email")["smtp_pass"],
    ]
    assert len(set(values)) == 5
    assert min(map(len, values)) >= 32


def test_an_account_with_a_state_folder_remembers(tmp_path):
    with Aws(state=tmp_path) as first:
        first.client("sns").create_topic(Name="releases")
    with Aws(state=tmp_path) as second:
        [topic] = second.client("sns").list_topics()["Topics"]
    assert topic["TopicArn"].endswith(":releases")


def test_an_account_without_a_state_folder_starts_empty():
    with Aws() as first:
        first.client("sns").create_topic(Name="releases")
    with Aws() as second:
        assert second.client("sns").list_topics()["Topics"] == []


def test_it_is_gone_after_an_orderly_stop():
    with Aws() as account:
        endpoint, pid, scratch = account.endpoint, account.pid, account._scratch
    assert _is_gone(endpoint)
    assert not os.path.exists(f"/proc/{pid}")
    assert not scratch.exists()


def test_it_dies_with_a_parent_that_was_killed():
    script = "from sandbox.aws.aws import Aws; import time\nwith Aws() as a: print(a.endpoint, a.pid, a._scratch, flush=True); time.sleep(60)"  # noqa: E501
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as us:
        endpoint, pid, scratch = us.stdout.readline().split()
        assert not _is_gone(endpoint)
        us.send_signal(signal.SIGKILL)
    assert becomes_true(lambda: _is_gone(endpoint))
    assert becomes_true(lambda: not os.path.exists(f"/proc/{pid}"))
    assert not os.path.exists(scratch)


def test_an_account_that_ended_by_itself_is_noticed():
    with Aws() as account:
        account.check()
        os.kill(account.pid, signal.SIGKILL)
        assert becomes_true(lambda: _is_gone(account.endpoint))
        with pytest.raises(SandboxPartFailed, match="has ended"):
            account.check()


def test_a_port_somebody_took_first_is_left_to_them(aws, monkeypatch):
    taken = int(aws.registry.rpartition(":")[2])
    ports = iter([taken])
    free = aws_module.free_port
    monkeypatch.setattr(aws_module, "free_port", lambda: next(ports, None) or free())
    with Aws() as other:
        assert other.registry != aws.registry


def test_a_failed_start_shows_the_last_lines_and_leaves_nothing(monkeypatch):
    monkeypatch.setenv("MINISTACK_WORKER_THREADS", "4")
    monkeypatch.setattr(Aws, "_variables", lambda self: {"GATEWAY_PORT": "no number"})
    account = Aws()
    with pytest.raises(SandboxPartFailed, match="no number") as failure, account:
        pass
    assert failure.value.hint
    assert account.pid is None


def test_a_tag_that_is_there_cannot_point_elsewhere(aws):
    aws.seed(mongodb_uri="mongodb://x", redis_url="redis://x")
    ecr = aws.client("ecr")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/json", "size": 2, "digest": "sha256:" + "a" * 64},
        "layers": [],
    }
    ecr.put_image(repositoryName="kanvaro", imageManifest=json.dumps(manifest), imageTag="one")
    manifest["config"]["digest"] = "sha256:" + "b" * 64
    with pytest.raises(ClientError, match="ImageTagAlreadyExists"):
        ecr.put_image(repositoryName="kanvaro", imageManifest=json.dumps(manifest), imageTag="one")


def _secret(aws, name):
    store = aws.client("secretsmanager")
    return json.loads(store.get_secret_value(SecretId=name)["SecretString"])


def _current(aws, name):
    versions = aws.client("secretsmanager").describe_secret(SecretId=name)["VersionIdsToStages"]
    [current] = [version for version, stages in versions.items() if "AWSCURRENT" in stages]
    return current
