"""Create the secrets of an account before its first deployment, as a person would enter them."""

import json
import secrets
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from delivery.credentials.ses_password import smtp_password

# RFC 2606 reserves this name, which resolves to nothing: no mail server was given.
NO_MAIL_SERVER = {"provider": "operator", "smtp_host": "smtp.invalid", "smtp_port": 587}


def ensure_secrets(
    store: Any,
    database: Mapping[str, Any],
    *,
    admin: Mapping[str, Any] | None = None,
    email: Mapping[str, Any] | None = None,
) -> None:
    """Create or update `kanvaro/database`, `kanvaro/jwt`, `kanvaro/email`; safe to repeat.

    Each value is a JSON object with the id of its own version as `version`. The keys of
    `kanvaro/jwt` are generated and kept if they exist; so is the password of `kanvaro/email`,
    unless `email` (`provider`, `smtp_host`, `smtp_port` …) contains one. `database` (`mongodb_uri`,
    `redis_url`) is always written as given, and so is `admin` (`mongodb_uri`, `redis_urls`), if
    any, which becomes `kanvaro/admin/database`.
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
    """Return the value of `kanvaro/email` for a new IAM user whose access key is its SMTP login."""
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    login = {
        "smtp_user": key["AccessKeyId"],
        "smtp_pass": smtp_password(key["SecretAccessKey"], region),
    }
    return {"provider": "ses", "region": region, "iam_user": user, **server, **login}


@contextmanager
def already_there(code: str) -> Iterator[None]:
    """Ignore the error `code`, which means that the object exists already."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != code:
            raise


def _key_rings() -> dict[str, Any]:
    """Return a key ring for each kind of token, and the current keys in their older fields, too."""
    access, refresh = _key_ring(), _key_ring()
    return {
        "jwt_secret": access["current"]["k"],
        "refresh_secret": refresh["current"]["k"],
        # As text: a reference to an object injects no JSON.
        "ring": json.dumps({"access": access, "refresh": refresh}),
    }


def _key_ring() -> dict[str, Any]:
    return {"current": _key(), "next": _key(), "previous": []}


def _key() -> dict[str, str]:
    return {"kid": secrets.token_hex(4), "k": _generated()}


def _generated() -> str:
    return secrets.token_urlsafe(48)


def _ensure(store: Any, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Create the secret unless it exists; return its value without the version."""
    with already_there("ResourceExistsException"):
        _create(store, name, values)
        return dict(values)
    text = store.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")["SecretString"]
    return {key: value for key, value in json.loads(text).items() if key != "version"}


def _create(store: Any, name: str, values: Mapping[str, Any]) -> None:
    # ministack uses the token as the version's id in PutSecretValue, but not in CreateSecret.
    created = store.create_secret(Name=name)
    store.put_secret_value(SecretId=name, **_version_with(values))
    # On AWS a secret begins without a version; here it begins with an empty one, now the previous.
    store.update_secret_version_stage(
        SecretId=name, VersionStage="AWSPREVIOUS", RemoveFromVersionId=created["VersionId"]
    )


def _renew(store: Any, name: str, held: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    if held != values:
        store.put_secret_value(SecretId=name, **_version_with(values))


def _version_with(values: Mapping[str, Any]) -> dict[str, str]:
    """Return a version that contains its own id: Secrets Manager uses the request's token as id."""
    version = str(uuid.uuid4())
    text = json.dumps({"version": version, **values})
    return {"ClientRequestToken": version, "SecretString": text}
