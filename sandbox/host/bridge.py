"""Find the address at which containers reach this machine."""

import socket
from ipaddress import ip_network

import docker
from docker.errors import DockerException


def bridge_address(client: docker.DockerClient) -> str:
    """Return this machine's address on Docker's default bridge; empty if it has none there.

    That is so where no engine answers, or where it runs on another machine, as with Docker Desktop.
    """
    try:
        network = client.networks.get("bridge")
    except (DockerException, OSError):
        return ""
    gateways = (_gateway(one) for one in network.attrs["IPAM"]["Config"] or [])
    return next((gateway for gateway in gateways if _is_local(gateway)), "")


def _gateway(addresses: dict[str, str]) -> str:
    """Return the gateway of a range; an engine tells only the range until it starts again."""
    return addresses.get("Gateway") or str(next(ip_network(addresses["Subnet"]).hosts()))


def _is_local(address: str) -> bool:
    # Only an address of this machine can be bound. Services listen on IPv4.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
