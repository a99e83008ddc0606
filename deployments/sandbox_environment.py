"""Describe the environment of a running sandbox: the usual settings with other addresses."""

from contextlib import closing
from pathlib import Path

import boto3
from prefect_aws import AwsCredentials
from prefect_docker import DockerHost
from prefect_slack import SlackCredentials
from pydantic import SecretStr

from blocks.environment import Environment
from blocks.github_app import GitHubApp
from blocks.policy import Policy
from blocks.service_image import ServiceImage, real_services
from blocks.serving import AppRunnerService, CloudFrontRouter
from sandbox.addresses import Addresses, Secrets
from sandbox.aws.aws import ACCESS_KEY, SECRET_KEY
from sandbox.databases.service_images import ensure_service_images
from sandbox.host.engine import docker_engine

AWS_SERVICES = (
    *("ecr", "secretsmanager", "dynamodb", "cloudwatch", "logs", "sns", "sts", "cloudformation"),
    *("cloudfront", "cloudfront-keyvaluestore", "s3"),
)
GITHUB_REPOSITORY = "kanvaro/kanvaro"
# The secret, and the key in it, for each variable of the application.
SECRETS = {
    "MONGODB_URI": ("kanvaro/database", "mongodb_uri"),
    "REDIS_URL": ("kanvaro/database", "redis_url"),
    "JWT_SECRET": ("kanvaro/jwt", "jwt_secret"),
    "JWT_REFRESH_SECRET": ("kanvaro/jwt", "refresh_secret"),
    "JWT_RING": ("kanvaro/jwt", "ring"),
    "SMTP_HOST": ("kanvaro/email", "smtp_host"),
    "SMTP_PORT": ("kanvaro/email", "smtp_port"),
    "SMTP_USER": ("kanvaro/email", "smtp_user"),
    "SMTP_PASS": ("kanvaro/email", "smtp_pass"),
    "SECRET_VERSION_DATABASE": ("kanvaro/database", "version"),
    "SECRET_VERSION_JWT": ("kanvaro/jwt", "version"),
    "SECRET_VERSION_EMAIL": ("kanvaro/email", "version"),
}


def sandbox_environment(
    folder: Path, *, repository: str, name: str = "production", ui_address: str = ""
) -> Environment:
    """Return the environment `name` for the sandbox that runs in `folder`.

    Raises `ConfigurationError` if no sandbox runs there.
    """
    found, secrets = Addresses.read(folder), Secrets.read(folder)
    engine = docker_engine()
    role = f"arn:aws:iam::{found.account}:role/kanvaro-apprunner"
    return Environment(
        name=name,
        repository=repository,
        region=found.region,
        aws=AwsCredentials(
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=found.region,
        ),
        endpoints={
            **dict.fromkeys(AWS_SERVICES, found.aws),
            "apprunner": found.app_runner,
            "iam": found.iam,
        },
        registry_address=found.registry,
        service_scheme="http",
        service=AppRunnerService(
            access_role_arn=f"{role}-ecr",
            instance_role_arn=f"{role}-instance",
            variables={
                "NODE_ENV": "production",
                "SMTP_FROM": "noreply@kanvaro.invalid",
                "SMTP_CA": Path(found.smtp_authorities).read_text(),
            },
            secrets=_secret_references(found),
        ),
        router=CloudFrontRouter(route_store=found.route_store, distribution=found.distribution),
        smtp_authorities=Path(found.smtp_authorities),
        public_address=found.public,
        policy=Policy(
            # The emulator is faster than AWS, so we wait less.
            operation_interval_s=0.5,
            operation_timeout_s=300,
            answer_interval_s=0.2,
            health_timeout_s=20,
            step_s=2,
            bake_s=3,
            probe_interval_s=0.2,
            metric_period_s=1,
            # There may be no other users to send requests, and nobody to approve.
            fewest_requests=10,
            if_too_few="go on",
            switch_timeout_s=30,
            drain_s=5,
        ),
        docker=DockerHost(base_url=engine.base_url),
        service_images=_service_images(),
        loopback_for_checks=found.bridge or None,
        # Nothing answers there: a container asks itself.
        metadata_address="http://127.0.0.1:9",
        slack=SlackCredentials(token=secrets.slack_token),
        slack_channel=found.slack_channel,
        slack_address=found.slack,
        github_repository=GITHUB_REPOSITORY,
        github_address=found.github,
        github_app=GitHubApp(
            app_id=secrets.github_app,
            installation=secrets.github_installation,
            private_key=SecretStr(secrets.github_private_key),
        ),
        codecov_token=secrets.codecov_token,
        codecov_address=found.codecov,
        advisory_registry=found.advisories,
        workshop=(folder / "workshop").resolve(),
        ui_address=ui_address or "http://127.0.0.1:4200",
    )


def _service_images() -> dict[str, ServiceImage]:
    """Return the databases for checks: the real images, or stand-ins that are named as such."""
    with closing(docker_engine().client()) as client:
        had = ensure_service_images(client)
    return {
        name: ServiceImage(
            reference=had[name].reference,
            port=had[name].port,
            health_command=list(had[name].health_command),
            uri=had[name].uri_template.replace("{name}", "kanvaro"),
            variable=real.variable,
            is_stand_in=had[name].is_stand_in,
        )
        for name, real in real_services().items()
    }


def _secret_references(found: Addresses) -> dict[str, str]:
    client = boto3.client(
        "secretsmanager",
        endpoint_url=found.aws,
        region_name=found.region,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    arns = {
        secret: client.describe_secret(SecretId=secret)["ARN"]
        for secret in {secret for secret, _ in SECRETS.values()}
    }
    return {variable: f"{arns[secret]}:{key}::" for variable, (secret, key) in SECRETS.items()}
