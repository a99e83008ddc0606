"""The stage table: which checks a revision must pass, and what each of them needs.

The default is the one of the CI/CD document. An application changes it with an
optional `delivery.toml` in its repository (see `delivery.checks.delivery_toml`).

Where an application has no script of the document's name, the usual other names are tried in
order. Only names that mean the same thing are listed: `test` alone is the unit tests, but `build`
proves no types. What `npm init` writes for `test` is no test; nor is a script a check that changes
files, waits for a person or sends a report.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SERVICES = ("mongodb", "redis")
SCANNERS = ("npm-audit", "snyk", "secrets")
AUDIT_LEVELS = ("low", "moderate", "high", "critical")
# https://docs.npmjs.com/cli/commands/npm-init writes `echo "Error: no test specified" && exit 1`.
PLACEHOLDER = "no test specified"
# Checks that run tests of the application, whatever their scripts are called.
TESTS = ("unit", "integration", "coverage", "e2e")
_NO_CHECK = re.compile(
    r"(?:^|\s)(?:--write|--fix|--watch|--watchAll|--headed|open|codegen|show-report|codecov"
    r"|coveralls)(?:\s|$)|\b(?:playwright|vitest) [^|;&]{0,200}?--ui(?:\s|$)"
)
# A formatter writes unless it is told to check.
_FORMATTERS = ("prettier", "format", "fmt")
_CHECKS = re.compile(
    r"(?:^|\s)(?:--check|-c|--list-different|-l|--verify)(?:\s|$)|\b(?:biome|dprint) (?:check|ci)\b"
)


def is_a_check(name: str, script: str) -> bool:
    """Return whether the script that is found under another name only says yes or no."""
    if _NO_CHECK.search(script):
        return False
    return name not in _FORMATTERS or bool(_CHECKS.search(script))


@dataclass(frozen=True)
class Check:
    """One check of a revision.

    It runs the npm script `script` (or the first of `other_names` that exists), or `command` when
    that is given, or the pipeline's own `scanners`. `required`: the script must exist. `may_fail`:
    a failure is reported but does not stop the run. `skip`: why the application leaves it out.
    `browser`: it drives a browser; `image` replaces the container image that this chooses.
    `alone`: no other check runs beside it, in the folder and on the processors that all share.
    """

    name: str
    script: str | None = None
    other_names: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    timeout_s: int = 600
    required: bool = False
    may_fail: bool = False
    services: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    scanners: tuple[str, ...] = ()
    audit_level: str = "moderate"
    skip: str | None = None
    browser: bool = False
    image: str | None = None
    alone: bool = False

    def why_not_applicable(self, scripts: Mapping[str, str]) -> str | None:
        """Say why this check does not apply where there are these scripts; None if it does."""
        if self.skip:
            return f"skipped: {self.skip}"
        if self.script is None or self.script_among(scripts):
            return None
        if PLACEHOLDER in scripts.get("test", "") and "test" in self.other_names:
            return f"not applicable: no script `{self.script}`, and `test` is npm's placeholder"
        if other := next((name for name in self.other_names if name in scripts), None):
            return (
                f"not applicable: no script `{self.script}`, and `{other}` changes files, waits "
                "for a person or sends something"
            )
        names = " or ".join(f"`{name}`" for name in (self.script, *self.other_names))
        return f"not applicable: no script {names}"

    def script_among(self, scripts: Mapping[str, str]) -> str | None:
        """Return the first of this check's script names that the application has."""
        if self.script and self.script in scripts and PLACEHOLDER not in scripts[self.script]:
            return self.script
        others = (name for name in self.other_names if name in scripts)
        return next(
            (n for n in others if PLACEHOLDER not in scripts[n] and is_a_check(n, scripts[n])),
            None,
        )


@dataclass(frozen=True)
class StageTable:
    """The checks of an application, in the order in which they are shown, and its settings.

    `folder` is the application's folder in its repository, `node` the version it wants (None:
    what other files say), `image` the container image of all checks. `install` replaces the command
    chosen from the lockfile; `dockerfile` and `context` say how the image is built (see
    `delivery.checks.image_files`). `health_path` replaces the paths that the environment asks.
    Without `answers_revision` any answer of 200 proves a deployment. `migration` says whether an
    older version can read the data afterwards (`delivery.run.ledger.Migration`).
    `checks_at_once` lowers the number of checks that the environment runs side by side.
    """

    checks: tuple[Check, ...]
    folder: str = "."
    node: str | None = None
    image: str | None = None
    install: tuple[str, ...] | None = None
    install_timeout_s: int = 900
    dockerfile: str | None = None
    context: str | None = None
    health_path: str | None = None
    answers_revision: bool = True
    migration: str = "none"
    checks_at_once: int | None = None

    def check(self, name: str) -> Check | None:
        return next((check for check in self.checks if check.name == name), None)

    @property
    def package_path(self) -> str:
        """The path of the application's package.json in its repository."""
        return "package.json" if self.folder == "." else f"{self.folder}/package.json"

    def missing(self, scripts: Mapping[str, str]) -> tuple[Check, ...]:
        """Return the required checks whose script the application lacks."""
        return tuple(
            check
            for check in self.checks
            if check.required
            and not check.skip
            and check.script
            and not check.script_among(scripts)
        )


DEFAULT_TABLE = StageTable(
    checks=(
        Check("lint", script="lint", other_names=("lint:check", "check:lint", "lint:ci", "eslint")),
        Check(
            "format",
            script="format:check",
            other_names=(
                *("check:format", "format-check", "prettier:check", "check:prettier"),
                *("prettier-check", "fmt:check", "prettier", "format", "fmt"),
            ),
            timeout_s=300,
        ),
        Check(
            "types",
            script="type-check",
            other_names=(
                *("typecheck", "check-types", "tsc", "check:types", "types:check", "type:check"),
                *("ts:check", "check:ts"),
            ),
        ),
        Check("security", scanners=SCANNERS, timeout_s=300),
        Check("unit", script="test:unit", other_names=("unit", "test-unit", "test", "test:ci")),
        Check(
            "integration",
            script="test:integration",
            other_names=("integration", "test:int", "test-integration", "integration-test"),
            services=SERVICES,
            timeout_s=900,
        ),
        Check(
            "coverage",
            script="test:coverage",
            other_names=("coverage", "test:cov", "test:cover", "test-coverage", "cov"),
            services=SERVICES,
            timeout_s=900,
        ),
        Check(
            "e2e",
            script="test:e2e",
            other_names=(
                *("e2e", "e2e:ci", "test-e2e", "test:e2e:ci", "e2e:test", "test:playwright"),
                *("playwright:test", "playwright"),
            ),
            services=SERVICES,
            timeout_s=1800,
            browser=True,
        ),
    )
)


def with_audit_level(table: StageTable, level: str) -> StageTable:
    """Return the table with the lowest severity that blocks set in every scanning check."""
    checks = (replace(c, audit_level=level) if c.scanners else c for c in table.checks)
    return replace(table, checks=tuple(checks))
