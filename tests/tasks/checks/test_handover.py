"""A workspace that goes through S3 to another worker, and comes out as it went in."""

import tarfile
import uuid
from pathlib import Path

import pytest
from prefect_aws import AwsCredentials

from blocks.environment import Environment
from blocks.serving import AppRunnerService
from delivery.errors import ConfigurationError, RequestRefused
from sandbox.aws.aws import ACCESS_KEY, SECRET_KEY, Aws
from tasks.checks.handover import hand_over, take_over, verdict_of
from tasks.workspace.checkout import Source
from tasks.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def account():
    with Aws() as aws:
        yield aws


@pytest.fixture
def environment(account):
    made = Environment(
        repository="none",
        strategy="in-place",
        aws=AwsCredentials(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY),
        endpoints={"s3": account.endpoint},
        service=AppRunnerService(access_role_arn="arn:aws:iam::1:role/ecr"),
        handover_bucket=f"handover-{uuid.uuid4().hex[:8]}",
    )
    made.retrying("s3").create_bucket(Bucket=made.handover_bucket)
    return made


def workspace_in(folder):
    for name in ("run", "home", "logs"):
        (folder / name).mkdir(parents=True)
    shared = (folder / "mirrors", folder / "cache", folder / "reports")
    return Workspace(folder / "run" / "source", folder / "home", folder / "logs", *shared)


@pytest.fixture
def here(tmp_path):
    workspace = workspace_in(tmp_path / "here")
    programs = workspace.source / "node_modules" / ".bin"
    programs.mkdir(parents=True)
    (workspace.source / "node_modules" / "tool.js").write_text("#!/usr/bin/env node\n")
    (workspace.source / "node_modules" / "tool.js").chmod(0o755)
    (programs / "tool").symlink_to("../tool.js")
    (workspace.source / "package.json").write_text("{}")
    return workspace


def source_of(workspace):
    when = "2026-11-27T10:00:00+00:00"
    words = (
        "refs/heads/main",
        workspace.source,
        "https://git.invalid/r",
        "a “change”",
        "Ann",
        when,
    )
    return Source("1" * 40, "2" * 40, *words, notes=("no submodules",))


@pytest.fixture(params=["this Python's tarfile", "Debian 12's tarfile"])
def tar(request, monkeypatch):
    """With each kind of tarfile: that of Python 3.11.2 cannot filter."""
    if request.param.startswith("Debian"):
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


@pytest.mark.usefixtures("tar")
def test_a_workspace_comes_out_as_it_went_in(environment, here, tmp_path):
    digest = hand_over.fn(environment, source_of(here), here)
    there = workspace_in(tmp_path / "there")

    source = take_over.fn(environment, there, digest)

    assert source.folder == there.source
    assert (source.revision, source.subject, source.notes) == (
        "1" * 40,
        "a “change”",
        ("no submodules",),
    )
    tool = there.source / "node_modules" / ".bin" / "tool"
    assert tool.is_symlink()
    assert tool.resolve().stat().st_mode & 0o100
    assert not list(here.home.iterdir())


@pytest.mark.usefixtures("tar")
@pytest.mark.parametrize("target", ["/etc/passwd", "../../../outside"])
def test_a_workspace_that_leads_out_of_its_folder_is_refused(environment, here, tmp_path, target):
    (here.source / "link").symlink_to(target)
    digest = hand_over.fn(environment, source_of(here), here)

    with pytest.raises(RequestRefused, match=r"leads out of its folder.*source/link"):
        take_over.fn(environment, workspace_in(tmp_path / "there"), digest)


def test_a_workspace_that_was_exchanged_is_refused(environment, here, tmp_path):
    digest = hand_over.fn(environment, source_of(here), here)
    key = f"workspaces/{environment.name}/{digest}.tar.gz"
    environment.retrying("s3").put_object(
        Bucket=environment.handover_bucket, Key=key, Body=b"other"
    )
    there = workspace_in(tmp_path / "there")
    with pytest.raises(RequestRefused, match="is not what was handed over"):
        take_over.fn(environment, there, digest)
    assert not there.source.exists()


def test_what_another_environment_handed_over_in_the_same_bucket_is_not_taken(
    environment, here, tmp_path
):
    digest = hand_over.fn(environment, source_of(here), here)
    another = environment.model_copy(update={"name": "another"})

    with pytest.raises(RequestRefused, match=f"no workspace {digest[:10]}"):
        take_over.fn(another, workspace_in(tmp_path / "there"), digest)


def test_a_workspace_that_is_gone_and_a_verdict_that_is_not_there_yet(environment, tmp_path):
    with pytest.raises(RequestRefused, match="no workspace 0000000000"):
        take_over.fn(environment, workspace_in(tmp_path / "there"), "0" * 64)
    assert verdict_of(environment, uuid.uuid4()) is None


def test_a_bucket_that_is_missing_or_not_named_is_said(environment, here):
    environment.handover_bucket = "no-such-bucket"
    with pytest.raises(ConfigurationError, match="bucket no-such-bucket"):
        hand_over.fn(environment, source_of(here), here)
    environment.handover_bucket = ""
    with pytest.raises(ConfigurationError, match="has no bucket"):
        hand_over.fn(environment, source_of(here), here)
    assert not list(Path(here.home).iterdir())
