"""How AWS's agent writes what a reference finds in a secret's JSON, as Go prints it."""

import json

import pytest

from sandbox.app_runner.go_notation import in_go_notation


@pytest.mark.parametrize(
    ("member", "injected"),
    [
        ('"text as it is"', "text as it is"),
        ('{"b": {"k": "x"}, "a": [1, "y"]}', "map[a:[1 y] b:map[k:x]]"),
        ("true", "true"),
        ("null", "<nil>"),
        ("8080", "8080"),
        ("0", "0"),
        ("-1.5", "-1.5"),
        ("100000", "100000"),
        ("1000000", "1e+06"),
        ("1700000000", "1.7e+09"),
        ("1234567", "1.234567e+06"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("[]", "[]"),
        ("{}", "map[]"),
    ],
)
def test_what_is_no_text_is_not_injected_as_json(member, injected):
    assert in_go_notation(json.loads(member)) == injected
