"""Why an installation failed: outputs as npm, pnpm and Yarn really write them."""

from pathlib import Path

import pytest

from delivery.workspace.install_failures import is_worth_another_try, without_usage
from delivery.workspace.install_hints import HINTS, explain_install_failure

OUTPUTS = dict(
    part.split("\n", 1)
    for part in Path(__file__).with_name("install_outputs.txt").read_text().split("##### ")[1:]
)
INSTALL = {
    "npm": ("npm", "ci"),
    "pnpm10": ("npx", "--yes", "pnpm@10.12.1", "install", "--frozen-lockfile"),
    "yarn1": ("npx", "--yes", "yarn@1.22.22", "install", "--frozen-lockfile"),
    "yarn4": ("yarn", "install", "--immutable"),
}
BY_NAME = {hint.name: hint.text for hint in HINTS}
# The row of the table that each output belongs to.
ROWS = {
    "npm-401": "access refused",
    "npm-403": "access refused",
    "npm-404": "not in the registry",
    "npm-503": "registry out of order",
    "npm-dev-engines": "a package refuses Node",
    "npm-dev-engines-manager": "another manager",
    "npm-engine": "a package refuses Node",
    "npm-eresolve": "peer dependencies",
    "npm-integrity": "integrity",
    "npm-no-git": "no git",
    "npm-no-host": "registry not reached",
    "npm-no-lock": "no lockfile",
    "npm-out-of-sync": "lockfile out of step",
    "npm8-out-of-sync": "lockfile out of step",
    "pnpm10-401": "access refused",
    "pnpm10-403": "access refused",
    "pnpm10-404": "not in the registry",
    "pnpm10-404-resolving": "not in the registry",
    "pnpm10-503": "registry out of order",
    "pnpm10-config-mismatch": "lockfile out of step",
    "pnpm10-engine": "a package refuses Node",
    "pnpm10-integrity": "integrity",
    "pnpm10-no-host": "registry not reached",
    "pnpm10-no-lock": "no lockfile",
    "pnpm10-no-version": "not in the registry",
    "pnpm10-old-lockfile": "lockfile of another version",
    "pnpm10-old-node": "the manager refuses Node",
    "pnpm10-other-manager": "another manager",
    "pnpm10-out-of-sync": "lockfile out of step",
    "pnpm10-pm-version": "another manager",
    "yarn1-401": "access refused",
    "yarn1-403": "access refused",
    "yarn1-404": "not in the registry",
    "yarn1-503": "registry out of order",
    "yarn1-engine": "a package refuses Node",
    "yarn1-integrity": "integrity",
    "yarn1-no-host": "registry not reached",
    "yarn1-no-version": "not in the registry",
    "yarn1-old-node": "a package refuses Node",
    "yarn1-other-manager": "another manager",
    "yarn1-out-of-sync": "lockfile out of step",
    "yarn4-401": "access refused",
    "yarn4-403": "access refused",
    "yarn4-404": "not in the registry",
    "yarn4-503": "registry out of order",
    "yarn4-checksum": "integrity",
    "yarn4-no-host": "registry not reached",
    "yarn4-no-version": "not in the registry",
    "yarn4-not-a-project": "lockfile out of step",
    "yarn4-out-of-sync": "lockfile out of step",
}
# What the hint names, where it is made from the output.
NAMED = {
    "npm-git-https": "the git repository https://git.unreachable.invalid/own/thing.git,",
    "npm-git-ssh": "the git repository ssh://git@git.unreachable.invalid/own/thing.git,",
    "pnpm10-git": "the git repository https://git.unreachable.invalid/own/thing.git,",
    "yarn1-git": "the git repository https://git.unreachable.invalid/own/thing.git,",
    "yarn4-git": "the git repository https://git.unreachable.invalid/own/thing.git,",
    "npm-gyp": "The install script of `gyp-thing` failed",
    "npm-script-no-network": "The install script of `native-thing` failed",
    "pnpm10-script-no-network": "The install script of `native-thing` failed",
    "yarn1-script-no-network": "The install script of `native-thing` failed",
    "yarn4-script-no-network": "The install script of `native-thing` failed",
    "npm-prepare-missing": "The application's own `prepare` script failed",
    "npm-prepare-fails": "The application's own `prepare` script failed",
    "npm-postinstall-root": "The application's own `postinstall` script failed",
    "pnpm10-prepare-missing": "The application's own `prepare` script failed",
    "yarn1-prepare-missing": "The application's own script `husky` failed",
    "yarn1-prepare-fails": "The application's own script `node scripts/prepare.js` failed",
    "yarn4-postinstall-root": "The application's own install script failed",
}
NO_SCRIPTS = {
    "npm": 'install = "npm ci --ignore-scripts"',
    "pnpm10": 'install = "npx --yes pnpm@10.12.1 install --frozen-lockfile --ignore-scripts"',
    "yarn1": 'install = "npx --yes yarn@1.22.22 install --frozen-lockfile --ignore-scripts"',
    "yarn4": 'install = "yarn install --immutable --mode=skip-build"',
}


def hint_for(name):
    manager = name.partition("-")[0]
    return explain_install_failure(OUTPUTS[name].splitlines(), INSTALL.get(manager, ("npm", "ci")))


def test_every_output_is_judged_and_every_row_of_the_table_has_an_output():
    assert {*ROWS, *NAMED} == {*OUTPUTS}
    # A disk is not filled for a test: that row is tested below.
    assert {*ROWS.values()} == {*BY_NAME} - {"full disk"}


@pytest.mark.parametrize(("output", "row"), ROWS.items())
def test_each_output_gets_the_hint_of_its_row(output, row):
    assert hint_for(output) == BY_NAME[row]


@pytest.mark.parametrize(("output", "named"), NAMED.items())
def test_a_hint_names_what_the_output_names(output, named):
    assert named in hint_for(output)


@pytest.mark.parametrize("output", [name for name in NAMED if "git" not in name])
def test_scripts_are_left_out_as_the_manager_of_the_application_leaves_them_out(output):
    assert NO_SCRIPTS[output.partition("-")[0]] in hint_for(output)


def test_a_command_of_the_applications_own_gets_no_option_that_it_may_not_know():
    hint = explain_install_failure(OUTPUTS["npm-prepare-missing"].splitlines(), ("make", "deps"))

    assert "--ignore-scripts" not in hint
    assert "`install`" in hint


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        (
            "npm ERR! code ELIFECYCLE\nnpm ERR! electron@11 postinstall: `node install.js`\n"
            "npm ERR! RequestError: tunneling socket could not be established",
            "An install script failed",
        ),
        (
            "npm error path /w/node_modules/a/node_modules/canvas\nnpm error command failed\n"
            "npm error gyp ERR! find Python",
            "`canvas`",
        ),
        (
            "npm error code 1\nnpm error path /w/node_modules/@sentry/cli\n"
            "npm error command failed\nnpm error Error: Unable to download: 403 Forbidden",
            "`@sentry/cli`",
        ),
        ("npm error code ENOSPC\nnpm error nospc ENOSPC: no space left on device", "disk is full"),
    ],
)
def test_an_output_of_older_programs_gets_the_hint_that_helps(output, hint):
    assert hint in explain_install_failure(output.splitlines())


@pytest.mark.parametrize("package", ["bcrypt", "electron", "canvas"])
def test_a_script_that_could_not_download_is_offered_the_line_for_delivery_toml(package):
    output = [
        f"npm error path /w/node_modules/{package}",
        "npm error command failed",
        "npm error Error: connect ECONNREFUSED 127.0.0.1:443",
    ]

    hint = explain_install_failure(output)

    assert f"`{package}`" in hint
    assert NO_SCRIPTS["npm"] in hint


def test_an_unknown_failure_is_not_guessed_at():
    assert explain_install_failure(["npm error code EWHATEVER", "something"]) is None
    assert explain_install_failure([]) is None


@pytest.mark.parametrize(
    "output",
    [
        "npm error code E503\nnpm error 503 Service Unavailable - GET https://r/x",
        "npm ERR! code ECONNRESET\nnpm ERR! network aborted",
        "npm error code ETIMEDOUT\nnpm error network request to https://r/x failed",
        "npm error code EAI_AGAIN\nnpm error syscall getaddrinfo",
        " ERR_PNPM_FETCH_502  GET https://r/x: Bad Gateway - 502",
        " ERR_PNPM_META_FETCH_FAIL  GET https://r/x: request to https://r/x failed, ECONNRESET",
        'error An unexpected error occurred: "https://r/x: ESOCKETTIMEDOUT".',
        'error Error: https://r/x: Request failed \\"503 Service Unavailable\\"',
        "➤ YN0035: │ ms@npm:2.0.0: The remote server failed\n➤ YN0035: │   Response Code: 503",
        "➤ YN0001: │ RequestError: connect ETIMEDOUT 192.0.2.1:443",
    ],
)
def test_a_registry_that_was_out_of_order_is_worth_another_try(output):
    assert is_worth_another_try(output.splitlines())


@pytest.mark.parametrize(
    "output",
    [
        "",
        "npm error code E404\nnpm error 404 Not Found - GET https://r/x",
        "npm error code ERESOLVE",
        "npm error code EINTEGRITY",
        "npm error code ENOTFOUND\nnpm error network request to https://r/ failed",
        "npm warn tarball request to https://r/x failed, ECONNRESET\nnpm error code EUSAGE",
        "npm error code 1\nnpm error path /w/node_modules/bcrypt\nnpm error command failed\n"
        "npm error request to https://x/ failed, reason: connect ETIMEDOUT",
        "npm error code ECONNRESET\nnpm error path /w/node_modules/x\nnpm error command failed",
        "➤ YN0009: │ x@npm:1.0.0 couldn't be built successfully\nRequestError: ETIMEDOUT",
        " WARN  GET https://r/x error (ECONNRESET). Will retry in 10 seconds.\n"
        " ERR_PNPM_OUTDATED_LOCKFILE  Cannot install",
        "added 503 packages",
    ],
)
def test_a_failure_that_would_only_repeat_itself_is_not(output):
    assert not is_worth_another_try(output.splitlines())


@pytest.mark.parametrize("output", [name for name in OUTPUTS if not name.endswith("-503")])
def test_only_a_registry_that_is_out_of_order_is_asked_again(output):
    assert not is_worth_another_try(OUTPUTS[output].splitlines())
    assert is_worth_another_try(OUTPUTS["yarn1-503"].splitlines())


class TestWhatIsTold:
    def test_npms_page_about_its_use_is_left_out_and_the_reason_stays(self):
        lines = OUTPUTS["npm-out-of-sync"].splitlines()
        assert len(lines) > 90

        told = without_usage(lines)

        assert [line for line in told if line != "npm error"] == [
            "npm error code EUSAGE",
            "npm error `npm ci` can only install packages when your package.json and "
            "package-lock.json or npm-shrinkwrap.json are in sync. Please update your lock file "
            "with `npm install` before continuing.",
            "npm error Missing: left-pad@1.3.0 from lock file",
            "npm error Missing: ms@2.1.3 from lock file",
        ]

    def test_of_many_packages_that_the_lockfile_lacks_ten_are_named_and_the_rest_counted(self):
        missing = [f"npm error Missing: p{n}@1.0.0 from lock file" for n in range(165)]

        told = without_usage(["npm error code EUSAGE", *missing])

        assert told == ["npm error code EUSAGE", *missing[:10], "… and 155 more of these"]

    @pytest.mark.parametrize("output", ["npm-404", "npm8-out-of-sync"])
    def test_a_log_that_is_gone_with_its_container_is_not_named(self, output):
        assert "debug-0.log" in OUTPUTS[output]
        assert "debug-0.log" not in "\n".join(without_usage(OUTPUTS[output].splitlines()))

    def test_of_a_long_output_beginning_and_end_are_told(self):
        told = without_usage([f"line {n}" for n in range(200)])

        assert (told[0], told[20], told[-1]) == ("line 0", "… 140 lines …", "line 199")
