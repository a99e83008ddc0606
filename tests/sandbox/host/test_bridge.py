"""The address at which containers reach this machine."""

from contextlib import closing
from types import SimpleNamespace

import docker
import pytest

from sandbox.host.bridge import bridge_address


def engine_with(*ranges):
    network = SimpleNamespace(attrs={"IPAM": {"Config": list(ranges) or None}})
    return SimpleNamespace(networks=SimpleNamespace(get=lambda name: network))


@pytest.mark.parametrize(
    ("ranges", "address"),
    [
        ([{"Subnet": "127.0.0.0/8", "Gateway": "127.0.0.1"}], "127.0.0.1"),
        ([{"Gateway": "fd00::1"}, {"Gateway": "127.0.0.2"}], "127.0.0.2"),
        # The engine runs on another machine, so its bridge is not here.
        ([{"Subnet": "192.0.2.0/24", "Gateway": "192.0.2.1"}], ""),
        ([{"Subnet": "192.0.2.0/24"}], ""),
        ([], ""),
    ],
)
def test_the_gateway_counts_only_if_it_is_an_address_of_this_machine(ranges, address):
    assert bridge_address(engine_with(*ranges)) == address


def test_there_is_none_where_no_engine_answers(tmp_path):
    with closing(docker.DockerClient(base_url=f"unix://{tmp_path}/no.sock", version="1.41")) as no:
        assert bridge_address(no) == ""
