"""The secrets of a real account before its first deployment, as a person would enter them."""

import json
import secrets
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from delivery.credentials.ses_password import smtp_password

# RFC 2606: a name that leads nowhere, for an account that was given no mail server.
NO_MAIL_SERVER = {"provider": "operator", "smtp_host": "smtp.invalid", "smtp_port": 587}


def ensure_secrets(
    store: Any,
    database: Mapping[str, Any],
    *,
    admin: Mapping[str, Any] | None = None,
    email: Mapping[str, Any] | None = None,
) -> None:
    """Create or renew `kanvaro/database`, `kanvaro/jwt`, `kanvaro/email`; safe to repeat.

    Each value is a JSON object that carries the id of its own version as `version`. The keys of
    `kanvaro/jwt` are made here and kept when they are there, as is the password of
    `kanvaro/email` unless `email` (`provider`, `smtp_host`, `smtp_port` …) has its own.
    `database` (`mongodb_uri`, `redis_url`) and, where it is given, `admin` (`mongodb_uri`,
    `redis_urls`), which becomes `kanvaro/admin/database`, are always those given.
    """
    _ensure(store, "kanvaro/jwt", _key_rings())
    login = {"smtp_user": "kanvaro-sandbox", "smtp_pass": _generated()}
    held = _ensure(store, "kanvaro/email", {**login, **NO_MAIL_SERVER, **(email or {})})
    _renew(store, "kanvaro/email", held, {**held, **(email or {})})
    addresses = {"kanvaro/database": database, "kanvaro/admin/database": admin}
    for name, values in addresses.items():
        if values is not None:
            _renew(store, name, _ensure(store, name, values), values)


def ses_account(iam: Any, user: str, region: str, server: Mapping[str, Any]) -> dict[str, Any]:
    """The value of `kanvaro/email` for a new IAM user whose access key is its SMTP login."""
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    login = {
        "smtp_user": key["AccessKeyId"],
        "smtp_pass": smtp_password(key["SecretAccessKey"], region),
    }
    return {"provider": "ses", "region": region, "iam_user": user, **server, **login}


@contextmanager
def already_there(code: str) -> Iterator[None]:
    """Take the error `code` for what it is here: somebody has created it before."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != code:
            raise


def _key_rings() -> dict[str, Any]:
    """A ring of keys for each kind of token, with both current keys where they always were."""
    access, refresh = _key_ring(), _key_ring()
    return {
        "jwt_secret": access["current"]["k"],
        "refresh_secret": refresh["current"]["k"],
        "ring": {"access": access, "refresh": refresh},
    }


def _key_ring() -> dict[str, Any]:
    return {"current": _key(), "next": _key(), "previous": []}


def _key() -> dict[str, str]:
    return {"kid": secrets.token_hex(4), "k": _generated()}


def _generated() -> str:
    return secrets.token_urlsafe(48)


def _ensure(store: Any, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Create the secret unless it is there; return what it holds, but its version."""
    with already_there("ResourceExistsException"):
        _create(store, name, values)
        return dict(values)
    text = store.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")["SecretString"]
    return {key: value for key, value in json.loads(text).items() if key != "version"}


def _create(store: Any, name: str, values: Mapping[str, Any]) -> None:
    # ministack takes the token for the version's id in PutSecretValue, but not in CreateSecret.
    created = store.create_secret(Name=name)
    store.put_secret_value(SecretId=name, **_version_with(values))
    # On AWS a secret begins without a version, here with an empty one that is the previous now.
    store.update_secret_version_stage(
        SecretId=name, VersionStage="AWSPREVIOUS", RemoveFromVersionId=created["VersionId"]
    )


def _renew(store: Any, name: str, held: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    if held != values:
        store.put_secret_value(SecretId=name, **_version_with(values))


def _version_with(values: Mapping[str, Any]) -> dict[str, str]:
    """A version that names itself: Secrets Manager takes the request's token as its id."""
    version = str(uuid.uuid4())
    text = json.dumps({"version": version, **values})
    return {"ClientRequestToken": version, "SecretString": text}
