"""A secret's value: a JSON object, read and refused without a word of it being quoted."""

import json
from collections.abc import Mapping
from typing import Any

from delivery.errors import SecretMalformed

# AWS Secrets Manager, PutSecretValue: the longest SecretString, in bytes.
LARGEST_VALUE = 65536


def secret_of(reference: str) -> str:
    """The ARN of the secret that a reference of App Runner's is to."""
    # arn:aws:secretsmanager:region:account:secret:name:json-key:stage:version
    return ":".join(reference.split(":")[:7])


def members_of(text: str) -> dict[str, Any]:
    """The members of the JSON object in `text`. Raises `SecretMalformed`."""
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise SecretMalformed("the secret's value is not a JSON object")
    return members


def text_member(members: Mapping[str, Any], name: str, inside: str = "") -> str:
    """The text called `name`, which may not be empty; `inside` says where, for the refusal.

    Raises `SecretMalformed`.
    """
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise SecretMalformed(f"the secret's value has no text in {inside}{name}")
    return value
