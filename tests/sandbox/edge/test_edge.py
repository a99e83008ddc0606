"""The edge: who is sent where, when each location learns of it, and the program itself."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from sandbox.aws.aws import Aws
from sandbox.edge import Edge, ensure_distribution
from sandbox.edge.distribution import FUNCTION_FILE
from sandbox.parts.errors import SandboxPartFailed
from tests.sandbox.edge.client import Client, received
from tests.sandbox.edge.routes import Routes, becomes_true

# --- who goes where ---


def test_a_switch_takes_effect_on_a_kept_connection(client, routes):
    assert client.colour() == "blue"
    routes.put(live="green", next="green")
    assert client.colour() == "green"
    assert client.ask()["x-kanvaro-colour"] == "green"


@pytest.mark.parametrize("share", [10, 50])
def test_about_the_wanted_share_of_2000_viewers_is_moved(client, routes, share):
    routes.put(share=share)
    moved = sum(client.colour(number) == "green" for number in range(2000))
    assert abs(moved - 20 * share) <= 4 * (20 * share * (100 - share) / 100) ** 0.5


def test_a_growing_share_moves_nobody_back_and_everybody_in_the_end(client, routes):
    moved = set()
    for share in (5, 30, 70, 100):
        routes.put(share=share)
        now = {number for number in range(300) if client.colour(number) == "green"}
        assert moved < now
        moved = now
    assert len(moved) == 300


def test_a_viewer_that_takes_its_cookie_stays_whatever_its_browser_says(client, routes):
    routes.put(share=50)
    colours = set()
    for number in range(20):
        first = client.ask(user_agent=f"browser {number}")
        given = re.search("kanvaro-viewer=([0-9a-f]{16});", first["set-cookie"])[1]
        colour = json.loads(first.text)["revision"]
        assert client.colour(int(given, 16), user_agent="another") == colour
        colours.add(colour)
    assert colours == {"blue", "green"}


def test_a_plain_day_sets_no_cookie(client, routes):
    assert client.ask()["set-cookie"] is None


def test_a_store_that_cannot_be_read_leaves_it_to_the_colour_promoted_last(client, edge, routes):
    routes.put(live="green", next="green")
    edge.fail_store()
    before = edge.requests["by_default"]
    answer = client.ask()
    assert json.loads(answer.text)["revision"] == "blue"
    assert answer["x-kanvaro-colour"] is None
    assert edge.requests["by_default"] == before + 1
    edge.fail_store(False)
    assert client.colour() == "green"


def test_the_colour_promoted_last_is_the_distributions_origin(client, edge, routes):
    routes.put_text("no document")
    assert client.colour() == "blue"
    routes.promote("green")
    assert client.colour() == "green"


def test_a_document_that_is_taken_away_leaves_it_to_the_default_origin(client, routes):
    routes.put(live="green", next="green")
    routes.forget()
    assert client.colour() == "blue"


def test_a_client_that_names_its_colour_is_not_believed(client, routes):
    answer = client.ask(x_kanvaro_colour="green", x_forwarded_host="evil.example")
    assert json.loads(answer.text)["revision"] == "blue"
    assert received(answer)["x-kanvaro-colour"] == "blue"
    assert answer["x-kanvaro-colour"] == "blue"
    assert (
        received(answer)["x-forwarded-host"]
        == client.connection.host + f":{client.connection.port}"
    )


# --- locations ---


def test_connections_are_spread_over_the_locations(clients):
    assert {client.ask()["x-amz-cf-pop"] for client in clients} == {"SBX1", "SBX2", "SBX3"}


def test_each_location_learns_of_a_change_in_its_own_time(clients, edge, routes):
    edge.set_propagation(1.5)
    routes.put(live="green", next="green", wait=False)
    began = time.monotonic()
    learned = {}
    while len(learned) < 3 and time.monotonic() < began + 20:
        for client in clients:
            answer = client.ask()
            if json.loads(answer.text)["revision"] == "green":
                learned.setdefault(answer["x-amz-cf-pop"], time.monotonic() - began)
        time.sleep(0.01)
    times = sorted(learned.values())
    assert len(times) == 3
    assert times[-1] - times[0] > 0.1
    assert all(0 <= place["delay_s"] <= 1.5 for place in edge.control_endpoint.state["locations"])


def test_an_old_document_that_comes_late_does_not_undo_a_newer_one(clients, edge, routes):
    edge.set_propagation(1)
    for _ in range(5):
        routes.put(live="green", next="green", wait=False)
        time.sleep(0.15)  # the edge looks every 100 ms
    edge.set_propagation(0)
    last = routes.put(live="blue", next="blue")
    deadline = time.monotonic() + 1.2
    while time.monotonic() < deadline:
        assert routes.seen() == [last] * 3
        time.sleep(0.02)
    assert [client.colour() for client in clients] == ["blue"] * 3


def test_two_edges_with_the_same_seed_are_as_slow_as_each_other(aws, distribution, routes):
    def delays(seed):
        with Edge(aws.endpoint, distribution, seed=seed, locations=8) as edge:
            edge.set_propagation(0.8)
            text = routes.put(share=7)
            becomes_true(
                lambda: all(p["route"] == text for p in edge.control_endpoint.state["locations"])
            )
            places = edge.control_endpoint.state["locations"]
            routes.put()
            return [place["delay_s"] for place in places]

    assert delays(5) == delays(5) != delays(6)


# --- the program ---


def test_the_counts_tell_who_answered(client, edge, routes):
    before = edge.requests
    for _ in range(3):
        client.ask()
    client.ask("/status/500")
    now = edge.requests
    blue = routes.hosts["blue"]
    assert now["total"] - before["total"] == 4
    assert now["origins"][blue] - before["origins"].get(blue, 0) == 4
    assert now["statuses"]["500"] - before["statuses"].get("500", 0) == 1


@pytest.mark.parametrize("seconds", [-1, 4000, "soon"])
def test_an_invalid_request_is_refused(edge, seconds):
    with pytest.raises(ValueError, match="propagation_s"):
        edge.set_propagation(seconds)
    assert edge.control_endpoint.state["propagation_s"] == 0


def test_it_keeps_what_it_knows_when_the_account_is_gone(aws, distribution, routes, blue):
    """The edge's copy is on the edge: a control plane that is away changes nothing."""
    with Aws() as account:
        ids = ensure_distribution(account)
        with Edge(account.endpoint, ids) as edge, Client(edge.url) as client:
            assert client.ask().status == 502
            Routes(account, ids, edge, {"blue": blue.host}).put(next="blue")
            os.kill(account.pid, signal.SIGKILL)
            becomes_true(lambda: edge.control_endpoint.state["store_reads"]["bad"] > 2)
            assert client.colour() == "blue"


def test_nothing_is_left_after_an_orderly_stop(aws, distribution):
    with Edge(aws.endpoint, distribution) as edge:
        pid, url = edge.pid, edge.url
        assert Client(url).ask().status
    assert not os.path.exists(f"/proc/{pid}")
    with pytest.raises(ConnectionRefusedError):
        Client(url).ask()


def test_it_dies_with_a_parent_that_was_killed(aws, distribution):
    script = (
        "import sys, time\nfrom sandbox.edge import Distribution, Edge\n"
        "with Edge(sys.argv[1], Distribution(*sys.argv[2:])) as edge:\n"
        "    print(edge.pid, flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", script, aws.endpoint, distribution.store_arn, distribution.id]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert os.path.exists(f"/proc/{pid}")
        parent.send_signal(signal.SIGKILL)
    becomes_true(lambda: not os.path.exists(f"/proc/{pid}"))


def test_a_function_that_does_not_compile_is_told_at_once(aws, distribution, tmp_path):
    file = tmp_path / "broken.js"
    file.write_text("async function handler( {")
    with (
        pytest.raises(SandboxPartFailed, match="SyntaxError"),
        Edge(aws.endpoint, distribution, function=file),
    ):
        pass


def test_a_function_that_changes_what_it_may_only_read_is_a_502(aws, distribution, tmp_path):
    file = tmp_path / "bold.js"
    file.write_text(
        "function handler(event) { event.request.headers.host.value = 'x'; return event.request; }"
    )
    with Edge(aws.endpoint, distribution, function=file) as edge, Client(edge.url) as client:
        assert client.ask().status == 502


def test_an_edge_that_ended_by_itself_is_noticed(aws, distribution):
    with Edge(aws.endpoint, distribution) as edge:
        edge.check()
        os.kill(edge.pid, signal.SIGKILL)
        becomes_true(lambda: edge._program.poll() is not None)
        with pytest.raises(SandboxPartFailed, match="has ended"):
            edge.check()


def test_a_second_seed_changes_nothing(aws, distribution):
    assert ensure_distribution(aws) == distribution
    cloudfront = aws.client("cloudfront")
    [one] = cloudfront.list_distributions()["DistributionList"]["Items"]
    assert one["Id"] == distribution.id


def test_the_distribution_runs_the_published_function_for_both_viewer_events(aws, distribution):
    cloudfront = aws.client("cloudfront")
    published = cloudfront.get_function(Name="kanvaro-route", Stage="LIVE")["FunctionCode"].read()
    assert published == FUNCTION_FILE.read_bytes()
    config = cloudfront.get_distribution_config(Id=distribution.id)["DistributionConfig"]
    associated = config["DefaultCacheBehavior"]["FunctionAssociations"]["Items"]
    assert {each["EventType"] for each in associated} == {"viewer-request", "viewer-response"}
