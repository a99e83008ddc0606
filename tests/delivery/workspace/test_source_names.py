"""What may come in from outside as a repository, a ref or a revision."""

import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.errors import RequestRefused
from delivery.workspace.source_names import (
    REF,
    full_ref,
    is_on_github,
    plain_revision,
    repository_address,
)

HOSTILE = [
    "--upload-pack=touch /tmp/x",
    "-x",
    "refs/heads/-x",
    "a b",
    "a\nb",
    "main\n",
    "x..y",
    "x@{1}",
    "@",
    "a//b",
    "a/",
    ".a",
    "a/.b",
    "a.lock",
    "a.lock/b",
    "a.",
    "a~1",
    "a^",
    "a:b",
    "a\\b",
    "a*",
    "",
    "refs/heads/",
    "refs/pull/1/head",
    "refs/remotes/origin/main",
    "HEAD^{tree}",
    "a\u2028b",
    "a\u202eb",
    "a\u00a0b",
    "caf\udce9",
    "ü" * 600,
]


@pytest.mark.parametrize("ref", HOSTILE)
def test_a_hostile_ref_is_refused(ref):
    with pytest.raises(RequestRefused, match="is not the name of a branch or tag"):
        full_ref(ref)


@pytest.mark.parametrize(
    ("given_ref", "full"),
    [
        ("main", "refs/heads/main"),
        ("refs/heads/main", "refs/heads/main"),
        ("feature/KAN-12_a.b", "refs/heads/feature/KAN-12_a.b"),
        ("refs/tags/v1.2.3+build", "refs/tags/v1.2.3+build"),
        ("dependabot/npm/@types/node-20", "refs/heads/dependabot/npm/@types/node-20"),
        ("fix/#123", "refs/heads/fix/#123"),
        ("feature/ümlaut", "refs/heads/feature/ümlaut"),
        ("機能/🚀", "refs/heads/機能/🚀"),
        ("feat(web)!", "refs/heads/feat(web)!"),
        ("bob's-100%,a=b&c", "refs/heads/bob's-100%,a=b&c"),
        ("fix/-x", "refs/heads/fix/-x"),
        ("$(id);`id`|id", "refs/heads/$(id);`id`|id"),
    ],
)
def test_a_branch_or_tag_is_completed(given_ref, full):
    assert full_ref(given_ref) == full


@given(st.text(alphabet="ab./-_@{}+~^: $(;\n#ü🚀&'|[]*?\\<", max_size=12))
def test_whatever_is_accepted_git_accepts_as_well(text):
    try:
        ref = full_ref(text)
    except RequestRefused:
        return
    subprocess.run(["git", "check-ref-format", ref], check=True)
    assert re.search(REF, ref), "the form takes it, too"


@pytest.mark.parametrize(
    "revision",
    ["", "main", "abc", "g" * 40, "a" * 41, "abcdef1\n", "--help", "abcdef1^", " abcdef1"],
)
def test_what_is_not_a_sha_is_refused(revision):
    with pytest.raises(RequestRefused, match="is not a revision"):
        plain_revision(revision)


def test_a_sha_is_lowered():
    assert plain_revision("ABCDEF1") == "abcdef1"


@pytest.mark.parametrize(
    "repository",
    [
        "https://github.com/kanvaro/app.git",
        "https://git.example.com:8443/group/sub-group/app",
        "https://github.com/kanvaro/my%20app",
        "http://127.0.0.1:8080/app.git",
        "ssh://git@github.com/kanvaro/app.git",
        "ssh://git@host:2222/~me/app",
        "git@github.com:kanvaro/app.git",
        "file:///srv/git/my app.git",
        "/srv/git/app",
        "../app",
        "./my app",
        "app",
        "~/app",
        "sandbox/app",
    ],
)
def test_an_ordinary_repository_is_accepted(repository):
    assert repository_address(repository) == repository


@pytest.mark.parametrize(
    "repository",
    [
        "",
        "--upload-pack=touch /tmp/x",
        "-x",
        "ext::sh -c 'touch /tmp/x'",
        "fd::17/foo",
        "https::https://github.com/a/b",
        "http://github.com/a/b",
        "git://github.com/a/b",
        "ftp://host/a",
        "javascript:alert(1)",
        "host:path",
        "git@-oProxyCommand=x:path",
        "git@host:-path",
        "-oProxyCommand=x@host:path",
        "ssh://-oProxyCommand=x/path",
        "ssh://git@-x/path",
        "https:///path",
        "https://github.com",
        "https://github.com/a?token=1",
        "https://github.com/a#x",
        "https://github.com/a b",
        "https://github.com/a;id",
        "file://server/share",
        "file://-x",
        "a\nb",
        " /srv/git",
        "/srv/\0",
        "https://[::1",
    ],
)
def test_a_hostile_repository_is_refused(repository):
    with pytest.raises(RequestRefused) as caught:
        repository_address(repository)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "repository",
    [
        "https://user:CANARY@github.com/a/b",
        "https://CANARY@github.com/a/b",
        "ssh://git:CANARY@host/a",
    ],
)
def test_a_credential_in_the_address_is_refused_and_not_repeated(repository):
    with pytest.raises(RequestRefused, match="user name or password") as caught:
        repository_address(repository)
    assert "CANARY" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("repository", "api", "is_there"),
    [
        ("https://github.com/kanvaro/kanvaro", "https://api.github.com", True),
        ("https://git.example/kanvaro/kanvaro", "https://git.example/api/v3", True),
        ("https://github.com/kanvaro/kanvaro", "https://git.example/api/v3", False),
        ("https://github.com/kanvaro/kanvaro", "http://127.0.0.1:4000/github", False),
        ("https://github.com.evil.example/kanvaro", "https://api.github.com", False),
        ("http://github.com/kanvaro/kanvaro", "https://api.github.com", False),
        ("/home/ada/kanvaro", "https://api.github.com", False),
    ],
)
def test_a_token_goes_to_the_github_it_is_of_and_nowhere_else(repository, api, is_there):
    assert is_on_github(repository, api) is is_there


def test_a_ref_longer_than_git_takes_is_refused_in_a_short_sentence():
    assert full_ref("a" * 900)
    with pytest.raises(RequestRefused) as caught:
        full_ref("a" * 1000)

    assert len(str(caught.value)) < 200
