"""Provide an environment whose App Runner is the emulator, with programs for containers."""

import pytest
from prefect_aws import AwsCredentials

from blocks.environment import Environment
from blocks.policy import Policy
from blocks.serving import AppRunnerService
from delivery.platform.images import Image
from sandbox.app_runner import AppRunner
from sandbox.app_runner.instances.programs import Program, Programs, digest_of
from sandbox.aws.aws import Aws
from sandbox.aws.ledger_table import ensure_ledger_table
from sandbox.edge import ensure_distribution

REPOSITORY = "000000000000.dkr.ecr.us-east-1.amazonaws.com/kanvaro"
V1, V2, SICK = "1" * 40, "2" * 40, "3" * 40


def image_of(revision):
    return Image(REPOSITORY, digest_of(revision), revision)


@pytest.fixture
def app_runner():
    programs = {
        digest_of(V1): Program(revision=V1),
        digest_of(V2): Program(revision=V2),
        digest_of(SICK): Program(revision=SICK, health="never"),
    }
    with AppRunner(instances=Programs(programs), time_scale=0) as emulator:
        yield emulator


@pytest.fixture
def environment(app_runner, tmp_path):
    return Environment(
        name="test",
        repository="none",
        strategy="in-place",
        aws=AwsCredentials(aws_access_key_id="test", aws_secret_access_key="test"),
        endpoints={"apprunner": app_runner.url},
        service_scheme="http",
        service=AppRunnerService(
            name="kanvaro",
            access_role_arn="arn:aws:iam::000000000000:role/ecr",
            variables={"COLOUR": "none"},
        ),
        policy=Policy(
            operation_timeout_s=10,
            operation_interval_s=0.02,
            healthy_answers=2,
            answer_interval_s=0.02,
            health_timeout_s=1,
        ),
        workshop=tmp_path / "workshop",
    )


@pytest.fixture(scope="session")
def aws():
    """Provide an account with the table of the ledger."""
    with Aws() as account:
        ensure_ledger_table(account)
        yield account


@pytest.fixture(scope="session")
def distribution(aws):
    return ensure_distribution(aws)
