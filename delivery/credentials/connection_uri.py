"""Read and replace the user and password in the URI of a MongoDB or Redis; the rest is kept.

They are percent-encoded as RFC 3986 says, which all drivers read alike. A bare `+`, written by
hand, is a plus to Node's drivers and a space to PyMongo; here it is a plus, as in the application.
So log in with what `login_of` returns, or with a URI that `with_login` wrote.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from delivery.errors import SecretMalformed

# Several hosts, IPv6 in brackets and encoded socket paths are all one `hosts`. A path or a query
# may hold an @, so only the part before them names the user.
_URI = re.compile(
    r"(?P<scheme>mongodb|mongodb\+srv|rediss?)://"
    r"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^:@/?#]*))?@)?"
    r"(?P<hosts>[^@/?#]+)"
    r"(?P<rest>(?:[/?].*)?)"
)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# What MongoDB and a Redis ACL file both take as a user's name.
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")


@dataclass(frozen=True)
class Login:
    """A user and its password, decoded; `repr` does not show the password."""

    user: str
    password: str = field(repr=False)


def login_of(uri: str) -> Login:
    """The user and password in `uri`. Raises `SecretMalformed`, which never quotes it.

    A Redis URI must name a user other than `default`, which cannot alternate with another one.
    """
    parts = _parts(uri)
    if parts["scheme"].startswith("redis") and parts["user"] in ("", "default"):
        raise SecretMalformed(
            "the Redis URI names no user of its own, so its password cannot be rotated",
            hint="Make an ACL user for the application and write redis://NAME:PASSWORD@… by hand.",
        )
    return Login(_decoded(parts["user"], "user"), _decoded(parts["password"], "password"))


def with_login(uri: str, login: Login) -> str:
    """The same URI with another user and password. Raises `SecretMalformed`."""
    parts = _parts(uri)
    user, password = _encoded(login.user, "user"), _encoded(login.password, "password")
    return f"{parts['scheme']}://{user}:{password}@{parts['hosts']}{parts['rest']}"


def other_account(name: str) -> str:
    """The account that alternates with `name`: NAME_a and NAME_b; NAME_a follows a bare NAME.

    Raises `SecretMalformed` for a name that not every database accepts.
    """
    if not _ACCOUNT.fullmatch(name):
        raise SecretMalformed(
            "the user's name is too long, or has other characters than letters, digits, _ . and -",
            hint="Make a user with a plain name such as kanvaro_a, and put it into the secret.",
        )
    stem, _, suffix = name.rpartition("_")
    if stem and suffix in ("a", "b"):
        return f"{stem}_{'b' if suffix == 'a' else 'a'}"
    return f"{name}_a"


def _parts(uri: str) -> dict[str, str]:
    read = None if _UNPRINTABLE.search(uri) else _URI.fullmatch(uri)
    if read is None:
        raise SecretMalformed(
            "this is no mongodb://, mongodb+srv://, redis:// or rediss:// URI",
            hint="Correct the URI in the secret; characters such as @ : / ? # % in a user or "
            "password must be percent-encoded.",
        )
    return read.groupdict(default="")


def _decoded(encoded: str, what: str) -> str:
    if not encoded:
        raise SecretMalformed(f"the URI has no {what}")
    if _BARE_PERCENT.search(encoded):
        raise SecretMalformed(f"the {what} in the URI has a % that encodes nothing; write %25")
    try:
        return unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        raise SecretMalformed(f"the {what} in the URI is not UTF-8") from None


def _encoded(plain: str, what: str) -> str:
    if not plain:
        raise SecretMalformed(f"an empty {what} cannot log in")
    try:
        return quote(plain, safe="")
    except UnicodeEncodeError:
        raise SecretMalformed(f"the {what} cannot be written as UTF-8") from None
