"""Comments on pull requests, which GitHub keeps as comments on issues.

Protocol: https://docs.github.com/en/rest/issues/comments
"""

from typing import Any

from sandbox.github.asked import Asked, Route
from sandbox.github.store import Comment
from sandbox.github.words import invalid, missing, node_id, now, person, require_short

LONGEST_BODY = 65_536


def add(asked: Asked) -> dict[str, Any]:
    if asked.number not in asked.repository.pulls:
        raise missing()
    body = _body(asked)
    return _shown(asked, asked.github.comment(asked.name, asked.number, body, asked.token.login))


def of_pull(asked: Asked) -> list[dict[str, Any]]:
    if asked.number not in asked.repository.pulls:
        raise missing()
    return [_shown(asked, each) for each in _since(asked) if each.number == asked.number]


def of_all(asked: Asked) -> list[dict[str, Any]]:
    return [_shown(asked, each) for each in _since(asked)]


def one(asked: Asked) -> dict[str, Any]:
    return _shown(asked, _find(asked))


def edit(asked: Asked) -> dict[str, Any]:
    comment = _find(asked)
    comment.body, comment.updated_at = _body(asked), now()
    comment.edits += 1
    return _shown(asked, comment)


def delete(asked: Asked) -> None:
    asked.repository.comments.remove(_find(asked))


def _since(asked: Asked) -> list[Comment]:
    since = asked.query.get("since", "")
    return [each for each in asked.repository.comments if each.updated_at >= since]


def _find(asked: Asked) -> Comment:
    for comment in asked.repository.comments:
        if comment.id == asked.number:
            return comment
    raise missing()


def _body(asked: Asked) -> str:
    body = require_short(asked.requested, "body", LONGEST_BODY, "IssueComment")
    if not body or not body.strip():
        raise invalid("IssueComment", "body", "missing_field", "body cannot be blank")
    return body


def _shown(asked: Asked, comment: Comment) -> dict[str, Any]:
    site = f"{asked.github.address}/{asked.name}"
    return {
        "id": comment.id,
        "node_id": node_id(comment.id),
        "url": f"{asked.base}/issues/comments/{comment.id}",
        "html_url": f"{site}/pull/{comment.number}#issuecomment-{comment.id}",
        "issue_url": f"{asked.base}/issues/{comment.number}",
        "body": comment.body,
        "user": person(comment.login, asked.github.address),
        "created_at": comment.created_at,
        "updated_at": comment.updated_at,
        "author_association": "NONE",
        "performed_via_github_app": None,
    }


_READ = "issues=read; pull_requests=read"
_WRITE = "issues=write; pull_requests=write"
_ONE = "/issues/comments/{number:[0-9]+}"
_PULL = "/issues/{number:[0-9]+}/comments"
ROUTES = (
    Route("GET", "/issues/comments", _READ, of_all),
    Route("GET", _ONE, _READ, one),
    Route("PATCH", _ONE, _WRITE, edit),
    Route("DELETE", _ONE, _WRITE, delete, 204),
    Route("GET", _PULL, _READ, of_pull),
    Route("POST", _PULL, _WRITE, add, 201),
)
