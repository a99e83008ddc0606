"""Derive the SMTP password of Amazon SES from the secret key of an IAM user.

Source: AWS, "Obtaining Amazon SES SMTP credentials": Signature Version 4 over constants, with the
version byte 0x04 in front. The password is valid in one region only.
"""

import base64
import hashlib
import hmac
import re

from delivery.errors import SecretMalformed

_VERSION = b"\x04"
_DATE, _SERVICE, _TERMINAL, _MESSAGE = "11111111", "ses", "aws4_request", "SendRawEmail"
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")


def smtp_password(secret_key: str, region: str) -> str:
    """The SMTP password of an IAM access key in `region`; the user name is the key's id.

    Raises `SecretMalformed` if the region is no AWS region, or the key is empty.
    """
    if not _REGION.fullmatch(region):
        raise SecretMalformed("the email secret's region is no AWS region, such as eu-central-1")
    if not secret_key:
        raise SecretMalformed("the IAM user's secret access key is empty")
    signature = f"AWS4{secret_key}".encode()
    for part in (_DATE, region, _SERVICE, _TERMINAL, _MESSAGE):
        signature = hmac.digest(signature, part.encode(), hashlib.sha256)
    return base64.b64encode(_VERSION + signature).decode()
