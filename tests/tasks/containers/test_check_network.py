"""The network of checks, on a real engine: one for all, in which nobody reaches another."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from docker.errors import APIError

from delivery.errors import ConfigurationError
from sandbox.host.engine import docker_engine
from tasks.containers import check_network as networks
from tasks.containers.check_network import ICC, LABEL, check_network


@pytest.fixture
def client(monkeypatch):
    """An engine on which no run has made the network yet: this test's has another label."""
    monkeypatch.setattr(networks, "LABEL", "kanvaro.network-of-a-test")
    made = docker_engine().client()
    yield made
    for network in of_this_test(made):
        made.api.remove_network(network["Id"])
    made.close()


def of_this_test(client):
    return client.api.networks(filters={"label": networks.LABEL})


def test_it_is_made_once_and_keeps_its_containers_apart(client):
    first = check_network(client)

    assert check_network(client) == first
    [made] = of_this_test(client)
    assert made["Options"][ICC] == "false"
    assert not made["Internal"], "it leads out"


def test_workers_that_make_it_at_the_same_moment_use_one(client):
    with ThreadPoolExecutor(4) as workers:
        used = set(workers.map(lambda _: check_network(docker_engine().client()), range(4)))

    assert len(used) == 1
    assert len(of_this_test(client)) == 1


def test_one_that_somebody_made_without_the_separation_is_not_used(client):
    label = {networks.LABEL: "checks"}
    open_one = client.api.create_network("kanvaro-checks", labels=label)["Id"]

    assert check_network(client) != open_one


def test_an_engine_that_cannot_keep_them_apart_is_named(client, monkeypatch):
    def refused(*_, **__):
        raise APIError("refused", explanation="please ensure that br_netfilter is loaded")

    monkeypatch.setattr(client.api, "create_network", refused)

    with pytest.raises(ConfigurationError, match="br_netfilter"):
        check_network(client)


def test_its_label_is_no_label_of_a_run():
    """What carries a run's label is removed with the run."""
    assert LABEL not in ("kanvaro.run", "kanvaro.owner")
