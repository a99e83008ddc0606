"""Which package manager an application uses, whatever it committed."""

import json

import pytest

from delivery.errors import ConfigurationError, RequestRefused
from delivery.workspace.node_versions import node_is_wanted
from delivery.workspace.package_json import read_package
from delivery.workspace.packages import choose_manager, wanted_node

PACKAGE = json.dumps({"name": "app", "scripts": {"lint": "eslint ."}})
LOCK = json.dumps({"lockfileVersion": 3, "packages": {}})
CLASSIC = "# yarn lockfile v1\n\nleft-pad@^1.0.0:\n  version: 1\n"
BERRY = '__metadata:\n  version: 8\n  cacheKey: 10\n\n"a@npm:1":\n  version: 1\n'


def pinned(manager):
    return json.dumps({"packageManager": manager})


@pytest.mark.parametrize(
    ("files", "install"),
    [
        ({"package-lock.json": '{"lockfileVersion": 1}'}, "npm ci"),
        ({"package-lock.json": '{"lockfileVersion": 2}'}, "npm ci"),
        ({"npm-shrinkwrap.json": LOCK}, "npm ci"),
        ({"package-lock.json": LOCK, "npm-shrinkwrap.json": LOCK}, "npm ci"),
        (
            {"pnpm-lock.yaml": "lockfileVersion: '9.0'\n"},
            "npx --yes pnpm@9.15.9 install --frozen-lockfile",
        ),
        (
            {"pnpm-lock.yaml": "lockfileVersion: 5.4\n"},
            "npx --yes pnpm@7.33.7 install --frozen-lockfile",
        ),
        (
            {
                "package.json": pinned("pnpm@10.4.1+sha512.c753b6c3ad7afa13af388fa6d808035a0"),
                "pnpm-lock.yaml": "lockfileVersion: '9.0'\n",
            },
            "npx --yes pnpm@10.4.1 install --frozen-lockfile",
        ),
        ({"yarn.lock": CLASSIC}, "npx --yes yarn@1.22.22 install --frozen-lockfile"),
        ({"yarn.lock": ""}, "npx --yes yarn@1.22.22 install --frozen-lockfile"),
        (
            {"yarn.lock": BERRY},
            "npx --yes --package=@yarnpkg/cli-dist@4.13.0 yarn install --immutable",
        ),
        (
            {"yarn.lock": BERRY, "package.json": pinned("yarn@4.5.0")},
            "npx --yes --package=@yarnpkg/cli-dist@4.5.0 yarn install --immutable",
        ),
        (
            {"yarn.lock": CLASSIC, "package-lock.json": LOCK, "package.json": pinned("npm@11.0.0")},
            "npx --yes npm@11.0.0 ci",
        ),
    ],
)
def test_the_lockfile_decides_how_to_install(files, install):
    assert choose_manager({"package.json": PACKAGE, **files}).install == tuple(install.split())


def test_a_committed_yarn_is_used_rather_than_a_downloaded_one():
    files = {
        "package.json": PACKAGE,
        "yarn.lock": BERRY,
        ".yarnrc.yml": "nodeLinker: pnp\nyarnPath: .yarn/releases/yarn-4.1.0.cjs\n",
    }
    releases = (".yarn/releases/yarn-3.2.1.cjs", ".yarn/releases/yarn-4.1.0.cjs")

    manager = choose_manager(files, releases=releases)

    assert manager.install == ("node", ".yarn/releases/yarn-4.1.0.cjs", "install", "--immutable")
    assert manager.run("lint") == ("node", ".yarn/releases/yarn-4.1.0.cjs", "run", "lint")


def test_a_yarn_that_is_named_but_not_committed_is_not_run():
    files = {
        "package.json": PACKAGE,
        "yarn.lock": BERRY,
        ".yarnrc.yml": "yarnPath: ../../evil.cjs\n",
    }

    assert choose_manager(files).program[0] == "npx"


def test_a_workspace_is_installed_at_its_root_and_checked_in_its_folder():
    files = {
        "package.json": json.dumps({"workspaces": ["apps/*"]}),
        "package-lock.json": LOCK,
        "apps/web/package.json": PACKAGE,
    }

    manager = choose_manager(files, "apps/web")

    assert (manager.root, manager.install, manager.lockfile) == (
        ".",
        ("npm", "ci"),
        "package-lock.json",
    )
    assert choose_manager({**files, "apps/web/yarn.lock": CLASSIC}, "apps/web").root == "apps/web"


def test_yarn_of_a_workspace_root_is_found_from_the_sub_folder():
    files = {
        "package.json": json.dumps({"workspaces": ["apps/*"]}),
        "yarn.lock": BERRY,
        "apps/web/package.json": PACKAGE,
    }

    manager = choose_manager(files, "apps/web", releases=(".yarn/releases/yarn-4.1.0.cjs",))

    assert manager.install[1] == ".yarn/releases/yarn-4.1.0.cjs"
    assert manager.run("lint")[1] == "../../.yarn/releases/yarn-4.1.0.cjs"


def test_a_lockfile_further_up_that_does_not_cover_the_folder_does_not_count():
    files = {"package.json": PACKAGE, "package-lock.json": LOCK, "apps/web/package.json": PACKAGE}

    with pytest.raises(RequestRefused, match="no lockfile covers 'apps/web'"):
        choose_manager(files, "apps/web")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "no lockfile covers the repository"),
        ({"bun.lock": "{}"}, "locked by Bun"),
        ({"bun.lockb": "\0"}, "locked by Bun"),
        ({"bun.lock": "", "package-lock.json": LOCK}, "several lockfiles are committed"),
        ({"yarn.lock": CLASSIC, "package-lock.json": LOCK}, "package-lock.json, yarn.lock"),
        ({"package-lock.json": '{"lockfileVersion": 4}'}, "is of version 4"),
        ({"package-lock.json": "[]"}, "is of version None"),
        ({"package-lock.json": '{"a": 1,\n}'}, "not valid JSON: .* at line 2, column 1"),
        ({"package-lock.json": "{\n<<<<<<< HEAD\n"}, "unfinished merge"),
        ({"pnpm-lock.yaml": "lockfileVersion: '99.0'\n"}, "lockfileVersion: '99.0'"),
        ({"yarn.lock": "__metadata:\n  version: 99\n"}, "does not say which Yarn"),
    ],
)
def test_what_cannot_be_installed_for_certain_is_refused_with_a_hint(files, sentence):
    with pytest.raises(RequestRefused, match=sentence) as caught:
        choose_manager({"package.json": PACKAGE, **files})
    assert caught.value.hint


def test_an_install_command_of_the_application_stands_in_for_a_lockfile():
    install = ("npm", "install", "--legacy-peer-deps")

    manager = choose_manager({"package.json": PACKAGE}, install=install)

    assert (manager.name, manager.install, manager.lockfile) == ("npm", install, None)
    broken = {"package.json": PACKAGE, "package-lock.json": "{"}
    assert choose_manager(broken, install=install).install == install
    yarn = choose_manager({"package.json": PACKAGE}, install=("yarn", "install"))
    assert yarn.run("lint") == ("npx", "--yes", "yarn@1.22.22", "run", "lint")


def test_a_folder_without_package_json_is_refused():
    with pytest.raises(RequestRefused, match=r"there is no apps/web/package\.json"):
        choose_manager({"package.json": PACKAGE}, "apps/web")


def test_arguments_of_a_script_reach_the_script():
    npm = choose_manager({"package.json": PACKAGE, "package-lock.json": LOCK})
    pnpm = choose_manager({"package.json": PACKAGE, "pnpm-lock.yaml": "lockfileVersion: '9.0'"})

    assert npm.run("smoke", "--base-url=x") == ("npm", "run", "smoke", "--", "--base-url=x")
    assert pnpm.run("smoke", "-x")[-3:] == ("run", "smoke", "-x")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"name": "a",\n  "scripts": {,}}', "not valid JSON: .* at line 2, column 15"),
        ("", "not valid JSON"),
        ("[]", "must hold an object"),
        ('{"scripts": []}', None),
        ('{"scripts": ["a"]}', "`scripts` must be an object"),
        ('{"scripts": {"a": 1}}', "`scripts` must be an object"),
        ('{"packageManager": "yarn"}', "`packageManager` must be like"),
        ('{"packageManager": "pnpm@9; id"}', "`packageManager` must be like"),
    ],
)
def test_a_broken_package_json_is_told_by_place(text, sentence):
    if sentence is None:
        assert read_package(text).scripts == {}
        return
    with pytest.raises(ConfigurationError, match=f"^package.json.*{sentence}"):
        read_package(text)


def test_package_json_may_begin_with_a_byte_order_mark():
    assert read_package("\ufeff" + PACKAGE).scripts == {"lint": "eslint ."}


@pytest.mark.parametrize(
    ("files", "wish"),
    [
        ({"package.json": PACKAGE}, None),
        ({".nvmrc": "v20.11\n", ".node-version": "18"}, ("v20.11", ".nvmrc")),
        ({".nvmrc": "# ours\n\n20 # lts\n"}, ("20", ".nvmrc")),
        ({".node-version": "18\n"}, ("18", ".node-version")),
        (
            {"package.json": '{"engines": {"node": ">=20"}}'},
            (">=20", "package.json (engines.node)"),
        ),
        ({"package.json": '{"engines": ["x"]}'}, None),
        (
            {
                "package.json": '{"engines": {"node": ">=18"}, "devEngines": '
                '{"runtime": [{"name": "deno"}, {"name": "node", "version": "^22"}]}}'
            },
            ("^22", "package.json (devEngines.runtime)"),
        ),
        ({"package.json": '{"devEngines": {"runtime": {"name": "bun", "version": "1"}}}'}, None),
    ],
)
def test_the_wish_for_a_node_version_is_found_where_people_leave_it(files, wish):
    assert wanted_node(files) == wish


def test_the_nearest_wish_counts_in_a_monorepo():
    files = {".nvmrc": "18", "apps/web/package.json": '{"engines": {"node": "22"}}'}

    assert wanted_node(files, "apps/web") == ("22", "apps/web/package.json (engines.node)")
    assert wanted_node(files, "apps/api") == ("18", ".nvmrc")


HOSTILE = ["[" * 100_000, '{"a":' * 100_000, '{"lockfileVersion": ' + "9" * 5_000]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_lockfile_or_manifest_gets_a_clear_error(text):
    with pytest.raises(RequestRefused, match=r"package-lock\.json is not valid JSON"):
        choose_manager({"package.json": PACKAGE, "package-lock.json": text})
    with pytest.raises(ConfigurationError, match=r"package\.json is not valid JSON"):
        read_package(text)


@pytest.mark.parametrize("key", ["packageManager", "name", "engines", "scripts"])
@pytest.mark.parametrize("depth", [900, 150])
def test_a_deeply_nested_value_is_no_crash(key, depth):
    text = f'{{"{key}": {"[" * depth}{"]" * depth}}}'

    with pytest.raises(ConfigurationError, match=r"package\.json is not valid JSON: it is nested"):
        read_package(text)


@pytest.mark.parametrize(
    "lock", ["__metadata:" + "\n" * 1_000_000, "__metadata:\n" + " " * 1_000_000 + "x"]
)
def test_a_lockfile_of_a_million_blanks_is_read_in_one_pass(lock):
    """A pattern that goes back for each of them would take hours; a test ends after minutes."""
    manager = choose_manager({"package.json": PACKAGE, "yarn.lock": lock})

    assert manager.name == "yarn"


def test_a_lockfile_version_of_thousands_of_digits_is_no_number():
    lock = f"__metadata:\n  version: {'9' * 5000}\n"

    with pytest.raises(RequestRefused):
        choose_manager({"package.json": PACKAGE, "yarn.lock": lock})


def test_a_version_that_is_asked_for_in_a_megabyte_is_shortened_where_it_is_shown():
    """The remark that it cannot be read stands in the log, the summary and the comment."""
    engines = f'{{"engines": {{"node": "{">=" * 500_000}"}}}}'

    for files in ({".nvmrc": "2" * 1_000_000}, {"package.json": engines}):
        wanted = wanted_node(files)
        assert len(wanted.range) == 256
        assert node_is_wanted(wanted.range, "v20.11.1") is None


@pytest.mark.parametrize("nvmrc", ["#" * 5_000_000 + "\n20", "\n" * 5_000_000 + "20 # ours"])
def test_a_version_file_full_of_nothing_is_read(nvmrc):
    assert wanted_node({".nvmrc": nvmrc}).range == "20"


@pytest.mark.parametrize("version", ['"' + "9" * 1_000_000 + '"', "[" * 90 + "]" * 90, "4.0"])
def test_the_version_of_a_lockfile_is_named_in_a_short_sentence(version):
    lock = f'{{"lockfileVersion": {version}}}'

    with pytest.raises(RequestRefused, match="is of version") as caught:
        choose_manager({"package.json": PACKAGE, "package-lock.json": lock})

    assert len(str(caught.value)) < 200


def test_a_pinned_manager_of_a_megabyte_is_refused():
    """It would become a word of a command line, which the kernel bounds."""
    with pytest.raises(ConfigurationError, match="packageManager") as caught:
        read_package(f'{{"packageManager": "npm@{"1" * 1_000_000}.0.0"}}')

    assert len(str(caught.value)) < 200


def test_a_committed_yarn_whose_name_looks_like_an_option_is_a_path():
    folder, package = ".yarn/releases", '{"workspaces": [".yarn/releases"]}'
    files = {"package.json": package, "yarn.lock": BERRY, f"{folder}/package.json": PACKAGE}

    chosen = choose_manager(files, folder, releases=(f"{folder}/--eval=1.cjs",))

    assert chosen.program == ("node", "./--eval=1.cjs")
