"""A workspace that goes through S3 to another worker, and comes out as it went in."""

import tarfile
import uuid
from dataclasses import replace
from types import SimpleNamespace

import pytest
from prefect.logging import disable_run_logger
from prefect_aws import AwsCredentials
from prefect_docker import DockerHost

from blocks.environment import Environment
from blocks.serving import AppRunnerService
from delivery.errors import ConfigurationError, RequestRefused
from sandbox.aws.aws import ACCESS_KEY, SECRET_KEY, Aws
from sandbox.host.engine import docker_engine
from sandbox.parts.sample import git
from tasks.checks.handover import hand_over, load_volume, take_over, verdict_of
from tasks.workspace.application import run_logged, volume_with
from tasks.workspace.checkout import check_out
from tasks.workspace.committed import read_committed
from tasks.workspace.workspace import open_workspace
from tests.tasks.containers.engines import IMAGE, NO_METADATA, have_image


@pytest.fixture(scope="module")
def account():
    with Aws() as aws:
        yield aws


@pytest.fixture
def environment(account, tmp_path):
    have_image()
    made = Environment(
        repository="none",
        strategy="in-place",
        aws=AwsCredentials(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY),
        endpoints={"s3": account.endpoint},
        service=AppRunnerService(access_role_arn="arn:aws:iam::1:role/ecr"),
        docker=DockerHost(base_url=docker_engine().base_url),
        workshop=tmp_path / "workshop",
        metadata_address=NO_METADATA,
        handover_bucket=f"handover-{uuid.uuid4().hex[:8]}",
    )
    made.retrying("s3").create_bucket(Bucket=made.handover_bucket)
    return made


def source_in(folder):
    made = folder / "app"
    made.mkdir(parents=True)
    git(made, "init", "--quiet", "--initial-branch=main")
    (made / "package.json").write_text("{}")
    git(made, "add", "--all")
    git(made, "commit", "--quiet", "--message", "a “change”")
    return made


@pytest.fixture
def here(environment, tmp_path):
    """A workspace whose volume has the committed files, and packages that were installed."""
    upstream = source_in(tmp_path)
    with open_workspace(environment) as workspace, disable_run_logger():
        source = check_out(str(upstream), None, "main", workspace.source, workspace.mirrors)
        script = """
            mkdir -p node_modules/.bin && cd node_modules && echo "#!/usr/bin/env node" > tool.js
            chmod 755 tool.js && ln -s ../tool.js .bin/tool && ln -s /etc/passwd ../outside
        """
        volume = volume_with(environment, source, workspace, IMAGE)
        run_logged(
            environment,
            workspace,
            volume,
            ["sh", "-ec", script],
            image=IMAGE,
            folder=".",
            timeout_s=60,
            name="install",
        )
        yield SimpleNamespace(workspace=workspace, source=source, home=workspace.home)


@pytest.fixture
def there(environment):
    """The workspace of a run on another worker."""
    with open_workspace(environment) as workspace, disable_run_logger():
        yield workspace


PLAN = SimpleNamespace(images=SimpleNamespace(usual=IMAGE))


def hand(environment, here):
    return hand_over.fn(environment, here.source, here.workspace, PLAN)


@pytest.fixture(params=["this Python's tarfile", "Debian 12's tarfile"])
def tar(request, monkeypatch):
    """With each kind of tarfile: that of Python 3.11.2 cannot filter."""
    if request.param.startswith("Debian"):
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


@pytest.mark.usefixtures("tar")
def test_a_workspace_comes_out_as_it_went_in(environment, here, there):
    digest = hand(environment, here)

    source = take_over.fn(environment, there, digest)
    volume = load_volume(environment, there, PLAN)

    assert source == replace(here.source, folder=there.source)
    assert read_committed(source, "package.json") == "{}"
    script = "test -x node_modules/.bin/tool; readlink outside node_modules/.bin/tool; id -u; ls -A"
    seen = run_logged(
        environment,
        there,
        volume,
        ["sh", "-ec", script],
        image=IMAGE,
        folder=".",
        timeout_s=60,
        name="look",
    )
    assert seen.last_lines == (
        *("/etc/passwd", "../tool.js", "1000"),
        *(".git", "node_modules", "outside", "package.json"),
    )
    assert not list(here.home.glob("*.tar*"))


@pytest.mark.usefixtures("tar")
@pytest.mark.parametrize("target", ["/etc/passwd", "../../../outside"])
def test_a_workspace_that_leads_out_of_its_folder_is_refused(environment, here, there, target):
    """Whoever can write to the bucket could hand over anything under the right digest's name."""
    (here.source.folder / "link").symlink_to(target)
    digest = hand(environment, here)

    with pytest.raises(RequestRefused, match=r"leads out of its folder.*source/link"):
        take_over.fn(environment, there, digest)


def test_a_workspace_that_was_exchanged_is_refused(environment, here, there):
    digest = hand(environment, here)
    key = f"workspaces/{environment.name}/{digest}.tar.gz"
    environment.retrying("s3").put_object(
        Bucket=environment.handover_bucket, Key=key, Body=b"other"
    )
    with pytest.raises(RequestRefused, match="is not what was handed over"):
        take_over.fn(environment, there, digest)
    assert not there.source.exists()


def test_what_another_environment_handed_over_in_the_same_bucket_is_not_taken(
    environment, here, there
):
    digest = hand(environment, here)
    another = environment.model_copy(update={"name": "another"})

    with pytest.raises(RequestRefused, match=f"no workspace {digest[:10]}"):
        take_over.fn(another, there, digest)


def test_a_workspace_that_is_gone_and_a_verdict_that_is_not_there_yet(environment, there):
    with pytest.raises(RequestRefused, match="no workspace 0000000000"):
        take_over.fn(environment, there, "0" * 64)
    assert verdict_of(environment, uuid.uuid4()) is None


def test_a_bucket_that_is_missing_or_not_named_is_said(environment, here):
    environment.handover_bucket = "no-such-bucket"
    with pytest.raises(ConfigurationError, match="bucket no-such-bucket"):
        hand(environment, here)
    environment.handover_bucket = ""
    with pytest.raises(ConfigurationError, match="has no bucket"):
        hand(environment, here)
    assert not list(here.home.glob("*.tar*"))
