"""The route function: every branch of deployments/aws/route.js, run from that file."""

import copy
import json
import re

import httpx
import pytest

from sandbox.edge import Edge
from sandbox.edge.distribution import FUNCTION_FILE

ROUTE = {
    "version": 7,
    "token": 3,
    "live": "blue",
    "next": "green",
    "share": 10,
    "epoch": 5,
    "hosts": {"blue": "abc.us-east-1.awsapprunner.com", "green": "127.0.0.1:8081"},
}
BLUE = {"host": "abc.us-east-1.awsapprunner.com", "port": 443, "protocol": "https"}
GREEN = {"host": "127.0.0.1", "port": 8081, "protocol": "http"}
COOKIE = "kanvaro-viewer"
SENT = {
    "method": "GET",
    "uri": "/",
    "querystring": {},
    "headers": {"host": {"value": "kanvaro.example"}, "user-agent": {"value": "a browser"}},
    "cookies": {},
}


def event(kind="viewer-request", *, cookie=None, ip="192.0.2.1", **headers):
    request = copy.deepcopy(SENT)
    for name, value in headers.items():
        request["headers"][name.replace("_", "-")] = {"value": value}
    if cookie is not None:
        request["cookies"][COOKIE] = {"value": cookie}
    made = {
        "version": "1.0",
        "context": {"requestId": "request-1", "eventType": kind},
        "viewer": {"ip": ip},
        "request": request,
    }
    if kind == "viewer-response":
        made["response"] = {"statusCode": 200, "headers": {}, "cookies": {}}
    return made


def viewer(number):
    return f"{number:016x}"


@pytest.fixture
def run(running_edge):
    """Runs the function once, over a document, a text, or None for an empty store."""

    def once(asked, route=ROUTE):
        text = json.dumps(route) if isinstance(route, dict) else route
        return running_edge.control_endpoint.try_function(asked, route=text)

    return once


@pytest.fixture
def goes_to_green(run):
    def say(number, **changes):
        return run(event(cookie=viewer(number)), ROUTE | changes)["origin"] == GREEN

    return say


# --- the viewer's request ---


def test_without_a_shift_everybody_goes_to_the_live_colour(run):
    for number in range(20):
        assert run(event(cookie=viewer(number)), ROUTE | {"share": 0})["origin"] == BLUE


def test_with_the_whole_share_everybody_goes_to_the_next_colour(run):
    for number in range(20):
        assert run(event(cookie=viewer(number)), ROUTE | {"share": 100})["origin"] == GREEN


def test_a_host_with_a_port_is_spoken_to_in_http_and_one_without_in_https(run):
    assert run(event(), ROUTE | {"share": 0})["origin"] == BLUE
    assert run(event(), ROUTE | {"share": 100})["origin"] == GREEN


def test_the_origin_is_told_the_colour_and_the_public_name(run):
    headers = run(event(), ROUTE | {"share": 100})["result"]["headers"]
    assert headers["x-kanvaro-colour"] == {"value": "green"}
    assert headers["x-forwarded-host"] == {"value": "kanvaro.example"}
    assert headers["host"] == {"value": "kanvaro.example"}


def test_a_viewer_with_a_cookie_stays_where_he_is_from_any_address_and_browser(run):
    for number in range(30):
        known = viewer(number)
        places = [
            run(event(cookie=known, ip=ip, user_agent=agent), ROUTE | {"share": 50})["origin"]
            for ip, agent in (("192.0.2.1", "one"), ("198.51.100.9", "two"))
        ]
        assert places[0] == places[1]


def test_a_viewer_without_a_cookie_is_known_by_address_and_browser(run):
    half = ROUTE | {"share": 50}
    by_address = [run(event(ip=f"192.0.2.{n}"), half)["origin"] for n in range(40)]
    again = [run(event(ip=f"192.0.2.{n}"), half)["origin"] for n in range(40)]
    by_browser = [run(event(user_agent=f"browser {n}"), half)["origin"] for n in range(40)]
    assert by_address == again
    for places in by_address, by_browser:
        assert BLUE in places
        assert GREEN in places


def test_a_viewer_without_any_browser_name_is_served(run):
    asked = event()
    del asked["request"]["headers"]["user-agent"]
    assert run(asked, ROUTE | {"share": 0})["origin"] == BLUE


@pytest.mark.parametrize("cookie", ["", "short", "X" * 16, "0" * 17, "0123456789abcdeF"])
def test_a_cookie_that_we_did_not_make_counts_for_nothing(run, cookie):
    half = ROUTE | {"share": 50}
    for number in range(12):
        ip = f"192.0.2.{number}"
        assert run(event(cookie=cookie, ip=ip), half)["origin"] == run(event(ip=ip), half)["origin"]


def test_a_growing_share_moves_nobody_back(goes_to_green):
    moved = set()
    for share in (0, 1, 5, 20, 50, 80, 99, 100):
        now = {number for number in range(60) if goes_to_green(number, share=share)}
        assert moved <= now
        moved = now
    assert len(moved) == 60


def test_another_epoch_draws_other_lots(goes_to_green):
    first = [goes_to_green(number, share=50, epoch=5) for number in range(60)]
    second = [goes_to_green(number, share=50, epoch=6) for number in range(60)]
    assert 15 < sum(a != b for a, b in zip(first, second, strict=True)) < 45


# --- what goes wrong ---


@pytest.mark.parametrize(
    "route",
    [
        None,
        "",
        "not JSON",
        "null",
        "[]",
        '"blue"',
        ROUTE | {"live": 1},
        ROUTE | {"next": None},
        ROUTE | {"share": "10"},
        ROUTE | {"share": -1},
        ROUTE | {"share": 101},
        ROUTE | {"epoch": "5"},
        ROUTE | {"hosts": None},
        ROUTE | {"hosts": {}},
        ROUTE | {"live": "toString", "share": 0},
        ROUTE | {"live": "red", "share": 0},
        ROUTE | {"next": "red", "share": 100},
        ROUTE | {"hosts": {"blue": "b", "green": ""}, "share": 100},
        ROUTE | {"hosts": {"blue": "b", "green": "http://evil/"}, "share": 100},
        ROUTE | {"hosts": {"blue": "b", "green": 7}, "share": 100},
    ],
    ids=str,
)
def test_a_document_that_makes_no_sense_leaves_it_to_the_default_origin(run, route):
    done = run(event(), route)
    assert done["origin"] is None
    expected = copy.deepcopy(SENT)
    expected["headers"]["x-forwarded-host"] = {"value": "kanvaro.example"}
    assert done["result"] == expected


def test_a_store_that_cannot_be_read_leaves_it_to_the_default_origin(running_edge):
    for kind in ("viewer-request", "viewer-response"):
        asked = event(kind)
        done = running_edge.control_endpoint.try_function(asked)
        assert done["origin"] is None
        assert "x-kanvaro-colour" not in done["result"]["headers"]


def test_what_a_client_says_of_its_colour_is_not_believed(run):
    claims = {"x_kanvaro_colour": "green", "x_kanvaro_request": "request-1"}
    for route, expected in ((ROUTE | {"share": 0}, "blue"), (None, None)):
        headers = run(event(x_forwarded_host="evil", **claims), route)["result"]["headers"]
        assert headers.get("x-kanvaro-colour", {}).get("value") == expected
        assert headers.get("x-kanvaro-request", {}).get("value") == (expected and "request-1")
        assert headers["x-forwarded-host"] == {"value": "kanvaro.example"}


def test_a_request_without_a_host_is_served(run):
    asked = event()
    del asked["request"]["headers"]["host"]
    assert run(asked, ROUTE | {"share": 0})["origin"] == BLUE


# --- the answer to the viewer ---


def test_during_a_shift_a_new_viewer_gets_a_cookie(run):
    [(name, cookie)] = run(event("viewer-response"))["result"]["cookies"].items()
    assert name == COOKIE
    assert re.fullmatch("[0-9a-f]{16}", cookie["value"])
    wanted = {"Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=604800"}
    assert set(cookie["attributes"].split("; ")) == wanted


def test_the_cookie_keeps_the_viewer_where_he_already_is(run):
    for number in range(40):
        ip, half = f"192.0.2.{number}", ROUTE | {"share": 50}
        before = run(event(ip=ip), half)["origin"]
        given = run(event("viewer-response", ip=ip), half)["result"]["cookies"][COOKIE]["value"]
        assert run(event(cookie=given, ip="203.0.113.1"), half)["origin"] == before


def test_a_viewer_with_a_valid_cookie_gets_no_other(run):
    assert run(event("viewer-response", cookie=viewer(1)))["result"]["cookies"] == {}


def test_a_viewer_with_a_broken_cookie_gets_a_good_one(run):
    assert COOKIE in run(event("viewer-response", cookie="broken"))["result"]["cookies"]


@pytest.mark.parametrize(
    "plain",
    [{"share": 0}, {"share": 100}, {"live": "green", "next": "green", "share": 50}],
    ids=str,
)
def test_on_a_plain_day_no_cookie_is_set(run, plain):
    assert run(event("viewer-response"), ROUTE | plain)["result"]["cookies"] == {}


def test_the_answer_names_the_colour_that_the_request_was_given(run):
    seen = event("viewer-response", x_kanvaro_colour="green", x_kanvaro_request="request-1")
    assert run(seen)["result"]["headers"]["x-kanvaro-colour"] == {"value": "green"}


def test_the_answer_repeats_no_colour_that_a_client_made_up(run):
    seen = event("viewer-response", x_kanvaro_colour="pink", x_kanvaro_request="guessed")
    assert "x-kanvaro-colour" not in run(seen)["result"]["headers"]
    assert "x-kanvaro-colour" not in run(event("viewer-response"))["result"]["headers"]


# --- the runtime ---


def test_the_file_fits_a_cloudfront_function():
    assert len(FUNCTION_FILE.read_bytes()) <= 10 * 1024


@pytest.mark.parametrize(
    "lacking",
    [
        r"\?\.(?!\d)",
        r"\?\?",
        r"\bclass\b",
        r"\bof\b",
        r"\.\.\.",
        r"\b(const|let|var)\s*[\[{]",
        r"\bfunction\b[^(]*\([^)]*=",
        r"\b(require|fetch|process|setTimeout|eval|Promise)\b",
        r"\([^()]*\bawait\b",
        r"\bexport\b",
    ],
)
def test_the_file_uses_nothing_that_cloudfronts_runtime_lacks(lacking):
    code = re.sub(r"//.*", "", FUNCTION_FILE.read_text())
    assert not re.search(lacking, code)


@pytest.mark.parametrize(
    "name", ["process", "require", "fetch", "setTimeout", "Buffer", "WebAssembly", "URL"]
)
def test_the_sandbox_lacks_what_cloudfront_lacks(tmp_path, aws, distribution, name):
    """A function that reads the name fails there, and so it does here."""
    file = tmp_path / "function.js"
    file.write_text(f"async function handler(event) {{ {name}; return event.request; }}")
    with Edge(aws.endpoint, distribution, locations=1, function=file) as edge:
        assert httpx.get(edge.url).status_code == 503
        with pytest.raises(ValueError, match=f"{name} is not defined"):
            edge.control_endpoint.try_function(event(), route=None)
