"""The workflows that teams copy: valid, safe, and what they start is what there is."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deployments" / "github").glob("*.yml"))
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
BIN = Path(sys.executable).parent
HOSTILE = "'\"$(touch stolen)`touch stolen`; touch stolen\n--version {{x}} 1e5"
GIVEN = {
    "push": {"REVISION": "1" * 40, "REF": HOSTILE},
    "pull-request": {"NUMBER": "7", "REVISION": HOSTILE},
    "release": {"TAG": HOSTILE},
    "rollback": {"TARGET": "12345678", "REASON": HOSTILE},
}
ASKED = {
    "push": ("ci/kanvaro", {"revision": "1" * 40, "ref": HOSTILE}),
    "pull-request": (
        "pull-request/kanvaro",
        {"number": 7, "revision": HOSTILE, "approved_by": "ada"},
    ),
    "release": ("release/kanvaro", {"tag": HOSTILE}),
    "rollback": ("rollback/production", {"target_version": "12345678", "reason": HOSTILE}),
}
PREFECT = """#!{python}
import json, os, sys
json.dump(sys.argv[1:], open("asked.json", "w"))
sys.exit(int(os.environ["VERDICT"]))
"""
of_each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def checked(program, *arguments):
    told = subprocess.run(
        [str(BIN / program), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return told.returncode, told.stdout + told.stderr


def actionlint(*files):
    return checked("actionlint", "-no-color", "-shellcheck=", "-pyflakes=", *files)


def zizmor(*files):
    return checked("zizmor", "--offline", "--no-progress", "--persona=pedantic", *files)


def steps(file):
    [job] = yaml.safe_load(file.read_text())["jobs"].values()
    return job["steps"]


def test_there_is_one_for_each_way_to_start():
    assert {file.stem for file in FILES} == ASKED.keys()


def test_actionlint_and_zizmor_find_nothing():
    assert actionlint(*FILES) == (0, "")
    code, said = zizmor(*FILES)
    assert code == 0, said
    assert said.count("completed deployments") == 0 or "No findings" in said
    assert all(str(file.name) in said for file in FILES), "each of them was looked at"


def test_actionlint_and_zizmor_would_find_something(tmp_path):
    spoiled = tmp_path / "push.yml"
    text = (ROOT / "deployments/github/push.yml").read_text()
    spoiled.write_text(text.replace("ubuntu-24.04", "ubuntu-1"))
    assert actionlint(spoiled)[0] != 0
    spoiled.write_text(text.replace("$given", "${{ github.event.head_commit.message }}"))
    assert "template-injection" in zizmor(spoiled)[1]


@of_each_file
def test_it_may_only_read_its_lock_and_its_actions_are_pinned(file):
    written = yaml.safe_load(file.read_text())
    assert written["permissions"] == {}
    assert all(job["permissions"] == {"contents": "read"} for job in written["jobs"].values())
    assert written["concurrency"]["group"]
    for step in steps(file):
        if "uses" in step:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])
        assert "${{" not in step.get("run", ""), "what is anybody's goes by the environment"
    [checkout] = [step for step in steps(file) if "checkout" in step.get("uses", "")]
    assert checkout["with"] == {
        "persist-credentials": False,
        "sparse-checkout": ".github/workflows/prefect.lock",
        "sparse-checkout-cone-mode": False,
    }


@of_each_file
def test_its_secret_is_one_of_an_environment_whose_rules_name_the_branches(file):
    """As a secret of the repository, the workflow of any branch could read it."""
    [job] = yaml.safe_load(file.read_text())["jobs"].values()
    where = {"push": "delivery", "pull-request": "delivery", "release": "release"}
    assert job["environment"] == where.get(file.stem, "production")
    assert file.read_text().count("secrets.") == 1
    assert "secrets" in str(steps(file)[-1]["env"])
    docs = (ROOT / "docs" / "github.md").read_text()
    assert f"| `{job['environment']}` |" in docs


@of_each_file
def test_no_event_of_a_pull_request_starts_it(file):
    """Its workflow would be that of the pull request; these come by the webhook."""
    events = yaml.safe_load(file.read_text())[True]  # YAML reads `on` as a truth
    assert events.keys() <= {"push", "workflow_dispatch"}
    assert "event.pull_request" not in file.read_text()


@of_each_file
def test_it_installs_only_what_the_lock_has_by_its_hashes(file):
    [install] = [step["run"] for step in steps(file) if "install" in step.get("run", "")]
    assert install.split() == [
        *("pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:"),
        *("--requirement", ".github/workflows/prefect.lock"),
    ]


def locked(path):
    """Return the hashes of each package of a lock, by its name and version."""
    found, hashes = {}, []
    for line in (ROOT / path).read_text().splitlines():
        if named := re.match(r"([a-z0-9._-]+)(?:\[[a-z,]+\])?==([^ ;]+)", line):
            hashes = found.setdefault(named.groups(), [])
        hashes += re.findall(r"--hash=sha256:([0-9a-f]{64})", line)
    return found


def needed(name, environment, known):
    """Collect a distribution and all that it requires on the machine that is described."""
    known.add(canonicalize_name(name))
    for text in distribution(name).requires or ():
        required = Requirement(text)
        applies = required.marker is None or required.marker.evaluate(environment)
        if applies and canonicalize_name(required.name) not in known:
            needed(required.name, environment, known)
    return known


def test_the_lock_has_all_that_prefect_needs_in_the_versions_that_are_tested_here():
    of_the_workflows, ours = locked("deployments/github/prefect.lock"), locked("requirements.lock")
    assert all(of_the_workflows.values()), "a package without a hash"
    names = {name for name, _ in of_the_workflows}
    runner = {
        "python_version": "3.12",
        "python_full_version": "3.12.10",
        "extra": "",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    assert needed("prefect", runner, set()) <= names
    for (name, version), hashes in of_the_workflows.items():
        assert (name, version) in ours, f"{name} {version} is not what `make lock` gave us"
        assert set(hashes) == set(ours[name, version])


@of_each_file
@pytest.mark.parametrize("verdict", [0, 1])
def test_it_starts_its_deployment_with_what_it_was_given_and_passes_on_the_verdict(
    file, verdict, tmp_path
):
    prefect = tmp_path / "bin" / "prefect"
    prefect.parent.mkdir()
    prefect.write_text(PREFECT.format(python=sys.executable))
    prefect.chmod(0o755)
    (prefect.parent / "python").symlink_to(sys.executable)
    last = steps(file)[-1]
    given = GIVEN[file.stem] | {"BY": "by:ada", "VERDICT": str(verdict)}
    assert last["env"].keys() - {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING"} == given.keys() - {
        "VERDICT"
    }

    ended = subprocess.run(  # as GitHub runs it
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", last["run"]],
        cwd=tmp_path,
        env={"PATH": f"{prefect.parent}:{os.environ['PATH']}", **given},
        check=False,
    )

    assert ended.returncode == verdict
    deployment, parameters = ASKED[file.stem]
    asked = json.loads((tmp_path / "asked.json").read_text())
    assert asked[:4] == ["deployment", "run", deployment, "--params"]
    assert json.loads(asked[4]) == parameters
    assert asked[5:8] == ["--tag", "by:ada", "--watch"]
    assert not (tmp_path / "stolen").exists()


@of_each_file
def test_what_it_starts_is_deployed(file):
    flow, name = ASKED[file.stem][0].split("/")
    path = f"flows/{flow.replace('-', '_')}.py"
    if not (ROOT / path).exists():
        pytest.skip(f"{path} is not there yet")
    named = [(each["name"], each["entrypoint"].partition(":")[0]) for each in DEPLOYMENTS]
    assert (name, path) in named
