"""What sets up this project installs packages by their hashes only, and runs no build of theirs."""

import os
import re
import shutil
import subprocess

from deployments import ROOT

# Files that say how something is installed. The workflows that teams copy are in
# tests/deployments/test_github_workflows.py.
INSTALLING = [
    ROOT / "Makefile",
    ROOT / ".ci/run",
    *ROOT.glob(".github/workflows/*"),
    *ROOT.glob("**/Dockerfile"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("*.md"),
]
INSTALL = re.compile(r"\bpip3? (?:install|sync)\b.*")
# This project itself, from this folder, built by what the lock holds.
OURSELVES = "--no-deps --no-build-isolation --editable ."
NO_BUILD = ("--only-binary=:all:", "--no-build")


def commands():
    """Yield each command that installs Python packages, with its continued lines, and its file."""
    for file in INSTALLING:
        if ".venv" not in file.parts and "node_modules" not in file.parts:
            for found in INSTALL.findall(file.read_text().replace("\\\n", " ")):
                yield file.relative_to(ROOT), found


def test_whatever_installs_a_package_compares_its_hash_and_runs_no_build():
    found = list(commands())

    assert {str(file) for file, _ in found} == {"Makefile", "deployments/worker/Dockerfile"}
    for file, command in found:
        if not command.endswith(OURSELVES):
            assert "--require-hashes" in command, f"{file}: {command}"
            assert any(option in command for option in NO_BUILD), f"{file}: {command}"


def test_a_uv_with_another_hash_is_not_installed_and_not_run(tmp_path):
    lock = (ROOT / "requirements.lock").read_text()
    uv = re.search(r"^uv==(?:.*\\\n)+.*", lock, re.MULTILINE)[0]
    other = re.sub("sha256:.{6}", "sha256:000000", uv)
    (tmp_path / "requirements.lock").write_text(lock.replace(uv, other))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)

    made = subprocess.run(
        ["make", "setup"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert made.returncode != 0
    assert "DO NOT MATCH THE HASHES" in made.stderr
    assert not (tmp_path / ".venv/bin/uv").exists()
