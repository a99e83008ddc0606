"""Show a pull request in the demonstration: its statuses and its comment."""

import uuid
from typing import Any

import httpx

from delivery.errors import RolloutFailed
from delivery.text import counted, duration
from deployments.demo.command_line import CommandLine, seconds_of
from deployments.sandbox_environment import GITHUB_REPOSITORY
from sandbox.addresses import Addresses
from sandbox.parts.sample import BRANCH, Sample, git

CHANGED = "docs/PULL-REQUEST.md"
SIGNS = {"success": "✓", "pending": "…", "failure": "✗", "error": "✗"}


def show_pull_request(line: CommandLine, sample: Sample, addresses: Addresses) -> tuple[str, str]:
    """Open a pull request, have it checked, print what GitHub shows, and merge it.

    Return its revision, now the newest of the base branch, and the figures. Raises `RolloutFailed`
    if a status is not success.
    """
    name = f"pull-request-{uuid.uuid4().hex[:6]}"
    sample.branch(name)
    changed = {CHANGED: "A pull request shows its checks.\n"}
    revision = sample.commit(changed, "docs: say how it is shown")
    git(sample.folder, "switch", "--quiet", BRANCH)
    with httpx.Client(headers={"Authorization": "Bearer of-a-developer"}, timeout=20) as github:
        number = _opened(github, sample, addresses, name)
        run = line.run("pull-request/kanvaro", number=number, revision=revision)
        statuses = _show_statuses(github, addresses, revision)
        comments = _get(github, f"{_repository(addresses)}/issues/{number}/comments")
    for each in comments:
        print(f"GitHub, a comment of {each['user']['login']}:\n{each['body']}")
    if any(each["state"] != "success" for each in statuses):
        raise RolloutFailed(f"not every status of pull request {number} is success")
    git(sample.folder, "merge", "--quiet", "--ff-only", revision)
    print(f"pull request {number} is merged\n")
    checks = counted(len(statuses) - 1, "check")
    figures = f"pull request {number}: {checks} reported to GitHub in {duration(seconds_of(run))}"
    return revision, figures


def _opened(github: httpx.Client, sample: Sample, addresses: Addresses, branch: str) -> int:
    kept = {"repository": GITHUB_REPOSITORY, "folder": str(sample.folder.resolve())}
    fakes = addresses.fakes.rstrip("/")
    github.post(f"{fakes}/_sandbox/github/repositories", json=kept).raise_for_status()
    fields = {"title": "Say how a pull request is shown", "head": branch, "base": BRANCH}
    answer = github.post(f"{_repository(addresses)}/pulls", json=fields).raise_for_status()
    return int(answer.json()["number"])


def _show_statuses(github: httpx.Client, addresses: Addresses, revision: str) -> list[Any]:
    answer = _get(github, f"{_repository(addresses)}/commits/{revision}/status?per_page=100")
    statuses: list[Any] = answer["statuses"]
    print(f"GitHub, the statuses of {revision[:10]}:")
    for each in statuses:
        print(f"  {SIGNS[each['state']]} {each['context']:<22} {each['description']}")
    print(f"  each leads to {statuses[0]['target_url']}\n")
    return statuses


def _get(github: httpx.Client, address: str) -> Any:
    return github.get(address).raise_for_status().json()


def _repository(addresses: Addresses) -> str:
    return f"{addresses.github}/repos/{GITHUB_REPOSITORY}"
