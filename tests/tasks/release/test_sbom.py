"""The SBOM of a release: what the lockfile says, whatever is or is not installed."""

import json
import subprocess
from types import SimpleNamespace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from prefect.logging import disable_run_logger

from delivery.checks.delivery_toml import parse_table
from delivery.checks.images import Images
from delivery.checks.plan import CheckPlan
from delivery.checks.table import DEFAULT_TABLE
from delivery.errors import RequestRefused
from delivery.release.tag import read_tag
from delivery.workspace.packages import choose_manager
from tasks.release.sbom import described, sbom
from tasks.workspace.checkout import check_out
from tasks.workspace.committed import package_files
from tests.tasks.workspace.test_lockfile import FLAT, FOLDERS, LOCKS, NAMES, WRITTEN

REACT = {"version": "19.0.0", "dependencies": {"scheduler": "1.0.0"}, "license": "MIT"}
OMITTED = {
    "package.json": {"name": "app", "version": "1.0.0"},
    "package-lock.json": {
        "lockfileVersion": 3,
        "packages": {
            "": {"dependencies": {"react": "19.0.0"}, "devDependencies": {"testing": "1.0.0"}},
            "node_modules/react": REACT,
            "node_modules/scheduler": {"version": "1.0.0"},
            "node_modules/testing": {
                "version": "1.0.0",
                "dev": True,
                "peerDependencies": {"react": "^19.0.0"},
            },
        },
    },
}
WITHOUT_VERSION = {
    "package.json": {"name": "app", "private": True},
    "package-lock.json": {
        "lockfileVersion": 3,
        "packages": {
            "": {"name": "app", "dependencies": {"core": "1.0.0"}},
            "node_modules/core": {"version": "1.0.0"},
        },
    },
}
LEGACY_PEERS = {
    "delivery.toml": 'install = "npm ci --legacy-peer-deps"\n',
    "package.json": {"name": "app", "version": "1.0.0"},
    "package-lock.json": {
        "lockfileVersion": 3,
        "packages": {
            "": {"dependencies": {"react": "19.0.0", "ui": "1.0.0"}},
            "node_modules/react": {"version": "19.0.0", "license": "MIT"},
            "node_modules/ui": {"version": "1.0.0", "peerDependencies": {"react": "^18.0.0"}},
        },
    },
}
PNPM = {
    "package.json": {"name": "app", "version": "1.0.0", "private": True},
    "pnpm-lock.yaml": """lockfileVersion: '9.0'

importers:

  .:
    dependencies:
      is-odd:
        specifier: 3.0.1
        version: 3.0.1

packages:

  is-number@6.0.0:
    resolution: {integrity: sha512-Wu1VHeILBK8KAWJUAiSZQX94GmOE45Rg6/538fKwiloUu21KncEkYGPqob2oSZ5mUT73vLGrHQjKw3KMPwfDzg==}

  is-odd@3.0.1:
    resolution: {integrity: sha512-CQpnWPrDwmP1+SMHXZhtLtJv90yiyVfluGsX5iNCVkrhQtU3TQHsUWPG9wkdk9Lgd5yNpAg9jQEo90CBaXgWMA==}

snapshots:

  is-number@6.0.0: {}

  is-odd@3.0.1:
    dependencies:
      is-number: 6.0.0
""",  # noqa: E501  as pnpm writes it
}
WORKSPACE = {
    "delivery.toml": 'folder = "apps/web"\n',
    "package.json": {"name": "root", "private": True, "workspaces": ["apps/*"]},
    "apps/web/package.json": {"name": "web", "version": "1.0.0"},
    "apps/api/package.json": {"name": "api", "version": "1.0.0"},
    "package-lock.json": {
        "lockfileVersion": 3,
        "packages": {
            "": {"name": "root", "workspaces": ["apps/*"]},
            "apps/api": {"name": "api", "version": "1.0.0", "dependencies": {"other": "1.0.0"}},
            "apps/web": {"name": "web", "version": "1.0.0", "dependencies": {"core": "1.0.0"}},
            "node_modules/api": {"resolved": "apps/api", "link": True},
            "node_modules/web": {"resolved": "apps/web", "link": True},
            "node_modules/core": {"version": "1.0.0"},
            "node_modules/other": {"version": "1.0.0"},
        },
    },
}
SECRET = "CANARY"
ODD = {
    "package.json": {"name": "app"},
    "package-lock.json": {
        "lockfileVersion": 3,
        "packages": {
            "": {"dependencies": dict.fromkeys(["a", "g", "@s/p", "t a", "n\0\x1b"], "1")},
            "node_modules/a": {
                "version": "1.0.0",
                "resolved": f"https://me:{SECRET}@registry.example.com/a.tgz?token={SECRET}",
                "license": "SEE LICENSE IN LICENSE.md",
                "integrity": "sha512-bm90 sha1-x sha512-" + "A" * 86 + "==",
            },
            "node_modules/g": {"resolved": f"git+ssh://git:{SECRET}@git.example.com/g.git#abc"},
            "node_modules/@s/p": {"version": "2.0.0", "license": "(MIT OR Apache-2.0)"},
            "node_modules/t a": {
                "version": "1.0.0",
                "resolved": "https://example.com/t a.tgz",
                "license": "(" * 5_000,
            },
            "node_modules/n\0\x1b": {"version": "1\n2", "license": "MIT"},
        },
    },
}


@pytest.fixture
def released(tmp_path):
    """Commit files, check them out, and plan what a release of them does."""

    def release(files, tag="v1.4.0"):
        upstream = tmp_path / "upstream"
        for name, content in files.items():
            path = upstream / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        for git in (["init", "-qb", "main"], ["add", "-A"], [*who, "commit", "-qm", "x"]):
            subprocess.run(["git", "-C", str(upstream), *git], check=True)
        (tmp_path / "mirrors").mkdir()
        source = check_out(str(upstream), None, "main", tmp_path / "source", tmp_path / "mirrors")
        table = parse_table(files.get("delivery.toml", ""), DEFAULT_TABLE)
        texts, _ = package_files(source, table.folder)
        manager = choose_manager(texts, table.folder, install=table.install)
        plan = CheckPlan(table, manager, Images("node", "node"), {}, (), ())
        tagged = SimpleNamespace(source=source, tag=read_tag(tag), revision=source.revision)
        return tagged, plan

    return release


def made(release):
    with disable_run_logger():
        text = sbom(*release)
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    return json.loads(text)


def names(document):
    return {f"{each.get('group', '')}/{each['name']}".strip("/") for each in document["components"]}


@pytest.mark.parametrize(
    ("files", "application", "components"),
    [
        (OMITTED, "app", {"react", "scheduler"}),
        (WITHOUT_VERSION, "app", {"core"}),
        (LEGACY_PEERS, "app", {"react", "ui"}),
        (PNPM, "app", {"is-odd", "is-number"}),
        (WORKSPACE, "web", {"core"}),
    ],
    ids=["a peer of a dev package", "no version", "legacy peers", "pnpm", "a workspace"],
)
def test_an_sbom_names_what_the_application_runs_with(released, files, application, components):
    document = made(released(files))

    assert document["metadata"]["component"]["name"] == application
    assert document["metadata"]["component"]["version"] == "1.4.0"
    assert names(document) == components


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_manager_s_lockfile_makes_one(released, name):
    """Nothing is installed, and no package manager is asked."""
    files = {NAMES[name[:3]]: (WRITTEN / name).read_text()}
    if name == "npm-1.json":
        files["package.json"] = FLAT
    else:
        files |= {f"{folder}/package.json": each for folder, each in FOLDERS.items()}
        files["package.json"] = {**FOLDERS["."], "workspaces": ["apps/*", "lib"]}
        files["pnpm-workspace.yaml"] = "packages:\n  - apps/*\n  - lib\n"
        files["delivery.toml"] = 'folder = "apps/web"\n'

    document = made(released(files))

    assert document["metadata"]["component"]["name"] == "web"
    assert names(document) >= {"is-odd", "is-number", "minimist", "isexe"}
    assert not names(document) & {"mkdirp", "root", "api", "web"}
    scopes = {each["name"]: each["scope"] for each in document["components"]}
    assert (scopes["isexe"], scopes["is-odd"]) == ("optional", "required")


def test_dependencies_digests_and_licences_are_said(released):
    document = made(released(OMITTED))

    needs = {each["ref"]: each.get("dependsOn") for each in document["dependencies"]}
    assert needs["application"] == ["pkg:npm/react@19.0.0"]
    assert needs["pkg:npm/react@19.0.0"] == ["pkg:npm/scheduler@1.0.0"]
    [react, _] = document["components"]
    assert react["licenses"] == [{"license": {"id": "MIT"}}]


def test_the_digest_of_a_package_is_that_of_its_lockfile(released):
    [number, _] = made(released(PNPM))["components"]

    [digest] = number["hashes"]
    assert digest["alg"] == "SHA-512"
    assert digest["content"].startswith("5aed551de2")


def test_an_sbom_is_the_same_whenever_it_is_made(released):
    release = released(WORKSPACE)

    assert made(release) == made(release)
    assert made(release)["metadata"]["timestamp"].startswith(release[0].source.committed_at[:10])


def test_what_strangers_write_is_a_valid_sbom_without_their_passwords(released):
    document = made(released(ODD))

    assert SECRET not in json.dumps(document)
    by_name = {each["name"]: each for each in document["components"]}
    assert by_name["p"]["group"] == "@s"
    assert by_name["p"]["licenses"] == [{"expression": "(MIT OR Apache-2.0)"}]
    assert [len(each["content"]) for each in by_name["a"]["hashes"]] == [128]
    assert "vcs_url=git" in by_name["g"]["purl"]
    assert "download_url=https" in by_name["t a"]["purl"]
    assert by_name["n"]["version"] == "1 2"


def test_without_a_lockfile_there_is_no_sbom_and_nothing_is_built_in_vain(released):
    files = {"package.json": {"name": "app"}, "delivery.toml": 'install = "npm install"\n'}
    tagged, plan = released(files)

    with pytest.raises(RequestRefused, match="no lockfile is committed") as caught:
        described(tagged.source, plan, "1.4.0")

    assert caught.value.hint
