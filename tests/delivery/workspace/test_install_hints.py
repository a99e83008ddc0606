"""Why an installation failed: outputs as npm, pnpm and Yarn really write them."""

import pytest

from delivery.workspace.install_hints import explain_install_failure, is_worth_another_try

IGNORE_SCRIPTS = 'install = "npm ci --ignore-scripts"'


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        (
            "npm error code ERESOLVE\nnpm error ERESOLVE could not resolve\n"
            "npm error While resolving: react-x@1.0.0",
            'install = "npm ci --legacy-peer-deps"',
        ),
        (
            "npm ERR! code EUSAGE\nnpm ERR! `npm ci` can only install packages when your "
            "package.json and package-lock.json are in sync.",
            "does not match package.json",
        ),
        (
            " ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with frozen-lockfile because "
            "pnpm-lock.yaml is not up to date",
            "does not match package.json",
        ),
        (
            "error Your lockfile needs to be updated, but yarn was run with `--frozen-lockfile`.",
            "does not match package.json",
        ),
        (
            "➤ YN0028: │ The lockfile would have been modified by this install, which is forbidden",
            "does not match package.json",
        ),
        (
            "npm error code 1\nnpm error path /w/node_modules/bcrypt\n"
            "npm error command failed\nnpm error command sh -c node-pre-gyp install\n"
            "npm error node-pre-gyp ERR! install request to https://x/ failed, reason: "
            "getaddrinfo ENOTFOUND x",
            "`bcrypt`",
        ),
        (
            "npm error code 1\nnpm error path /w/node_modules/@sentry/cli\n"
            "npm error command failed\nnpm error Error: Unable to download: 403 Forbidden",
            "`@sentry/cli`",
        ),
        (
            "npm error path /w/node_modules/a/node_modules/canvas\nnpm error command failed\n"
            "npm error gyp ERR! find Python",
            "`canvas`",
        ),
        (
            "npm ERR! code ELIFECYCLE\nnpm ERR! electron@11 postinstall: `node install.js`\n"
            "npm ERR! RequestError: tunneling socket could not be established",
            "`electron`",
        ),
        (
            "npm error code EBADENGINE\nnpm error engine Unsupported engine\n"
            'npm error notsup Required: {"node":">=24"}',
            "refuses this Node version",
        ),
        (
            "npm error code E401\nnpm error Incorrect or missing password.",
            "registry refused access",
        ),
        (
            "npm error code E403\nnpm error 403 Forbidden - GET https://r/x",
            "registry refused access",
        ),
        (" ERR_PNPM_FETCH_401  GET https://r/x: Unauthorized - 401", "registry refused access"),
        ("npm error code E404\nnpm error 404  'left-pod@1' is not in this registry.", "published"),
        ("npm error code ENOSPC\nnpm error nospc ENOSPC: no space left on device", "disk is full"),
        ("npm error code EINTEGRITY\nnpm error sha512-x integrity checksum failed", "Find out why"),
        ("npm error code ENOTFOUND\nnpm error network request to https://r/ failed", "not reached"),
    ],
)
def test_a_known_failure_gets_the_hint_that_helps(output, hint):
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
    assert IGNORE_SCRIPTS in hint


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
