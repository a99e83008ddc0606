"""An environment block describes one place where the application runs."""

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

from prefect.blocks.core import Block
from prefect.context import FlowRunContext
from prefect_aws import AwsCredentials
from prefect_docker import DockerHost
from prefect_slack import SlackCredentials
from pydantic import Field, PrivateAttr, SecretStr, model_validator
from slack_sdk import WebClient
from slack_sdk.http_retry.builtin_handlers import (
    ConnectionErrorRetryHandler,
    ServerErrorRetryHandler,
)

from blocks.clients import Acting, Clients
from blocks.github_app import GitHubApp, usable_token
from blocks.policy import Policy, Provisioning
from blocks.service_image import ServiceImage, real_services
from blocks.serving import AppRunnerService, CloudFrontRouter
from blocks.slack_limit import RateLimit
from delivery.errors import ConfigurationError
from delivery.platform.route import Colour

# App Runner allows 40 characters, and a colour is added.
LONGEST_SERVICE_NAME = 34

# A web address without a user name, so that no password can hide in it.
ADDRESS = r"^https?://[^/@\s]+(/\S*)?$"
# The same for an address that gets a token: only to this machine it goes unencrypted.
API_ADDRESS = r"^(https://[^/@\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?)(/\S*)?$"
FLOW_ROLE = r"^arn:aws[a-z-]*:iam::\d{12}:role/([\w+=,.@-]+/)*[\w+=,.@-]*\{flow\}[\w+=,.@-]*$"


class Environment(Block):
    """Describe one place where the application runs: account, service, addresses, policy.

    Example:
        ```python
        from blocks.environment import Environment

        production = Environment.named("production")
        ```
    """

    _block_type_name = "Environment"
    _block_type_slug = "kanvaro-environment"
    _description = "One place where the application runs: its AWS account, service and policy."
    _schemas: ClassVar[dict[tuple[type, str, str], dict[str, Any]]] = {}

    name: str = Field(default="production", description="Name people use for it.")
    repository: str = Field(description="Git URL or path of the application's repository.")
    region: str = Field(default="us-east-1", description="AWS region.")
    ecr_repository: str = Field(default="kanvaro", description="Name of the ECR repository.")
    service: AppRunnerService = Field(description="The App Runner service.")
    strategy: Literal["blue-green", "in-place"] = Field(
        default="blue-green",
        description="Two services and a router, or one service that App Runner updates in place.",
    )
    router: CloudFrontRouter | None = Field(
        default=None, description="What moves traffic between the colours."
    )
    handover_bucket: str = Field(
        default="",
        pattern=r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$",
        description="S3 bucket through which workspaces reach checks on other workers.",
    )
    ledger_table: str = Field(
        default="kanvaro-delivery",
        description="DynamoDB table of deploy locks, releases and intents.",
    )
    rotated: dict[Literal["database", "jwt", "email"], str] = Field(
        default={
            "database": "kanvaro/database",
            "jwt": "kanvaro/jwt",
            "email": "kanvaro/email",
        },
        description="Kind of secret to its name or ARN: those that are rotated.",
    )
    admin_secret: str = Field(
        default="kanvaro/admin/database",
        description="Secret with the databases' administrators, which the application cannot read.",
    )
    provisioning: Provisioning = Field(
        default_factory=Provisioning, description="What `provision` sets in the templates."
    )
    smtp_authorities: Path | None = Field(
        default=None,
        description="File of certificates that replaces the authorities trusted for SMTP.",
    )
    policy: Policy = Field(default_factory=Policy, description="What a run may do here.")
    public_address: str | None = Field(
        default=None,
        pattern=ADDRESS,
        description="Address users visit; the service's own address if empty.",
    )
    aws: AwsCredentials = Field(
        default_factory=AwsCredentials, description="How calls to AWS are signed."
    )
    flow_role: str | None = Field(
        default=None,
        pattern=FLOW_ROLE,
        description="ARN of the role that each flow assumes, with {flow} in place of its name; "
        "if empty, every flow may do what the credentials may.",
    )
    endpoints: dict[str, str] = Field(
        default_factory=dict, description="AWS service to the address used in place of AWS's own."
    )
    registry_address: str | None = Field(
        default=None, description="Where the Docker engine reaches ECR, if not at its own address."
    )
    service_scheme: Literal["https", "http"] = Field(
        default="https", description="Scheme of the service's own address; http in the sandbox."
    )
    docker: DockerHost = Field(
        default_factory=DockerHost, description="The engine that builds images."
    )
    loopback_for_checks: str | None = Field(
        default=None,
        description="Address at which containers reach what listens on this machine's loopback; "
        "only the sandbox has one.",
    )
    metadata_address: str = Field(
        default="http://169.254.169.254",
        pattern=ADDRESS,
        description="Where the machine's instance metadata must not answer a container; the "
        "sandbox names an address of its own.",
    )
    service_images: dict[str, ServiceImage] = Field(
        default_factory=real_services, description="Containers that checks may ask for."
    )
    slack: SlackCredentials | None = Field(default=None, description="Bot that announces.")
    slack_channel: str = Field(default="#deployments", description="Where it announces.")
    slack_address: str | None = Field(default=None, description="Replaces Slack's own address.")
    github: str | None = Field(
        default=None,
        description="Name of the GitHubCredentials block with the token for GitHub.",
    )
    github_app: GitHubApp | None = Field(
        default=None, description="GitHub App to use instead of that token."
    )
    github_address: str = Field(
        default="https://api.github.com",
        pattern=API_ADDRESS,
        description="GitHub's REST API; https://HOST/api/v3 for GitHub Enterprise.",
    )
    github_repository: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", description="owner/name."
    )
    snyk_token: SecretStr | None = Field(default=None, description="Turns on Snyk.")
    codecov_token: SecretStr | None = Field(default=None, description="Turns on Codecov.")
    codecov_address: str | None = Field(default=None, description="Replaces Codecov's own.")
    advisory_registry: str | None = Field(
        default=None, description="Registry asked for advisories; npm's own if empty."
    )
    delivery_toml: str | None = Field(
        default=None, description="Stage table to use if the repository has none."
    )
    workshop: Path = Field(
        default=Path("~/.cache/kanvaro-delivery"),
        description="Folder on the worker for mirrors, workspaces, logs and reports.",
    )
    ui_address: str = Field(
        default="http://127.0.0.1:4200",
        pattern=ADDRESS,
        description="Prefect's UI, for links in messages.",
    )

    _acting: Acting | None = PrivateAttr(default=None)

    @classmethod
    def named(cls, name: str) -> Self:
        """Load the environment registered as `name`; `ConfigurationError` if there is none.

        Within the run of a flow it acts for that flow.
        """
        try:
            found = cast(Self, cls.load(name))
        except ValueError as error:
            raise ConfigurationError(
                f"no environment is registered as {name!r}",
                hint="Run `make register`, or choose a registered environment.",
            ) from error
        context = FlowRunContext.get()
        if context is None or context.flow is None or context.flow_run is None:
            return found
        return found.act_for(context.flow.name, context.flow_run.id)

    def act_for(self, flow: str, run: object) -> Self:
        """Return the environment as a run of this flow uses it: in the flow's own role."""
        acting = self.model_copy()
        acting._acting = Acting(
            flow, str(run), self.flow_role.format(flow=flow) if self.flow_role else None
        )
        # Made now, so that every copy of the environment shares the clients and their session.
        acting.__dict__["_clients"] = acting._new_clients()
        return acting

    @classmethod
    def model_json_schema(cls, *args: Any, **more: Any) -> dict[str, Any]:
        """Return the schema, made once: Prefect asks for it at each field that it saves."""
        key = (cls, repr(args), repr(sorted(more.items())))
        if key not in cls._schemas:
            cls._schemas[key] = super().model_json_schema(*args, **more)
        return cls._schemas[key]

    @model_validator(mode="after")
    def _has_what_its_strategy_needs(self) -> Self:
        if self.policy.stages == "on the pool" and not self.handover_bucket:
            raise ValueError("stages on the pool need a handover_bucket; or be `here`")
        if self.strategy == "in-place":
            return self
        if self.router is None or self.public_address is None:
            raise ValueError("blue-green needs a router and a public_address; or be in-place")
        if len(self.service.name) > LONGEST_SERVICE_NAME:
            raise ValueError(
                f"service.name is longer than {LONGEST_SERVICE_NAME} characters, so that it "
                "cannot name both colours"
            )
        return self

    def on(self, colour: Colour) -> Self:
        """Return the environment of one colour: the colour's service at its own address."""
        service = self.service.model_copy(update={"name": f"{self.service.name}-{colour}"})
        return self.model_copy(
            update={
                "name": f"{self.name} {colour}",
                "service": service,
                "strategy": "in-place",
                "public_address": None,
            }
        )

    def without_secrets(self) -> Self:
        """Return the environment for strangers' code: without any credentials.

        Its checks run in this run: another worker would load the environment with credentials.
        """
        bare = self.model_copy(
            update={
                "policy": self.policy.model_copy(update={"stages": "here"}),
                "aws": AwsCredentials(),
                "flow_role": None,
                "slack": None,
                "github": None,
                "github_app": None,
                "snyk_token": None,
                "codecov_token": None,
            }
        )
        bare._acting = None
        bare.__dict__.pop("_clients", None)  # they were made with the credentials
        return bare

    def answering(self, path: str, says_revision: bool) -> Self:
        """Return the environment for an application's health endpoint; no path: the usual one."""
        changes = {"readiness_path": path} if path else {}
        policy = self.policy.model_copy(update={**changes, "answers_revision": says_revision})
        service = self.service.model_copy(update={"health_path": path} if path else {})
        return self.model_copy(update={"policy": policy, "service": service})

    @cached_property
    def _clients(self) -> Clients:
        return self._new_clients()

    def _new_clients(self) -> Clients:
        return Clients(self.aws, self.region, self.endpoints, self._acting)

    def retrying(self, service: str) -> Any:
        """Return a boto3 client for calls that may be repeated."""
        return self._clients.retrying(service)

    def sending_once(self, service: str) -> Any:
        """Return a boto3 client that sends each call exactly once."""
        return self._clients.sending_once(service)

    def slack_client(self) -> WebClient | None:
        """Return a Slack client that waits for rate limits, or None without credentials."""
        if self.slack is None:
            return None
        return WebClient(
            token=self.slack.token.get_secret_value(),
            base_url=self.slack_address or WebClient.BASE_URL,
            timeout=10,
            retry_handlers=[ConnectionErrorRetryHandler(), ServerErrorRetryHandler(), RateLimit()],
        )

    def github_token(self) -> str | None:
        """Return the token for GitHub, or None without credentials.

        A GitHub App's token is requested when it is first needed, and again when it expires. Raises
        `ConfigurationError` if the block named by `github` is not registered, and `AccessDenied` or
        `Unreachable` if GitHub issues no token.
        """
        if self.github_app is not None:
            return self.github_app.token(self.github_address)
        if self.github is None:
            return None
        # Imported here, and no nested block: the package loads GitHub's whole GraphQL schema, which
        # takes a tenth of the time between the start of a run and its first step.
        from prefect_github import GitHubCredentials

        try:
            token = GitHubCredentials.load(self.github).token
        except ValueError as error:
            raise ConfigurationError(
                f"no GitHub credentials are registered as {self.github!r}",
                hint="Run `make register` with GITHUB_TOKEN set.",
            ) from error
        return usable_token(token.get_secret_value(), self.github) if token else None

    @property
    def data_dir(self) -> Path:
        """Return the workshop folder; create it, closed to other users, if it is missing."""
        folder = self.workshop.expanduser()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder
