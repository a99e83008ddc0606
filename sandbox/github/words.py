"""Build what many answers of the fake GitHub share: errors, accounts, times."""

from datetime import UTC, datetime
from typing import Any

DOCUMENTATION = "https://docs.github.com/rest"
BOT = "kanvaro-delivery[bot]"


class Refused(Exception):
    """An answer with a status of 400 or more, in GitHub's format."""

    def __init__(
        self,
        status: int,
        message: str,
        *errors: dict[str, str],
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body: dict[str, Any] = {"message": message, "documentation_url": DOCUMENTATION}
        if errors:
            self.body["errors"] = list(errors)
        self.body["status"] = str(status)


def missing() -> Refused:
    return Refused(404, "Not Found")


def invalid(resource: str, name: str, code: str, message: str = "") -> Refused:
    """Return the error for a field that GitHub rejects; `code` is one of its error codes."""
    error = {"resource": resource, "field": name, "code": code}
    return Refused(422, "Validation Failed", error | ({"message": message} if message else {}))


def require_one_of(
    requested: dict[str, Any], name: str, allowed: tuple[str, ...], resource: str
) -> None:
    if requested.get(name) not in allowed:
        raise invalid(resource, name, "custom", f"{name} is not included in the list")


def require_short(requested: dict[str, Any], name: str, longest: int, resource: str) -> str | None:
    """Return the text under `name`, or None; raises Refused if it is longer than `longest`."""
    text = requested.get(name)
    if text is not None and not isinstance(text, str):
        raise invalid(resource, name, "invalid")
    if text and len(text) > longest:
        raise invalid(
            resource, name, "custom", f"{name} is too long (maximum is {longest} characters)"
        )
    return text


def now() -> str:
    return stamp(datetime.now(UTC))


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def node_id(name: object) -> str:
    return "SBX_" + str(name).encode().hex()


def person(login: str, address: str) -> dict[str, Any]:
    """Return an account as GitHub describes it; a name that ends in `[bot]` is a bot."""
    own = f"{address}/users/{login}"
    lists = ("followers", "subscriptions", "repos", "received_events")
    return {
        "login": login,
        "id": int.from_bytes(login.encode()[:6], "big"),
        "node_id": node_id(login),
        "avatar_url": f"{address}/avatars/{login}",
        "gravatar_id": "",
        "url": own,
        "html_url": f"{address}/{login}",
        **{f"{name}_url": f"{own}/{name}" for name in lists},
        "organizations_url": f"{own}/orgs",
        "following_url": f"{own}/following{{/other_user}}",
        "gists_url": f"{own}/gists{{/gist_id}}",
        "starred_url": f"{own}/starred{{/owner}}{{/repo}}",
        "events_url": f"{own}/events{{/privacy}}",
        "type": "Bot" if login.endswith("[bot]") else "User",
        "site_admin": False,
    }
