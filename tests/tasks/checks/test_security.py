"""The security check as a whole: what it judges, and what it says."""

import json
import os
import subprocess

import pytest
from prefect.logging import disable_run_logger

from blocks.environment import Environment
from blocks.policy import Policy
from blocks.serving import AppRunnerService
from delivery.checks.images import Images
from delivery.checks.plan import CheckPlan
from delivery.checks.table import DEFAULT_TABLE
from delivery.errors import CheckCancelled, CheckFailed
from delivery.workspace.packages import choose_manager
from sandbox.advisories import Advisories
from tasks.checks import security
from tasks.checks.security import security_report
from tasks.workspace.checkout import check_out
from tasks.workspace.workspace import Workspace

# Put together here, so that no scan of this repository takes it for a real one.
AWS_KEY = "AKIA" + "Q3EGR7N5XYZPLMKT"
PACKAGE = {"name": "tiny", "version": "1.0.0"}
LOCK = {"name": "tiny", "lockfileVersion": 3, "packages": {"": PACKAGE}}
FILES = {"package.json": json.dumps(PACKAGE), "package-lock.json": json.dumps(LOCK)}


class Checked:
    """A commit of these files, its check-out, and the security check of it."""

    def __init__(self, folder, files, registry, **environment):
        upstream = folder / "upstream"
        upstream.mkdir()
        for name, text in {**FILES, **files}.items():
            (upstream / name).write_text(text)
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        for git in (["init", "-qb", "main"], ["add", "-A"], [*who, "commit", "-qm", "x"]):
            subprocess.run(["git", "-C", str(upstream), *git], check=True)
        for made in ("home", "logs", "mirrors", "cache", "reports"):
            (folder / made).mkdir()
        self.workspace = Workspace(
            run="run",
            owner="owner",
            source=folder / "source",
            home=folder / "home",
            logs=folder / "logs",
            mirrors=folder / "mirrors",
            cache=folder / "cache",
            reports=folder / "reports",
        )
        self.source = check_out(
            str(upstream), None, "main", self.workspace.source, self.workspace.mirrors
        )
        self.environment = Environment(
            strategy="in-place",
            name="test",
            repository=str(upstream),
            service=AppRunnerService(
                name="kanvaro", access_role_arn="arn:aws:iam::000000000000:role/ecr"
            ),
            advisory_registry=registry,
            workshop=folder,
            **environment,
        )

    def report(self):
        plan = CheckPlan(DEFAULT_TABLE, choose_manager(FILES), Images("node", "node"), {}, (), ())
        check = DEFAULT_TABLE.check("security")
        with disable_run_logger():
            return security_report(self.environment, self.source, self.workspace, plan, check)


@pytest.fixture
def checked(tmp_path, monkeypatch):
    monkeypatch.setattr(security, "create_table_artifact", lambda *_, **__: None)
    with Advisories() as advisories:
        yield lambda files=FILES, **environment: Checked(
            tmp_path, files, advisories.url, **environment
        )


def test_the_commit_is_judged_whatever_became_of_its_check_out(checked):
    app = checked({"leak.ts": f"'{AWS_KEY}'\n"})
    digest = "0" * 40
    accepted = {"results": {"leak.ts": [{"hashed_secret": digest}]}}
    (app.source.folder / "leak.ts").write_text("")
    (app.source.folder / ".secrets.baseline").write_text(json.dumps(accepted))
    (app.source.folder / "package-lock.json").write_text("broken")

    with pytest.raises(CheckFailed, match=r"leak\.ts:1") as raised:
        app.report()

    assert "npm-audit: nothing found" in str(raised.value)


def test_what_other_checks_left_in_the_check_out_is_not_scanned(checked):
    app = checked()
    (app.source.folder / "coverage.json").write_text(AWS_KEY)

    assert app.report() == (
        "npm-audit: nothing found in 0 packages; 0 of level moderate or worse",
        "secrets: no secrets in 2 files",
    )


def test_a_secret_in_a_file_whose_name_is_not_utf_8_fails_the_check(checked):
    app = checked({os.fsdecode(b"caf\xe9.txt"): f"{AWS_KEY}\n"})

    with pytest.raises(CheckFailed) as raised:
        app.report()

    assert "- high: caf?.txt:1: AWS Access Key" in str(raised.value).splitlines()
    assert "`make secrets-baseline REPOSITORY=…`" in raised.value.hint


def test_an_excused_scanner_is_said_to_be_excused(checked):
    excusing = Policy(scanners_that_may_be_absent=["snyk"])
    app = checked(snyk_token="CANARY", policy=excusing)

    *_, remark = app.report()

    assert remark.startswith("snyk: did not run: there is a token, but no `snyk`")
    assert remark.endswith("(allowed by the environment)")


def test_a_scan_that_was_stopped_is_no_failure_of_its_own(checked):
    """Another check failed first, and that is what people should read."""
    app = checked({"leak.ts": f"'{AWS_KEY}'\n"})
    app.workspace.stop_sign.touch()

    with pytest.raises(CheckCancelled):
        app.report()
