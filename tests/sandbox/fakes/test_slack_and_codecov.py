"""The fake Slack, GitHub and Codecov answer the clients of the real services."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook import WebhookClient

from sandbox.fakes import FakeServices

REVISION = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "kanvaro/kanvaro"


@pytest.fixture(scope="module")
def server():
    with FakeServices(channels=("deployments", "incidents")) as fakes:
        yield fakes


@pytest.fixture
def fakes(server):
    for service in (server.slack, server.github, server.codecov):
        service.forget()
        service.faults.clear()
    return server


@pytest.fixture
def slack(fakes):
    return WebClient(fakes.slack.token, base_url=fakes.slack_url)


@pytest.fixture
def github(fakes):
    headers = {"Authorization": "Bearer anything"}
    with httpx.Client(base_url=fakes.github_url, headers=headers) as client:
        yield client


def _section(text):
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _refusal(call, **arguments):
    with pytest.raises(SlackApiError) as refused:
        call(**arguments)
    return refused.value.response


# --- Slack: messages ---


def test_a_reply_stands_in_the_thread_of_its_first_message(fakes, slack):
    first = slack.chat_postMessage(channel="#deployments", text="started")
    slack.chat_postMessage(channel=first["channel"], text="deployed", thread_ts=first["ts"])
    slack.chat_postMessage(channel="incidents", text="elsewhere")
    [[head, reply]] = fakes.slack.threads("deployments")
    assert (head.text, reply.text, reply.thread_ts) == ("started", "deployed", head.ts)
    told = slack.conversations_replies(channel=first["channel"], ts=first["ts"])["messages"]
    assert [message["text"] for message in told] == ["started", "deployed"]


def test_the_answer_to_a_post_is_what_slack_documents(slack):
    answer = slack.chat_postMessage(channel="deployments", text="hello", blocks=[_section("*hi*")])
    assert answer["ok"] is True
    assert answer["channel"].startswith("C")
    assert answer["message"]["ts"] == answer["ts"]
    assert answer["message"]["blocks"] == [_section("*hi*")]
    assert {"type", "user", "bot_id", "text", "ts"} <= answer["message"].keys()


def test_timestamps_are_unique_and_rise(slack):
    stamps = [slack.chat_postMessage(channel="deployments", text="x")["ts"] for _ in range(20)]
    assert stamps == sorted(set(stamps))


def test_an_update_replaces_the_message_in_place(fakes, slack):
    posted = slack.chat_postMessage(channel="deployments", text="running", blocks=[_section("…")])
    where = {"channel": posted["channel"], "ts": posted["ts"]}
    slack.chat_update(**where, text="done", blocks=[_section("done")])
    [[message]] = fakes.slack.threads()
    assert (message.text, message.blocks, message.edits) == ("done", [_section("done")], 1)


def test_an_update_with_a_text_alone_takes_the_blocks_away(fakes, slack):
    posted = slack.chat_postMessage(channel="deployments", text="running", blocks=[_section("…")])
    slack.chat_update(channel=posted["channel"], ts=posted["ts"], text="done")
    assert fakes.slack.threads()[0][0].blocks == []


def test_history_tells_the_newest_first_and_in_pages(slack):
    for number in range(5):
        posted = slack.chat_postMessage(channel="deployments", text=str(number))
    slack.chat_postMessage(channel="deployments", text="a reply", thread_ts=posted["ts"])
    pages = slack.conversations_history(channel=posted["channel"], limit=2)
    assert [[m["text"] for m in page["messages"]] for page in pages] == [
        ["4", "3"],
        ["2", "1"],
        ["0"],
    ]


def test_a_form_says_the_same_as_json(fakes):
    form = {"channel": "deployments", "text": "a form", "token": fakes.slack.token}
    form["blocks"] = '[{"type": "divider"}]'
    assert httpx.post(f"{fakes.slack_url}chat.postMessage", data=form).json()["ok"] is True
    assert fakes.slack.threads()[0][0].blocks == [{"type": "divider"}]


def test_the_asynchronous_client_works_as_well(fakes):
    client = AsyncWebClient(fakes.slack.token, base_url=fakes.slack_url)
    asyncio.run(client.chat_postMessage(channel="deployments", text="from a coroutine"))
    assert fakes.slack.threads()[0][0].text == "from a coroutine"


def test_auth_test_says_who_we_are(slack):
    assert slack.auth_test()["user"] == "kanvaro"


# --- Slack: what it refuses ---


@pytest.mark.parametrize(("token", "error"), [("", "not_authed"), ("xoxb-no", "invalid_auth")])
def test_a_wrong_token_is_refused(fakes, token, error):
    stranger = WebClient(token, base_url=fakes.slack_url)
    assert _refusal(stranger.auth_test)["error"] == error
    assert _refusal(stranger.chat_postMessage, channel="deployments", text="x")["error"] == error
    assert fakes.slack.messages == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "#nowhere", "text": "x"}, "channel_not_found"),
        ({"channel": "deployments", "text": ""}, "no_text"),
        ({"channel": "deployments", "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": "deployments", "text": "x", "thread_ts": "1.000001"}, "thread_not_found"),
        ({"channel": "deployments", "text": "x", "blocks": "no json"}, "invalid_blocks_format"),
        ({"channel": "deployments", "text": "x", "blocks": ["x"]}, "invalid_blocks_format"),
    ],
)
def test_a_message_slack_would_not_take_is_refused(fakes, slack, arguments, error):
    assert _refusal(slack.api_call, api_method="chat.postMessage", json=arguments)["error"] == error
    assert fakes.slack.messages == []


@pytest.mark.parametrize(
    ("block", "place"),
    [
        (_section("x" * 3001), "/blocks/0/text/text"),
        (_section(""), "/blocks/0/text/text"),
        ({"type": "section"}, "/blocks/0"),
        (
            {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}},
            "/blocks/0/text/text",
        ),
        ({"type": "header", "text": {"type": "mrkdwn", "text": "x"}}, "/blocks/0/text/type"),
        (
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11},
            "/blocks/0/fields",
        ),
        (
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]},
            "/blocks/0/fields/0/text",
        ),
        ({"type": "context", "elements": []}, "/blocks/0/elements"),
        ({"type": "sparkles"}, "/blocks/0/type"),
        ({"type": "divider", "text": "x"}, "/blocks/0"),
        (
            {
                "type": "actions",
                "elements": [
                    {
                        "type": "button",
                        "text": {"type": "plain_text", "text": "x"},
                        "url": "javascript:alert(1)",
                    }
                ],
            },
            "/blocks/0/elements/0/url",
        ),
    ],
)
def test_a_block_beyond_its_documented_size_is_refused_by_its_place(slack, block, place):
    answer = _refusal(slack.chat_postMessage, channel="deployments", text="x", blocks=[block])
    assert answer["error"] == "invalid_blocks"
    assert f"[json-pointer:{place}]" in answer["response_metadata"]["messages"][0]


def test_blocks_of_just_the_documented_size_are_taken(slack):
    fields = {"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2000}] * 10}
    header = {"type": "header", "text": {"type": "plain_text", "text": "x" * 150}}
    blocks = [header, fields, *[_section("x" * 3000)] * 48]
    assert slack.chat_postMessage(channel="deployments", text="x", blocks=blocks)["ok"]
    more = _refusal(
        slack.chat_postMessage, channel="deployments", text="x", blocks=[*blocks, fields]
    )
    assert more["error"] == "invalid_blocks"


def test_only_posting_accepts_a_channel_by_name(slack):
    posted = slack.chat_postMessage(channel="deployments", text="x")
    answer = _refusal(slack.chat_update, channel="deployments", ts=posted["ts"], text="y")
    assert answer["error"] == "channel_not_found"


def test_files_are_refused_with_a_reason(slack):
    answer = _refusal(slack.files_getUploadURLExternal, filename="log.txt", length=3)
    assert answer["error"] == "unknown_method"
    assert "takes no files" in answer["response_metadata"]["messages"][0]


# --- Slack: webhooks ---


def test_a_webhook_posts_in_its_channel(fakes):
    answer = WebhookClient(fakes.slack_webhook_url).send(text="from a hook", blocks=[_section("h")])
    assert (answer.status_code, answer.body) == (200, "ok")
    assert fakes.slack.threads("deployments")[0][0].text == "from a hook"


def test_a_webhook_refuses_what_is_not_its_own(fakes):
    wrong = fakes.slack_webhook_url[:-4] + "0000"
    assert WebhookClient(wrong).send(text="x").body == "invalid_token"
    assert httpx.post(fakes.slack_webhook_url, content="x").status_code == 400
    assert httpx.post(fakes.slack_webhook_url, json={}).text == "no_text"
    assert fakes.slack.messages == []


# --- Slack: the page ---


def test_the_page_shows_each_thread_as_a_person_reads_it(fakes, slack):
    link = "<https://prefect.example/runs/a_b_c|the run>"
    button = {"type": "button", "text": {"type": "plain_text", "text": "Open"}}
    first = slack.chat_postMessage(
        channel="deployments",
        text="fallback",
        blocks=[
            {"type": "header", "text": {"type": "plain_text", "text": ":rocket: Deployed"}},
            _section(f"*bold* _italic_ ~gone~ `a*b*c` {link} &lt;b&gt;\n> quoted"),
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Revision*\n`0123`"}]},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "42 s"}]},
            {"type": "divider"},
            {
                "type": "actions",
                "elements": [button | {"url": "https://app.example/?a=1&b=2", "style": "primary"}],
            },
        ],
    )
    slack.chat_postMessage(channel="deployments", text="healthy", thread_ts=first["ts"])
    page = httpx.get(fakes.slack_page).text
    for part in (
        "<h3>🚀 Deployed</h3>",
        "<strong>bold</strong> <em>italic</em> <s>gone</s> <code>a*b*c</code>",
        '<a href="https://prefect.example/runs/a_b_c" rel="noreferrer">the run</a> &lt;b&gt;',
        "<blockquote>quoted</blockquote>",
        "<strong>Revision</strong>\n<code>0123</code>",
        '<a href="https://app.example/?a=1&amp;b=2" rel="noreferrer">Open</a>',
        "1 reply",
        "healthy",
    ):
        assert part in page
    assert "fallback" not in page


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<javascript:alert(1)|click>",
        "<https://x.example/\"onmouseover='alert(1)'|click>",
        "*<img src=x onerror=alert(1)>*",
        "`</code><script>alert(1)</script>`",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "\0000\000 <https://x.example|</a><script>alert(1)</script>>",
    ],
)
def test_hostile_text_is_shown_as_text(fakes, slack, hostile):
    posted = slack.chat_postMessage(channel="deployments", text=hostile)
    header = {"type": "header", "text": {"type": "plain_text", "text": hostile[:150]}}
    blocks = [header, _section(hostile)]
    slack.chat_postMessage(channel="deployments", text="x", blocks=blocks, thread_ts=posted["ts"])
    page = httpx.get(fakes.slack_page).text.split("<main>")[1]
    assert "alert(1)" in page
    for piece in ("<script", "<img", 'href="javascript', '"onmouseover', "'onmouseover"):
        assert piece not in page


def test_what_was_said_can_be_read_by_a_program_too(fakes, slack):
    slack.chat_postMessage(channel="deployments", text="hello")
    listing = httpx.get(f"{fakes.url}/slack.json").json()
    assert listing["channels"]["deployments"][0][0]["text"] == "hello"
    assert listing["channels"]["incidents"] == []


def test_no_page_shows_the_token(fakes):
    for path in ("slack", "slack.json", "github.json", "codecov.json"):
        page = httpx.get(f"{fakes.url}/{path}").text
        assert fakes.slack.token not in page
        assert fakes.slack.webhook_key not in page
    assert fakes.slack.token not in repr(fakes.slack)


# --- GitHub ---


def test_the_latest_status_of_each_context_decides(github):
    for context, state in [("lint", "pending"), ("unit", "success"), ("lint", "success")]:
        answer = github.post(
            f"/repos/{REPOSITORY}/statuses/{REVISION}",
            json={"state": state, "context": context, "target_url": "https://prefect.example"},
        )
        assert answer.status_code == 201
    combined = github.get(f"/repos/{REPOSITORY}/commits/{REVISION}/status").json()
    assert (combined["state"], combined["total_count"]) == ("success", 2)
    assert {s["context"]: s["state"] for s in combined["statuses"]} == {
        "lint": "success",
        "unit": "success",
    }
    every = github.get(f"/repos/{REPOSITORY}/commits/{REVISION}/statuses").json()
    assert [s["state"] for s in every] == ["success", "success", "pending"]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], "pending"),
        (["success", "pending"], "pending"),
        (["success", "error"], "failure"),
        (["pending", "failure"], "failure"),
        (["success"], "success"),
    ],
)
def test_statuses_amount_to_what_github_documents(github, states, expected):
    for context, state in enumerate(states):
        fields = {"state": state, "context": str(context)}
        github.post(f"/repos/{REPOSITORY}/statuses/{REVISION}", json=fields)
    combined = github.get(f"/repos/{REPOSITORY}/commits/{REVISION}/status").json()
    assert combined["state"] == expected


@pytest.mark.parametrize(
    ("revision", "fields", "status"),
    [
        (REVISION, {"state": "great"}, 422),
        (REVISION, {}, 422),
        (REVISION, {"state": "success", "description": "x" * 141}, 422),
        ("main", {"state": "success"}, 422),
        (REVISION, ["success"], 400),
    ],
)
def test_a_status_github_would_not_take_is_refused(fakes, github, revision, fields, status):
    answer = github.post(f"/repos/{REPOSITORY}/statuses/{revision}", json=fields)
    assert answer.status_code == status
    assert answer.json()["message"]
    assert not fakes.github.repository(REPOSITORY).statuses


def test_a_deployment_keeps_its_statuses(fakes, github):
    fakes.github.set_ref(REPOSITORY, "refs/heads/main", REVISION)
    made = github.post(f"/repos/{REPOSITORY}/deployments", json={"ref": "main"})
    assert made.status_code == 201
    deployment = made.json()
    assert (deployment["sha"], deployment["environment"]) == (REVISION, "production")
    for state in ("in_progress", "success"):
        fields = {"state": state, "environment_url": "https://app.example"}
        assert httpx.post(
            deployment["statuses_url"], json=fields, headers=github.headers
        ).is_success
    told = github.get(f"/repos/{REPOSITORY}/deployments/{deployment['id']}/statuses").json()
    assert [status["state"] for status in told] == ["success", "in_progress"]
    assert github.get(f"/repos/{REPOSITORY}/deployments", params={"sha": "0" * 40}).json() == []
    found = github.get(f"/repos/{REPOSITORY}/deployments", params={"sha": REVISION}).json()
    assert [one["id"] for one in found] == [deployment["id"]]


def test_a_deployment_of_an_unknown_ref_is_refused(github):
    answer = github.post(f"/repos/{REPOSITORY}/deployments", json={"ref": "nowhere"})
    assert (answer.status_code, answer.json()["message"]) == (422, "No ref found for: nowhere")
    assert github.get(f"/repos/{REPOSITORY}/deployments/77/statuses").status_code == 404


def test_refs_lead_to_revisions(fakes, github):
    fakes.github.set_ref(REPOSITORY, "refs/heads/main", REVISION)
    fakes.github.set_ref(REPOSITORY, "refs/tags/v1.0.0", REVISION)
    found = github.get(f"/repos/{REPOSITORY}/git/ref/heads/main").json()
    assert (found["ref"], found["object"]["sha"]) == ("refs/heads/main", REVISION)
    tags = github.get(f"/repos/{REPOSITORY}/git/matching-refs/tags/v").json()
    assert [tag["ref"] for tag in tags] == ["refs/tags/v1.0.0"]
    assert github.get(f"/repos/{REPOSITORY}/git/ref/heads/other").status_code == 404


def test_long_lists_come_in_pages_that_lead_on(github):
    for number in range(5):
        fields = {"state": "success", "context": str(number)}
        github.post(f"/repos/{REPOSITORY}/statuses/{REVISION}", json=fields)
    first = github.get(f"/repos/{REPOSITORY}/commits/{REVISION}/statuses", params={"per_page": 2})
    assert [s["context"] for s in first.json()] == ["4", "3"]
    last = github.get(first.links["last"]["url"])
    assert [s["context"] for s in last.json()] == ["0"]
    assert "next" not in last.links


def test_github_wants_a_token_and_says_what_it_does_not_serve(fakes, github):
    assert httpx.get(f"{fakes.github_url}/rate_limit").status_code == 401
    limit = github.get("/rate_limit")
    assert limit.json()["resources"]["core"]["limit"] == 5000
    assert limit.headers["X-RateLimit-Remaining"] == "5000"
    answer = github.post(f"/repos/{REPOSITORY}/pages", json={})
    assert answer.status_code == 501
    assert "does not serve POST" in answer.json()["message"]


# --- Codecov ---


def _codecov(fakes, folder, *arguments):
    cli = Path(sys.executable).with_name("codecovcli")
    common = ["--git-service", "github", "--slug", REPOSITORY, "--sha", REVISION, "--fail-on-error"]
    return subprocess.run(
        [cli, "--disable-telem", "--url", fakes.codecov_url, *arguments, *common, "-t", "any"],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_the_real_codecov_client_delivers_its_report(fakes, tmp_path):
    report = tmp_path / "lcov.info"
    report.write_text("TN:\nSF:page.tsx\nDA:1,1\nend_of_record\n")
    upload = ["do-upload", "--plugin", "noop", "--disable-search", "-f", "lcov.info", "-F", "unit"]
    for arguments in (["create-commit", "--branch", "main"], ["create-report"], upload):
        done = _codecov(fakes, tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
    [stored] = fakes.codecov.uploads.values()
    assert (stored.repository, stored.revision) == (REPOSITORY, REVISION)
    assert (stored.branch, stored.flags) == ("main", ["unit"])
    assert list(stored.files.values()) == [report.read_text()]


def test_codecov_down_fails_the_client(fakes, tmp_path):
    fakes.codecov.faults.add("server error", times=10)
    done = _codecov(fakes, tmp_path, "create-commit", "--branch", "main")
    assert done.returncode != 0
    assert fakes.codecov.commits == {}


def test_codecov_refuses_a_file_that_is_no_report(fakes):
    assert httpx.put(f"{fakes.codecov_url}/storage/unknown", content=b"{}").status_code == 404
    name = fakes.codecov.upload(REPOSITORY, REVISION, {})
    assert httpx.put(f"{fakes.codecov_url}/storage/{name}", content=b"{}").status_code == 400
    assert not fakes.codecov.uploads[name].stored


# --- Faults ---


def test_a_rate_limit_says_how_long_to_wait_and_passes(fakes, slack):
    fakes.slack.faults.add("rate limited", seconds=7)
    answer = _refusal(slack.chat_postMessage, channel="deployments", text="x")
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "7"
    assert answer["error"] == "ratelimited"
    assert slack.chat_postMessage(channel="deployments", text="x")["ok"]


def test_a_service_that_is_down_hears_nothing(fakes, github):
    fakes.github.faults.add("down", times=2)
    fields = {"state": "success"}
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            github.post(f"/repos/{REPOSITORY}/statuses/{REVISION}", json=fields)
    assert not fakes.github.repository(REPOSITORY).statuses
    assert github.post(f"/repos/{REPOSITORY}/statuses/{REVISION}", json=fields).status_code == 201


def test_a_lost_answer_was_carried_out_nevertheless(fakes, github):
    fakes.github.faults.add("answer lost")
    with pytest.raises(httpx.RemoteProtocolError):
        github.post(f"/repos/{REPOSITORY}/statuses/{REVISION}", json={"state": "success"})
    assert len(fakes.github.repository(REPOSITORY).statuses) == 1


def test_a_slow_service_answers_late(fakes, slack):
    fakes.slack.faults.add("slow", seconds=1)
    began = time.monotonic()
    assert slack.auth_test()["ok"]
    assert time.monotonic() - began >= 1


def test_a_fault_concerns_only_its_service_and_path(fakes, slack, github):
    fakes.slack.faults.add("server error", path="chat.update")
    assert slack.auth_test()["ok"]
    assert github.get("/rate_limit").is_success
    assert httpx.get(fakes.slack_page).is_success
    answer = httpx.post(f"{fakes.slack_url}chat.update")
    assert answer.status_code == 502


def test_faults_can_be_added_seen_and_forgotten_over_http(fakes):
    address = f"{fakes.url}/_sandbox/slack/faults"
    added = httpx.post(address, json={"kind": "down", "times": 3}).json()
    assert added == [
        {"kind": "down", "times": 3, "path": "", "seconds": 1, "method": "", "skip": 0}
    ]
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(f"{fakes.slack_url}auth.test")
    assert httpx.get(address).json()[0]["times"] == 2
    assert httpx.delete(address).json() == []
    assert httpx.post(f"{fakes.slack_url}auth.test").is_success


@pytest.mark.parametrize(
    "fields",
    [{}, {"kind": "tired"}, {"kind": "down", "times": 0}, {"kind": "down", "often": 1}, [], "x"],
)
def test_a_fault_nobody_knows_is_refused(fakes, fields):
    answer = httpx.post(f"{fakes.url}/_sandbox/github/faults", json=fields)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert fakes.github.faults.waiting() == []


def test_a_port_in_use_is_an_error_before_anything_starts(fakes):
    port = int(fakes.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"), FakeServices(port=port):
        pass
    assert httpx.get(fakes.slack_page).is_success
