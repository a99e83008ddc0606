"""Emulate a topic of SNS: it signs as Amazon does, with a key and a certificate of its own."""

import base64
import datetime
import json
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

TOPIC = "arn:aws:sns:us-east-1:123456789012:kanvaro-alerts"
HOST = "https://sns.us-east-1.amazonaws.com"
CONFIRM = f"{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=0123abc"
CERTIFICATE = f"{HOST}/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
# Written from AWS's documentation, independently of the tested code.
NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
OF_A_SUBSCRIPTION = (
    "Message",
    "MessageId",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
)


def rings(name="kanvaro-blue-errors", *, state="ALARM", **changed):
    """Return the text of an alarm, as CloudWatch publishes it."""
    return json.dumps(
        {
            "AlarmName": name,
            "AlarmDescription": "more than 5 % of the answers are 5xx",
            "AWSAccountId": "123456789012",
            "NewStateValue": state,
            "NewStateReason": "Threshold Crossed: 3 out of the last 5 datapoints were greater",
            "StateChangeTime": "2026-11-28T03:05:12.345+0000",
            "Region": "US East (N. Virginia)",
            "AlarmArn": f"arn:aws:cloudwatch:us-east-1:123456789012:alarm:{name}",
            "OldStateValue": "OK",
            "Trigger": {"MetricName": "5xxStatusResponses"},
            **changed,
        }
    )


class Topic:
    """Signs messages, and serves its certificate at `CERTIFICATE`; `fetched` lists requests."""

    def __init__(self):
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.certificate = certificate_of(self._key)
        self.fetched = []

    async def fetch(self, address):
        self.fetched.append(address)
        return self.certificate if address == CERTIFICATE else b"<ConfirmSubscriptionResponse/>"

    def notification(self, text, *, version="2", **changed):
        return self.signed(
            {"Type": "Notification", **self._of_all(), "Message": text, **changed}, version
        )

    def about_subscription(self, kind="SubscriptionConfirmation", *, version="2", **changed):
        return self.signed(
            {
                "Type": kind,
                **self._of_all(),
                "Message": "You have chosen to subscribe to the topic.",
                "Token": "0123abc",
                "SubscribeURL": CONFIRM,
                **changed,
            },
            version,
        )

    def signed(self, message, version="2"):
        """Return the message with its signature; later changes of it are not signed."""
        names = NOTIFICATION if message["Type"] == "Notification" else OF_A_SUBSCRIPTION
        text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
        hashed = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303  as SNS does
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashed)
        return {
            **message,
            "SignatureVersion": version,
            "Signature": base64.b64encode(signature).decode(),
            "SigningCertURL": message.get("SigningCertURL", CERTIFICATE),
        }

    def _of_all(self):
        return {"MessageId": str(uuid.uuid4()), "TopicArn": TOPIC, "Timestamp": stamp()}


def stamp(**ago):
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(**ago)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def certificate_of(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)
