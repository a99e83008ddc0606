"""The network of all checks: it leads out, and from none of its containers to another.

There is one for each engine, made by the first run and kept. A network for each check would keep
checks apart less well: whenever Docker makes a network, it takes the rule that separates networks
away and puts it back, and a container that tries at that moment reaches those of other networks.
Inside of one network nothing is let through at any time.
"""

from typing import Any

from docker import DockerClient
from docker.errors import APIError, NotFound

from delivery.errors import ConfigurationError

NAME, LABEL = "kanvaro-checks", "kanvaro.network"
ICC = "com.docker.network.bridge.enable_icc"


def check_network(client: DockerClient) -> str:
    """Return the id of the network of checks; make it if there is none.

    Raises `ConfigurationError` if the engine cannot keep its containers apart.
    """
    if found := _found(client):
        return found[0]
    try:
        made = str(
            client.api.create_network(
                NAME, driver="bridge", options={ICC: "false"}, labels={LABEL: "checks"}
            )["Id"]
        )
    except APIError as error:
        raise ConfigurationError(
            f"the network of checks cannot be made: {error.explanation or error}",
            hint="Docker keeps containers apart by iptables and br_netfilter: look at the engine's "
            "log, and that its `iptables` is not off.",
        ) from None
    # Docker allows several of one name, and another worker may have made one at the same moment.
    first = _found(client)[0]
    if first != made:
        _remove_unused(client, made)
    return first


def _found(client: DockerClient) -> list[str]:
    """Return the ids of such networks, the oldest first: all workers use that one."""
    found: list[dict[str, Any]] = client.api.networks(filters={"label": f"{LABEL}=checks"})
    apart = [each for each in found if (each.get("Options") or {}).get(ICC) == "false"]
    return [
        str(each["Id"]) for each in sorted(apart, key=lambda each: (each["Created"], each["Id"]))
    ]


def _remove_unused(client: DockerClient, network: str) -> None:
    try:
        client.api.remove_network(network)
    except NotFound:
        return
    except APIError as error:
        # A run of another worker has begun in it: it stays, as separate as the first one.
        if error.status_code != 403:
            raise
