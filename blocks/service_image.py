"""Describe the containers that checks may ask for."""

from pydantic import Field

from blocks.policy import Settings


class ServiceImage(Settings):
    """A container that checks may ask for, such as a database."""

    reference: str = Field(description="Image to run.")
    port: int = Field(description="Port the service listens on inside the container.")
    health_command: list[str] = Field(
        description="Docker health check that succeeds once it is usable, such as [CMD, …]."
    )
    uri: str = Field(description="Address for the check; {host} and {port} are filled in.")
    variable: str = Field(description="Environment variable that holds the address.")
    is_stand_in: bool = Field(default=False, description="Not the real product, and reported so.")


def real_services() -> dict[str, ServiceImage]:
    """Return the databases that the application is tested with."""
    return {
        "mongodb": ServiceImage(
            reference="mongo:6.0",
            port=27017,
            health_command=[
                *("CMD", "mongosh", "--quiet", "--eval"),
                "quit(db.adminCommand({ping: 1}).ok ? 0 : 1)",
            ],
            uri="mongodb://{host}:{port}/kanvaro",
            variable="MONGODB_URI",
        ),
        "redis": ServiceImage(
            reference="redis:7-alpine",
            port=6379,
            health_command=["CMD", "redis-cli", "-e", "ping"],
            uri="redis://{host}:{port}",
            variable="REDIS_URL",
        ),
    }
