"""A stand for flows that move traffic: every system but Docker, with programs for containers."""

import json
import time
import uuid
from contextlib import ExitStack, suppress

import httpx
from botocore.exceptions import ClientError
from prefect_aws import AwsCredentials
from prefect_slack import SlackCredentials

from blocks.environment import Environment
from blocks.policy import Policy
from blocks.serving import AppRunnerService, CloudFrontRouter
from delivery.platform.route import read_route
from delivery.run.ledger import Proven
from sandbox.app_runner import AppRunner
from sandbox.app_runner.instances.programs import Program, Programs
from sandbox.aws.aws import ACCESS_KEY, ACCOUNT, SECRET_KEY, Aws
from sandbox.aws.ledger_table import ensure_ledger_table
from sandbox.edge import Edge, ensure_distribution
from sandbox.fakes import FakeServices
from tasks.run import ledger
from tests.tasks.containers.engines import NO_METADATA, bridge_or_none, have_image

ECR = "kanvaro"


class Stand:
    """One account with an edge, App Runner and a channel, for any number of environments."""

    def __init__(self):
        self.programs = Programs({})

    def __enter__(self):
        if bridge_or_none():  # a test that needs an engine says so itself
            have_image()
        with ExitStack() as stack:
            self.aws = stack.enter_context(Aws())
            self.app_runner = stack.enter_context(
                AppRunner(
                    instances=self.programs,
                    time_scale=0,
                    aws_endpoint=self.aws.endpoint,
                    # Smoke tests run in containers, which have a loopback of their own.
                    also_on=bridge_or_none(),
                )
            )
            self.fakes = stack.enter_context(FakeServices(channels=("deployments",)))
            self.distribution = ensure_distribution(self.aws)
            self.edge = stack.enter_context(Edge(self.aws.endpoint, self.distribution))
            self._store = self.aws.client("cloudfront-keyvaluestore")
            ensure_ledger_table(self.aws)
            self.aws.seed(mongodb_uri="mongodb://none", redis_url="redis://none")
            self.repository = self.aws.client("ecr").describe_repositories()["repositories"][0][
                "repositoryUri"
            ]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *args):
        return self._stack.__exit__(*args)

    def environment(self, settings=None, **policy):
        """Create an environment in which nothing was ever live. The edge serves one at a time."""
        name = f"test-{uuid.uuid4().hex[:8]}"
        self._forget_the_route()
        made = Environment(
            name=name,
            repository="none",
            metadata_address=NO_METADATA,
            loopback_for_checks=bridge_or_none() or None,
            aws=AwsCredentials(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY),
            endpoints={
                **dict.fromkeys(
                    (
                        "ecr",
                        "secretsmanager",
                        "dynamodb",
                        "cloudwatch",
                        "cloudfront",
                        "cloudfront-keyvaluestore",
                    ),
                    self.aws.endpoint,
                ),
                "apprunner": self.app_runner.url,
            },
            ecr_repository=ECR,
            service_scheme="http",
            service=AppRunnerService(name=f"k-{name}", access_role_arn=role_of(f"k-{name}", "ecr")),
            router=CloudFrontRouter(
                route_store=self.distribution.store_arn, distribution=self.distribution.id
            ),
            public_address=self.edge.url,
            **(settings or {}),
            slack=SlackCredentials(token=self.fakes.slack.token),
            slack_channel="#deployments",
            slack_address=self.fakes.slack_url,
            policy=Policy(
                **{
                    "operation_timeout_s": 10,
                    "operation_interval_s": 0.05,
                    "healthy_answers": 2,
                    "answer_interval_s": 0.05,
                    "health_timeout_s": 5,
                    "bake_s": 0.3,
                    "step_s": 0.2,
                    "probe_interval_s": 0.05,
                    "metric_period_s": 1,
                    "fewest_requests": 0,
                    "public_answers": 5,
                    "switch_timeout_s": 5,
                    "drain_s": 0.2,
                    "warm_up_requests": 2,
                    "lock_lease_s": 1.0,
                    "lock_timeout_s": 20,
                    **policy,
                }
            ),
        )
        made.save(name, overwrite=True)
        return made

    def publish(self, environment, program="ok", *, proven=True, migration="none", **more):
        """Push an image and return its revision; `program` is the health of a `Program`."""
        revision = uuid.uuid4().hex + uuid.uuid4().hex[:8]
        digest = self.push(revision)
        self.programs.programs[digest] = Program(revision=revision, health=program, **more)
        if proven:
            ledger.record_proven(
                environment,
                Proven(
                    revision, digest, "none", "refs/heads/main", "test", ledger.now(), migration
                ),
            )
        return revision

    def push(self, tag):
        """Push an image to ECR under `tag`; return its digest."""
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "x", "size": 1, "digest": f"sha256:{'0' * 64}"},
                "layers": [],
                "annotations": {"tag": tag},
            }
        )
        put = self.aws.client("ecr").put_image(
            repositoryName=ECR, imageManifest=manifest, imageTag=tag
        )
        return put["image"]["imageId"]["imageDigest"]

    def route(self):
        found = self._store.get_key(KvsARN=self.distribution.store_arn, Key="route")
        return read_route(found["Value"])

    def live(self):
        """Return the revision that the public name answers with."""
        return httpx.get(f"{self.edge.url}/api/health", timeout=5).json()["revision"]

    def said(self, run_id):
        threads = self.fakes.slack.threads("deployments")
        return [t for t in threads if str(run_id) in str(t)][-1]

    def changes(self, environment):
        """Return the calls that changed this environment's services, in order."""
        return [
            call.operation
            for call in self.app_runner.calls
            if not call.operation.startswith(("Describe", "List"))
            and environment.service.name in str(call.parameters)
        ]

    def _forget_the_route(self):
        client, arn = self._store, self.distribution.store_arn
        etag = client.describe_key_value_store(KvsARN=arn)["ETag"]
        try:
            client.delete_key(KvsARN=arn, Key="route", IfMatch=etag)
        except client.exceptions.ResourceNotFoundException:
            return
        time.sleep(0.2)  # the edge polls every 100 ms


def role_of(service, what):
    """Return the service's role as deployments/aws/services.yaml names it: `ecr` or `instance`."""
    return f"arn:aws:iam::{ACCOUNT}:role/{service}-apprunner-{what}"


def rename_service(environment, name):
    """Give an environment's service and its roles a name that no other test uses."""
    environment.service = environment.service.model_copy(
        update={
            "name": name,
            "access_role_arn": role_of(name, "ecr"),
            "instance_role_arn": role_of(name, "instance"),
        }
    )


def arn_of(environment, colour):
    """Return the ARN of a colour's service."""
    name = environment.on(colour).service.name
    listed = environment.retrying("apprunner").list_services()["ServiceSummaryList"]
    [arn] = [each["ServiceArn"] for each in listed if each["ServiceName"] == name]
    return arn


def remove_services(environment):
    """Delete its services: a region's quota is limited, and a service in a container costs time."""
    client = environment.sending_once("apprunner")
    for each in client.list_services()["ServiceSummaryList"]:
        if each["ServiceName"].startswith(environment.service.name):
            with suppress(ClientError):  # a service with an operation in progress cannot be deleted
                client.delete_service(ServiceArn=each["ServiceArn"])
