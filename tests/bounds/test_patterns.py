"""No pattern goes back again and again over what a stranger wrote: its time grows with the text."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READING = ("delivery", "tasks", "blocks", "flows", "deployments/demo", "deployments/webhooks")
ATTACKS = Path(__file__).with_name("pattern_attacks.py")
# Far more than any linear pattern needs here; an exponential one would never end.
ENOUGH_S = 120
# What an administrator wrote, and no stranger: ACL rules of the application's own Redis.
NO_STRANGERS = ("tasks/credentials/redis_account.py",)


def patterns_of(path):
    """The patterns of a module, each with its place and the method that it is used with."""
    tree = ast.parse(path.read_text())
    name = str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
    found = vars(importlib.import_module(name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            pattern = found.get(node.targets[0].id)
            if isinstance(pattern, re.Pattern):
                yield node.lineno, pattern, _how(node.targets[0].id)
        elif _is_an_inline_use(node):
            written = node.args[0]
            # A pattern that is put together from what was read could not be looked at here.
            text = found[written.id] if isinstance(written, ast.Name) else ast.literal_eval(written)
            is_anchored = node.func.attr in ("match", "fullmatch")
            flags = re.MULTILINE if "MULTILINE" in ast.unparse(node) else 0
            yield node.lineno, re.compile(text, flags), node.func.attr if is_anchored else "search"


def _is_an_inline_use(node):
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr not in ("compile", "escape")
    )


def _how(name):
    """How a pattern is used: one that only ever matches from the beginning is never searched."""
    used = set(re.findall(rf"\b{name}\.(\w+)\(", SOURCES))
    return min(used) if used and used <= {"match", "fullmatch"} else "search"


MODULES = [path for folder in READING for path in sorted((ROOT / folder).rglob("*.py"))]
# It reads the Dockerfile of any application that `make ci` is pointed at.
MODULES.append(ROOT / "sandbox/images/dockerfile.py")
SOURCES = "\n".join(path.read_text() for path in MODULES)
PATTERNS = [
    pytest.param(pattern, how, id=f"{path.relative_to(ROOT)}:{line}")
    for path in MODULES
    if str(path.relative_to(ROOT)) not in NO_STRANGERS
    for line, pattern, how in patterns_of(path)
]


def attacked(pattern, how):
    """The attack that a pattern does not withstand, or nothing."""
    return subprocess.run(
        [sys.executable, "-I", str(ATTACKS), str(pattern.flags), how],
        input=pattern.pattern,
        capture_output=True,
        text=True,
        timeout=ENOUGH_S,
        check=True,
    ).stdout


@pytest.mark.parametrize(("pattern", "how"), PATTERNS)
def test_the_time_of_a_pattern_grows_no_faster_than_the_text(pattern, how):
    assert not attacked(pattern, how)


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (r"^__metadata:\s*\n\s+version:\s*(\d+)", "search"),
        (r"<[^>]*>", "search"),
        (r"node_modules/(\w+)(?!.*node_modules/)", "search"),
        (r"^\s*EXPOSE\s+(\d+)\s*$", "search"),
        (r"[Rr]epository .*not found", "search"),
    ],
)
def test_a_pattern_that_goes_back_again_and_again_is_found(text, how):
    assert attacked(re.compile(text, re.MULTILINE), how)


def test_the_patterns_of_the_whole_pipeline_are_looked_at():
    assert len(PATTERNS) > 80
