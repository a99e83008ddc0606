"""Read what Amazon SNS sends about CloudWatch's alarms, and decide whether it is genuine.

Sources: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html,
https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html. The signature itself is
checked where there is a library for it (deployments/webhooks/sns_webhook.py); everything that it is
checked against is here.
"""

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote

from delivery.json_reader import read_json
from delivery.messages import Message, RunStatus
from delivery.text import clipped, escaped, plain

TOPIC = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):sns:(?P<region>[a-z0-9-]+):\d{12}:[A-Za-z0-9_.-]{1,256}"
)
CONFIRMATION = "SubscriptionConfirmation"
UNSUBSCRIBED = "UnsubscribeConfirmation"
# SNS waits an hour at most between its tries, and may wait for each answer. Somebody else kept an
# older message, to send it again.
OLDEST = timedelta(hours=2)
CLOCKS_DIFFER = timedelta(minutes=5)

_OF_A_SUBSCRIPTION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn")
# In the order in which they are signed.
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: (*_OF_A_SUBSCRIPTION, "Type"),
    UNSUBSCRIBED: (*_OF_A_SUBSCRIPTION, "Type"),
}
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-f]{1,64}\.pem")
LONGEST_REASON = 600


@dataclass(frozen=True)
class Notice:
    """One message of SNS: its fields, its signed text, and what the signature is checked with."""

    kind: str
    id: str
    topic: str
    at: datetime
    subject: str
    text: str
    signed: bytes
    signature: bytes
    version: str
    certificate: str
    confirm_at: str


def read_notice(body: bytes) -> Notice | str:
    """Read the message in the body of a request, not yet proven; return why where there is none."""
    try:
        document = read_json(body)
    except ValueError:
        return "it is not JSON"
    kind = str(document.get("Type")) if isinstance(document, dict) else ""
    if kind not in _SIGNED:
        return "it is not a message of SNS"
    names = [name for name in _SIGNED[kind] if document.get(name) is not None]
    more = ("Signature", "SignatureVersion", "SigningCertURL")
    given = {name: document.get(name) for name in (*names, *more)}
    wanted = {*_SIGNED[kind], *more} - {"Subject"}
    if missing := sorted(name for name in wanted if not isinstance(given.get(name), str)):
        return f"these fields are missing or not text: {', '.join(missing)}"
    if not isinstance(given.get("Subject", ""), str):
        return "its Subject is not text"
    try:
        return _notice(given, names)
    except (ValueError, binascii.Error):
        return "its time or its signature cannot be read"


def _notice(given: Mapping[str, Any], names: list[str]) -> Notice:
    at = datetime.fromisoformat(given["Timestamp"])
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return Notice(
        kind=given["Type"],
        id=given["MessageId"],
        topic=given["TopicArn"],
        at=at,
        subject=given.get("Subject", ""),
        text=given["Message"],
        signed="".join(f"{name}\n{given[name]}\n" for name in names).encode(),
        signature=base64.b64decode(given["Signature"], validate=True),
        version=given["SignatureVersion"],
        certificate=given["SigningCertURL"],
        confirm_at=given.get("SubscribeURL", ""),
    )


def why_refused(notice: Notice, topics: Collection[str], now: datetime) -> str:
    """Say why a message is refused before its signature is checked; empty if it is not."""
    if notice.topic not in topics:
        return "its topic is not in KANVARO_ALARM_TOPICS"
    if notice.version not in ("1", "2"):
        return f"its signature has the unknown version {plain(notice.version)[:10]}"
    host = _host(notice.topic)
    path = notice.certificate.removeprefix(f"https://{host}")
    if path == notice.certificate or not _CERTIFICATE.fullmatch(path):
        return f"its certificate is not at {host}"
    if not now - OLDEST <= notice.at <= now + CLOCKS_DIFFER:
        return f"it was sent at {notice.at.isoformat()}; is the clock of this machine right?"
    return ""


def is_confirmed_at_sns(notice: Notice) -> bool:
    """Return whether the given address confirms a subscription, of this topic, at SNS."""
    beginning = f"https://{_host(notice.topic)}/?"
    asked = parse_qs(notice.confirm_at.removeprefix(beginning))
    return (
        notice.confirm_at.startswith(beginning)
        and asked.get("Action") == ["ConfirmSubscription"]
        and asked.get("TopicArn") == [notice.topic]
    )


def alarm_message(notice: Notice, environment: str) -> Message:
    """Write what people read of a proven message; its names and texts may be from anybody."""
    if notice.kind == UNSUBSCRIBED:
        return Message(
            RunStatus.STOPPED,
            f"{environment}: alarms are no longer reported here",
            (
                f"Somebody ended the subscription of {escaped(notice.topic)}. If nobody meant to: "
                "subscribe the webhook receiver again (docs/monitoring.md).",
            ),
        )
    try:
        alarm = read_json(notice.text)
    except ValueError:
        alarm = None
    if isinstance(alarm, dict) and isinstance(alarm.get("AlarmName"), str):
        return _of_an_alarm(alarm, _region(notice.topic), environment)
    return Message(
        RunStatus.STOPPED,
        f"{environment}: {notice.subject or 'a message that is no alarm'}",
        (
            f"```{clipped(escaped(notice.text), LONGEST_REASON)}```",
            f"Sent to {escaped(notice.topic)}.",
        ),
    )


def _of_an_alarm(alarm: Mapping[str, Any], region: str, environment: str) -> Message:
    name, state = plain(alarm["AlarmName"])[:255], alarm.get("NewStateValue")
    since = f"Since {_moment(alarm.get('StateChangeTime'))}, in {region}."
    link = (("alarm", _console(region, alarm["AlarmName"])),)
    reason = str(alarm.get("NewStateReason") or "it gives no reason")
    shown = f"```{clipped(escaped(reason), LONGEST_REASON)}```"
    if state == "OK":
        return Message(RunStatus.WELL, f"{environment}: the alarm {name} is over", (since,), link)
    if state != "ALARM":
        headline = f"{environment}: the alarm {name} has too little data"
        return Message(RunStatus.STOPPED, headline, (since, shown), link)
    about = alarm.get("AlarmDescription")
    return Message(
        RunStatus.FAILED,
        f"{environment}: the alarm {name} rings",
        (
            *((escaped(str(about))[:LONGEST_REASON],) if about else ()),
            since,
            shown,
            # Nothing of the alarm stands in a command: people copy it into a shell.
            f"*What now:* `make status ENVIRONMENT={environment}` says what is live, and whether "
            "it is well. To get back to what served before: "
            f'`prefect deployment run rollback/{environment} -p reason="an alarm rings" --watch`',
        ),
        link,
    )


def _moment(text: object) -> str:
    try:
        at = datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return "a time that it does not say"
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _console(region: str, alarm: str) -> str:
    domain = "console.amazonaws.cn" if region.startswith("cn-") else "console.aws.amazon.com"
    alarm = quote(alarm, safe="")
    return f"https://{region}.{domain}/cloudwatch/home?region={region}#alarmsV2:alarm/{alarm}"


def _region(topic: str) -> str:
    found = TOPIC.fullmatch(topic)
    return found["region"] if found else ""


def _host(topic: str) -> str:
    """Return the host of SNS in the region of a topic."""
    return f"sns.{_region(topic)}.amazonaws.com" + (
        ".cn" if topic.startswith("arn:aws-cn:") else ""
    )
