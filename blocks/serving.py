"""Describe the service that runs the application, and the router between two of them."""

from pydantic import Field

from blocks.policy import Settings


class AppRunnerService(Settings):
    """The App Runner service that runs the application, as it should be."""

    name: str = Field(
        default="kanvaro",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{3,39}$",
        description="Name of the service, unique in its region.",
    )
    port: int = Field(default=3000, description="Port the application listens on.")
    cpu: str = Field(default="1 vCPU", description="Processor share of one instance.")
    memory: str = Field(default="2 GB", description="Memory of one instance.")
    access_role_arn: str = Field(description="Role with which App Runner pulls from ECR.")
    instance_role_arn: str | None = Field(default=None, description="Role of the application.")
    variables: dict[str, str] = Field(default_factory=dict, description="Plain variables.")
    secrets: dict[str, str] = Field(
        default_factory=dict, description="Variable to ARN of the secret it is read from."
    )
    health_path: str = Field(
        default="/api/health/live", description="Path that App Runner requests."
    )
    health_interval_s: int = Field(
        default=10, ge=1, le=20, description="Seconds between two requests."
    )
    health_timeout_s: int = Field(default=5, ge=1, le=20, description="Seconds for one answer.")
    healthy_after: int = Field(default=1, ge=1, le=20, description="Good answers in a row.")
    unhealthy_after: int = Field(default=5, ge=1, le=20, description="Bad answers in a row.")


class CloudFrontRouter(Settings):
    """A CloudFront distribution whose function picks the colour by the route document."""

    route_store: str = Field(
        pattern=r"^arn:aws[a-z-]*:cloudfront::\d{12}:key-value-store/[A-Za-z0-9_-]+$",
        description="ARN of the KeyValueStore that holds the route document.",
    )
    distribution: str | None = Field(
        default=None,
        description="Distribution whose default origin is kept at the live colour, for an edge "
        "that cannot read the store.",
    )
