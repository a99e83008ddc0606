"""A fake of Slack's Web API and incoming webhooks, as far as a delivery uses them.

Protocol: https://docs.slack.dev/reference/methods and, for webhooks,
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks. It is stricter than Slack
in one point: a reply must name the first message of a thread.
"""

import copy
import json
import secrets
import time
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from sandbox.fakes import block_kit
from sandbox.parts.faults import HttpFaults

TEAM, USER, BOT, APP = "T0SANDBOX", "U0KANVARO", "B0KANVARO", "A0KANVARO"
LONGEST_TEXT = 40_000


class Refused(Exception):
    """Slack answers `ok: false`; `error` is the documented code."""

    def __init__(self, error: str, *messages: str) -> None:
        super().__init__(error)
        self.error = error
        self.messages = list(messages)


@dataclass
class Message:
    """One message in its current form. `ts` identifies it in its channel, `thread_ts` its thread"""

    channel: str
    ts: str
    thread_ts: str | None
    text: str
    blocks: list[dict[str, Any]]
    attachments: list[dict[str, Any]]
    metadata: dict[str, Any] | None = None
    edits: int = 0

    def as_slack(self) -> dict[str, Any]:
        """Return the message as Slack's API shows it."""
        message_json: dict[str, Any] = {
            "type": "message",
            "user": USER,
            "bot_id": BOT,
            "app_id": APP,
            "team": TEAM,
            "ts": self.ts,
            "text": self.text,
        }
        for name in ("thread_ts", "blocks", "attachments", "metadata"):
            if value := getattr(self, name):
                message_json[name] = value
        if self.edits:
            message_json["edited"] = {"user": USER, "ts": self.ts}
        return copy.deepcopy(message_json)


@dataclass
class Slack:
    """A workspace with one bot. `token` and `webhook_path` are secrets, made at every start."""

    channel_names: tuple[str, ...] = ("deployments",)
    token: str = field(default_factory=lambda: f"xoxb-sandbox-{secrets.token_hex(12)}", repr=False)
    webhook_key: str = field(default_factory=lambda: secrets.token_hex(12), repr=False)
    faults: HttpFaults = field(
        default_factory=lambda: HttpFaults({"ok": False, "error": "ratelimited"}), repr=False
    )
    messages: list[Message] = field(default_factory=list)
    _last: int = 0
    _lock: RLock = field(default_factory=RLock, repr=False)

    @property
    def webhook_path(self) -> str:
        return f"/services/{TEAM}/{BOT}/{self.webhook_key}"

    @property
    def channels(self) -> dict[str, str]:
        """Return channel identifiers by name."""
        return {name: f"C{number:09d}" for number, name in enumerate(self.channel_names, 1)}

    def threads(self, channel: str | None = None) -> list[list[Message]]:
        """Return the threads, oldest first; each is a first message and its replies in order."""
        wanted = self._channel(channel) if channel else None
        with self._lock:
            heads = [
                message
                for message in self.messages
                if message.thread_ts in (None, message.ts) and wanted in (None, message.channel)
            ]
            return [[head, *self._replies(head)] for head in heads]

    def forget(self) -> None:
        with self._lock:
            self.messages.clear()

    def call(self, method: str, token: str | None, requested: dict[str, Any]) -> dict[str, Any]:
        """Carry out one method of the Web API and return its answer; raises Refused."""
        if not token:
            raise Refused("not_authed")
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            raise Refused("invalid_auth")
        match method:
            case "auth.test":
                return self._identity()
            case "chat.postMessage":
                return self._posted(requested)
            case "chat.update":
                return self._updated(requested)
            case "conversations.history":
                return self._history(requested)
            case "conversations.replies":
                return self._thread(requested)
        raise Refused("unknown_method", f"[ERROR] the sandbox's Slack has no method {method}")

    def webhook(self, requested: dict[str, Any]) -> None:
        """Post the message of an incoming webhook in the first channel; raises Refused."""
        self._post(self.channels[self.channel_names[0]], requested)

    def _identity(self) -> dict[str, Any]:
        return {
            "url": "https://kanvaro-sandbox.slack.com/",
            "team": "Kanvaro sandbox",
            "user": "kanvaro",
            "team_id": TEAM,
            "user_id": USER,
            "bot_id": BOT,
            "is_enterprise_install": False,
        }

    def _posted(self, requested: dict[str, Any]) -> dict[str, Any]:
        message = self._post(self._channel(str(requested.get("channel", ""))), requested)
        return {"channel": message.channel, "ts": message.ts, "message": message.as_slack()}

    def _post(self, channel: str, requested: dict[str, Any]) -> Message:
        content = _content(requested)
        with self._lock:
            thread = str(requested.get("thread_ts") or "") or None
            if thread:
                head = self._find(channel, thread, "thread_not_found")
                if head.thread_ts not in (None, head.ts):
                    raise Refused("cannot_reply_to_message", "[ERROR] thread_ts names a reply")
                head.thread_ts = head.ts
            message = Message(channel, self._next_ts(), thread, **content)
            self.messages.append(message)
            return message

    def _updated(self, requested: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel_id(requested)
        content = _content(requested)
        with self._lock:
            message = self._find(channel, str(requested.get("ts", "")), "message_not_found")
            # An update that has a text but no blocks removes the blocks; without a text it keeps
            # them.
            for name in ("blocks", "attachments"):
                if name in requested or content["text"]:
                    setattr(message, name, content[name])
            message.text = content["text"] or message.text
            message.metadata = content["metadata"] or message.metadata
            message.edits += 1
            updated = message.as_slack()
        return {"channel": channel, "ts": message.ts, "text": message.text, "message": updated}

    def _history(self, requested: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel_id(requested)
        heads = [thread[0] for thread in self.threads() if thread[0].channel == channel]
        return _page(heads[::-1], requested)

    def _thread(self, requested: dict[str, Any]) -> dict[str, Any]:
        channel = self._channel_id(requested)
        with self._lock:
            head = self._find(channel, str(requested.get("ts", "")), "thread_not_found")
            return _page([head, *self._replies(head)], requested)

    def _replies(self, head: Message) -> list[Message]:
        return [
            message
            for message in self.messages
            if message.channel == head.channel
            and message.thread_ts == head.ts
            and message is not head
        ]

    def _find(self, channel: str, ts: str, error: str) -> Message:
        for message in self.messages:
            if (message.channel, message.ts) == (channel, ts):
                return message
        raise Refused(error)

    def _channel(self, wanted: str) -> str:
        name = wanted.removeprefix("#")
        if name in self.channels:
            return self.channels[name]
        return self._channel_id({"channel": wanted})

    def _channel_id(self, requested: dict[str, Any]) -> str:
        """Return the channel's identifier; only posting accepts a channel's name."""
        channel = str(requested.get("channel", ""))
        if channel not in self.channels.values():
            raise Refused("channel_not_found")
        return channel

    def _next_ts(self) -> str:
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"


def _content(requested: dict[str, Any]) -> dict[str, Any]:
    """Return text, blocks, attachments and metadata, checked as Slack checks them."""
    text = str(requested.get("text") or "")
    blocks, attachments = _list(requested, "blocks"), _list(requested, "attachments")
    if not (text or blocks or attachments):
        raise Refused("no_text")
    if len(text) > LONGEST_TEXT:
        raise Refused("msg_too_long")
    for each in (blocks, *(_list(attachment, "blocks") for attachment in attachments)):
        if found := block_kit.complaints(each):
            raise Refused("invalid_blocks", *found)
    metadata = _decoded(requested, "metadata", "invalid_metadata_format")
    return {"text": text, "blocks": blocks, "attachments": attachments, "metadata": metadata}


def _list(requested: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a list that came as JSON, or as a string of JSON in a form."""
    value = _decoded(requested, name, f"invalid_{name}_format") or []
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise Refused(f"invalid_{name}_format")
    return value


def _decoded(requested: dict[str, Any], name: str, error: str) -> Any:
    value = requested.get(name)
    if not isinstance(value, str) or not value:
        return value or None
    try:
        return json.loads(value)
    except ValueError:
        raise Refused(error) from None


def _page(messages: list[Message], requested: dict[str, Any]) -> dict[str, Any]:
    """Return one page of messages; the cursor is the index of the next page's first message."""
    try:
        start, limit = int(requested.get("cursor") or 0), int(requested.get("limit") or 100)
    except ValueError:
        raise Refused("invalid_cursor") from None
    if not 0 < limit <= 1000:
        raise Refused("invalid_limit")
    page = messages[start : start + limit]
    answer: dict[str, Any] = {"messages": [message.as_slack() for message in page]}
    answer["has_more"] = start + limit < len(messages)
    if answer["has_more"]:
        answer["response_metadata"] = {"next_cursor": str(start + limit)}
    return answer
