"""The list of what is accepted, as our command writes it and as detect-secrets does."""

import json

import pytest

from delivery.checks.secret_baseline import Found, accepted_by, baseline_of, newly_accepted

KEY = Found("certs/test.pem", 3, "Private Key", "d1")
TOKEN = Found("a.ts", 1, "GitHub Token", "d2")


def test_what_is_written_is_accepted():
    written = baseline_of([TOKEN, KEY, KEY], None)

    assert accepted_by(written) == {("certs/test.pem", "d1"), ("a.ts", "d2")}
    assert json.loads(written)["results"]["certs/test.pem"] == [
        {
            "type": "Private Key",
            "hashed_secret": "d1",
            "is_verified": False,
            "filename": "certs/test.pem",
            "line_number": 3,
        }
    ]
    assert baseline_of([TOKEN, KEY], written) == written


def test_what_others_wrote_is_kept():
    """Another hook may look for more, and somebody may have judged what it found."""
    before = {
        "version": "1.4.0",
        "plugins_used": [{"name": "KeywordDetector"}],
        "results": {
            "a.ts": [{"hashed_secret": "d2", "is_secret": False, "line_number": 9}],
            "b.ts": [{"hashed_secret": "d3", "type": "Secret Keyword"}],
        },
        "generated_at": "2026-01-01T00:00:00Z",
    }

    after = json.loads(baseline_of([TOKEN, KEY], json.dumps(before)))

    assert after["version"] == "1.4.0"
    assert after["plugins_used"] == before["plugins_used"]
    assert after["results"]["b.ts"] == before["results"]["b.ts"]
    [kept] = after["results"]["a.ts"]
    assert (kept["is_secret"], kept["line_number"]) == (False, 1)
    assert len(after["results"]["certs/test.pem"]) == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"results": []}', '{"results": {"a": [{}]}}'])
def test_another_text_is_no_baseline(text):
    with pytest.raises(ValueError, match="not one of detect-secrets"):
        accepted_by(text)
    with pytest.raises(ValueError, match="not one of detect-secrets"):
        baseline_of([KEY], text)


def test_what_a_pull_request_accepts_anew_is_named():
    before = baseline_of([KEY], None)
    after = baseline_of([TOKEN], before)

    assert newly_accepted(before, after) == (
        "this pull request accepts in .secrets.baseline 1 find: a.ts:1 (GitHub Token)"
    )
    assert newly_accepted(None, after).endswith(
        "2 finds: certs/test.pem:3 (Private Key), a.ts:1 (GitHub Token)"
    )
    assert newly_accepted(after, before) == newly_accepted(after, after) == ""
    assert newly_accepted(None, None) == newly_accepted("", after) == ""


def test_a_long_list_of_what_is_accepted_is_short():
    many = [Found(f"{'x' * 500}\x1b[2J{n}", n, "k" * 500, f"d{n}") for n in range(1000)]

    said = newly_accepted(None, baseline_of(many, None))

    assert said.endswith(" and 995 more")
    assert len(said) < 1000
    assert "\x1b" not in said
