"""An account with a ledger and a router, fake runs, and answers that get lost."""

import logging
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime

import boto3
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError
from prefect import flow
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect_aws import AwsCredentials

from blocks.environment import Environment
from blocks.policy import Policy
from blocks.serving import AppRunnerService, CloudFrontRouter
from sandbox.aws.aws import ACCESS_KEY, REGION, SECRET_KEY

SERVICES = ("dynamodb", "cloudfront", "cloudfront-keyvaluestore")


def environment_in(aws, distribution=None, **policy):
    """Create an environment in which nothing was ever done."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    moves_traffic = {"strategy": "in-place"}
    if distribution:
        made = aws.client("cloudfront").create_key_value_store(Name=name)
        store = made["KeyValueStore"]["ARN"]
        moves_traffic = {
            "strategy": "blue-green",
            "public_address": "http://127.0.0.1:1",
            "router": CloudFrontRouter(route_store=store, distribution=distribution.id),
        }
    return Environment(
        name=name,
        repository="none",
        aws=AwsCredentials(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY),
        endpoints=dict.fromkeys(SERVICES, aws.endpoint),
        service=AppRunnerService(name="kanvaro", access_role_arn="arn:aws:iam::1:role/ecr"),
        policy=Policy(**policy),
        **moves_traffic,
    )


def client_at(address, service):
    """Return a boto3 client that sends each call once, to an address instead of AWS's own."""
    return boto3.client(
        service,
        endpoint_url=address,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(retries={"total_max_attempts": 1}),
    )


@flow
def nothing():
    """The flow of a run of which only the caller matters."""


@contextmanager
def run_asked_at(second, tags=()):
    """Make this thread a run that was requested at that second since 1970, in the block."""
    run = FlowRun(
        flow_id=uuid.uuid4(),
        name=f"run {second}",
        created=datetime.fromtimestamp(second, UTC),
        tags=list(tags),
    )
    with FlowRunContext.model_construct(flow_run=run, flow=nothing, parameters={}):
        yield run


def lose_answers(client, operation, times=1):
    """Carry out the next calls, but never return their answers."""
    left = [times]

    def lose(request, **_):
        if left[0]:
            left[0] -= 1
            client._endpoint.http_session.send(request)
            raise ReadTimeoutError(endpoint_url=request.url)

    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register_last(f"before-send.{service}.{operation}", lose)


def refuse(client, operation, error):
    """Raise an error for all calls of an operation before they are sent."""

    def raise_it(request, **_):
        raise error

    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register_first(f"before-send.{service}.{operation}", raise_it)


def quiet_logger(*_args, **_more):
    return logging.getLogger("test")
