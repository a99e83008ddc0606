"""Serve comments on pull requests, which GitHub stores as comments on issues.

Protocol: https://docs.github.com/en/rest/issues/comments
"""

from typing import Any

from sandbox.github.api_request import ApiRequest, Route
from sandbox.github.store import Comment
from sandbox.github.words import invalid, missing, node_id, now, person, require_short

LONGEST_BODY = 65_536


def add(request: ApiRequest) -> dict[str, Any]:
    if request.number not in request.repository.pulls:
        raise missing()
    body = _body(request)
    return _comment_json(
        request, request.github.comment(request.name, request.number, body, request.token.login)
    )


def of_pull(request: ApiRequest) -> list[dict[str, Any]]:
    if request.number not in request.repository.pulls:
        raise missing()
    return [
        _comment_json(request, each) for each in _since(request) if each.number == request.number
    ]


def of_all(request: ApiRequest) -> list[dict[str, Any]]:
    return [_comment_json(request, each) for each in _since(request)]


def one(request: ApiRequest) -> dict[str, Any]:
    return _comment_json(request, _find(request))


def edit(request: ApiRequest) -> dict[str, Any]:
    comment = _find(request)
    comment.body, comment.updated_at = _body(request), now()
    comment.edits += 1
    return _comment_json(request, comment)


def delete(request: ApiRequest) -> None:
    request.repository.comments.remove(_find(request))


def _since(request: ApiRequest) -> list[Comment]:
    since = request.query.get("since", "")
    return [each for each in request.repository.comments if each.updated_at >= since]


def _find(request: ApiRequest) -> Comment:
    for comment in request.repository.comments:
        if comment.id == request.number:
            return comment
    raise missing()


def _body(request: ApiRequest) -> str:
    body = require_short(request.body, "body", LONGEST_BODY, "IssueComment")
    if not body or not body.strip():
        raise invalid("IssueComment", "body", "missing_field", "body cannot be blank")
    return body


def _comment_json(request: ApiRequest, comment: Comment) -> dict[str, Any]:
    site = f"{request.github.address}/{request.name}"
    return {
        "id": comment.id,
        "node_id": node_id(comment.id),
        "url": f"{request.base}/issues/comments/{comment.id}",
        "html_url": f"{site}/pull/{comment.number}#issuecomment-{comment.id}",
        "issue_url": f"{request.base}/issues/{comment.number}",
        "body": comment.body,
        "user": person(comment.login, request.github.address),
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
