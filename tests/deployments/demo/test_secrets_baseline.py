"""The way out of a find that is no secret: the scan's own command, and what it writes."""

import json
import subprocess
from pathlib import Path

import pytest

from delivery.errors import ConfigurationError, RequestRefused
from deployments.demo.secrets_baseline import write_baseline
from tasks.checks.scanners import ScanContext, secret_scan
from tasks.workspace.program_environment import program_environment

# Put together here, so that no scan of this repository takes it for a real one.
AWS_KEY = "AKIA" + "Q3EGR7N5XYZPLMKT"


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "app"
    (folder / "test").mkdir(parents=True)
    (folder / "test/a.ts").write_text(f"'{AWS_KEY}'\n")
    (folder / "src.ts").write_text(f"'{AWS_KEY}'\n")
    (folder / "untracked").write_text(AWS_KEY)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "add", "src.ts", "test"], check=True)
    (folder / "untracked").unlink()
    return folder


def scanned(folder, tmp_path):
    (tmp_path / "logs").mkdir(exist_ok=True)
    environment = program_environment(tmp_path / "home", tmp_path / "cache")
    return secret_scan(ScanContext(folder, tmp_path / "logs", environment, log=print))


def test_what_the_command_wrote_is_accepted_by_the_scan(repository, tmp_path, capsys):
    assert not scanned(repository, tmp_path).passed

    assert "accepts 2 new finds" in write_baseline(repository / "test")

    shown = capsys.readouterr().out
    assert "src.ts:1: AWS Access Key (LOOK: this may be real)" in shown
    assert "test/a.ts:1: AWS Access Key (in a test or example)" in shown
    assert AWS_KEY not in shown + (repository / ".secrets.baseline").read_text()
    assert scanned(repository, tmp_path).passed
    assert "accepts 0 new finds" in write_baseline(repository)


def test_a_file_that_git_does_not_track_is_not_searched(repository):
    (repository / "own.env").write_text(AWS_KEY)

    write_baseline(repository)

    results = json.loads((repository / ".secrets.baseline").read_text())["results"]
    assert sorted(results) == ["src.ts", "test/a.ts"]


def test_what_is_no_baseline_is_not_overwritten(repository, tmp_path):
    baseline = repository / ".secrets.baseline"
    baseline.write_text("mine")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        write_baseline(repository)
    assert baseline.read_text() == "mine"

    baseline.unlink()
    (tmp_path / "elsewhere").write_text("mine")
    baseline.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RequestRefused, match="is a link"):
        write_baseline(repository)
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_a_folder_without_git_is_refused(tmp_path):
    with pytest.raises(RequestRefused, match="no folder of a git repository"):
        write_baseline(Path(tmp_path))
