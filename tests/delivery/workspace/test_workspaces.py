"""Which folders a lockfile covers: those that it lists, and the workspaces of its root."""

import json
import time

import pytest

from delivery.errors import RequestRefused
from delivery.workspace.packages import choose_manager
from delivery.workspace.workspaces import is_workspace

PACKAGE = '{"name": "web", "version": "1.0.0"}'
NPM = {
    "lockfileVersion": 3,
    "packages": {"": {}, "apps/web": {}, "node_modules/web": {"link": True}},
}
PNPM = "lockfileVersion: '9.0'\n\nimporters:\n\n  .: {}\n\n  apps/web: {}\n\n  'a b/c': {}\n"
BERRY = '__metadata:\n  version: 8\n\n"web@workspace:apps/web":\n  version: 0.0.0-use.local\n'
CLASSIC = "# yarn lockfile v1\n"


def managed(lockfile, text, folder, root=None):
    files = {lockfile: text, "package.json": json.dumps({"private": True, **(root or {})})}
    return choose_manager({**files, f"{folder}/package.json": PACKAGE}, folder)


@pytest.mark.parametrize(
    ("lockfile", "text"),
    [("package-lock.json", json.dumps(NPM)), ("pnpm-lock.yaml", PNPM), ("yarn.lock", BERRY)],
)
def test_a_folder_outside_every_workspace_is_not_installed_with_the_root_s_lockfile(lockfile, text):
    """Its packages would be missing: the root's install does not know it."""
    root = {"workspaces": ["apps/*"]} if lockfile != "pnpm-lock.yaml" else {}
    assert managed(lockfile, text, "apps/web", root).root == "."

    with pytest.raises(RequestRefused, match="no lockfile covers 'tools/report'") as caught:
        managed(lockfile, text, "tools/report", root)

    assert "workspace" in caught.value.hint


@pytest.mark.parametrize("workspaces", [["apps/*"], {"packages": ["./apps/*"]}, ["apps/web/"]])
def test_yarn_1_does_not_list_its_workspaces_so_that_their_patterns_count(workspaces):
    assert managed("yarn.lock", CLASSIC, "apps/web", {"workspaces": workspaces}).root == "."
    with pytest.raises(RequestRefused):
        managed("yarn.lock", CLASSIC, "apps/web/tools", {"workspaces": workspaces})


def test_settings_alone_make_no_workspace_of_pnpm():
    files = {"pnpm-workspace.yaml": "onlyBuiltDependencies:\n  - esbuild\n", "package.json": "{}",
             "pnpm-lock.yaml": "lockfileVersion: '9.0'\n\nimporters:\n\n  .: {}\n",
             "apps/web/package.json": PACKAGE}  # fmt: skip

    with pytest.raises(RequestRefused, match="no lockfile covers"):
        choose_manager(files, "apps/web")
    assert managed("pnpm-lock.yaml", PNPM, "a b/c").root == "."
    own = "---\nlockfileVersion: '9.0'\n\nimporters:\n\n  .: {}\n\n---\n"
    assert managed("pnpm-lock.yaml", own + PNPM, "apps/web").root == "."


def test_the_nearest_lockfile_that_covers_the_folder_counts():
    files = {"package.json": '{"workspaces": ["packages/*/apps/*"]}',
             "package-lock.json": '{"lockfileVersion": 3, "packages": {}}',
             "packages/a/package.json": "{}",
             "packages/a/package-lock.json": '{"lockfileVersion": 3}',
             "packages/a/apps/web/package.json": PACKAGE}  # fmt: skip

    assert choose_manager(files, "packages/a/apps/web").root == "."


@pytest.mark.parametrize(
    ("folder", "patterns", "is_one"),
    [
        ("apps/web", ["apps/*"], True),
        ("apps/web/a", ["apps/*"], False),
        ("apps/web/a", ["apps/**"], True),
        ("apps/web", ["**"], True),
        ("apps/web", ["apps/*", "!apps/web"], False),
        ("apps/web", ["!apps/api", "apps/w?b"], True),
        ("apps/web", ["{apps,libs}/*"], True),
        ("apps/web", [], False),
        ("apps/web", ["a" * 100_000], False),
        ("apps/web", ["packages/*"] * 100_000, False),
    ],
)
def test_patterns_of_workspaces_are_read_as_package_managers_do(folder, patterns, is_one):
    assert is_workspace(folder, patterns) is is_one


def test_a_hostile_pattern_is_matched_in_no_time():
    began = time.monotonic()
    folder = "/".join(["a" * 100] * 100)

    assert not is_workspace(folder, ["**/" * 60 + "b", "*a" * 99 + "b", "**/*a*a*a*b"] * 60)

    assert time.monotonic() - began < 2
