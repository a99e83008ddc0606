"""A secret's value, which is a JSON object, and references to it; no message quotes a value."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from delivery.errors import SecretMalformed
from delivery.json_reader import read_json

# AWS Secrets Manager, PutSecretValue: the longest SecretString, in bytes.
LARGEST_VALUE = 65536


class SecretReference(NamedTuple):
    """A reference of App Runner: the secret's ARN, a key of its JSON, and a stage or version.

    `key` is empty if it is to the whole value, `pin` if it is to what is current.
    """

    secret: str
    key: str
    pin: str


def read_reference(text: str) -> SecretReference:
    """The parts of `arn:aws:secretsmanager:region:account:secret:name:json-key:stage:version`."""
    parts = text.split(":")
    pin = "".join(parts[8:10]).replace("AWSCURRENT", "")
    return SecretReference(":".join(parts[:7]), "".join(parts[7:8]), pin)


def secret_of(reference: str) -> str:
    """The ARN of the secret that a reference of App Runner is to."""
    return read_reference(reference).secret


def members_of(text: str) -> dict[str, Any]:
    """The members of the JSON object in `text`. Raises `SecretMalformed`."""
    try:
        members = read_json(text)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise SecretMalformed("the secret's value is not a JSON object")
    return members


def text_member(members: Mapping[str, Any], name: str, inside: str = "") -> str:
    """The text called `name`, which may not be empty; `inside` is its path, for the message.

    Raises `SecretMalformed`.
    """
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise SecretMalformed(f"the secret's value has no text in {inside}{name}")
    return value
