"""Provide an edge with two origins that report which of them answered."""

import pytest

from sandbox.aws.aws import Aws
from sandbox.edge import Edge, ensure_distribution
from tests.sandbox.edge.client import Client
from tests.sandbox.edge.origins import Origin
from tests.sandbox.edge.routes import Routes


@pytest.fixture(scope="session")
def aws():
    with Aws() as account:
        yield account


@pytest.fixture(scope="session")
def distribution(aws):
    return ensure_distribution(aws)


@pytest.fixture(scope="session")
def running_edge(aws, distribution):
    with Edge(aws.endpoint, distribution, origin_patience_s=2) as edge:
        yield edge


@pytest.fixture(scope="session")
def blue():
    with Origin("blue") as origin:
        yield origin


@pytest.fixture(scope="session")
def green():
    with Origin("green") as origin:
        yield origin


@pytest.fixture
def edge(running_edge):
    """Provide the session's edge, without the faults that an earlier test may have left."""
    running_edge.fail_store(False)
    running_edge.set_propagation(0)
    return running_edge


@pytest.fixture
def routes(aws, distribution, edge, blue, green):
    """Provide a writer of route documents; at first everything goes to blue."""
    routes = Routes(aws, distribution, edge, {"blue": blue.host, "green": green.host})
    routes.promote("blue")
    routes.put(share=0, next="blue")
    return routes


@pytest.fixture
def client(edge):
    with Client(edge.url) as client:
        yield client


@pytest.fixture
def clients(edge):
    """Provide one client at each location."""
    opened = {}
    while len(opened) < 3:
        client = Client(edge.url)
        name = client.ask()["x-amz-cf-pop"]
        if name in opened:
            client.connection.close()
        else:
            opened[name] = client
    yield list(opened.values())
    for client in opened.values():
        client.connection.close()
