"""Decide what a tool on the worker sees of this machine: little, and nothing secret.

Such tools, as npm's audit and git-cliff, read a stranger's files, but run none of their code. They
get a home of their own, and an environment made from an allow-list.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from delivery.text import text_of

CONSTANT = {
    "CI": "true",
    "NO_COLOR": "1",
    "TZ": "UTC",
    # What a stranger's application installs tells nobody that it ran here.
    "DO_NOT_TRACK": "1",
    "NEXT_TELEMETRY_DISABLED": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0",
    "HUSKY": "0",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_update_notifier": "false",
    "npm_config_progress": "false",
    "npm_config_yes": "true",
}
_PASSED_ON = re.compile(
    "PATH|LANG|LC_[A-Z]+|NODE_EXTRA_CA_CERTS|NODE_OPTIONS|SSL_CERT_(?:FILE|DIR)"
    "|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|GIT_SSL_CAINFO"
    "|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY"
)
# Settings of npm that say where things are, and none that log in:
# https://docs.npmjs.com/cli/using-npm/config
_NPM_SETTING = re.compile(
    r"(?:@[\w.-]+:)?registry|cafile|strict-ssl|(?:https?-)?proxy|noproxy|nodedir|maxsockets"
    r"|omit-lockfile-registry-resolved|fetch-(?:retries|timeout|retry-\w+)|prefer-offline|yes"
    r"|network-concurrency|replace-registry-host|min-release-age|before",
)


def program_environment(
    home: Path,
    cache: Path,
    worker: Mapping[str, str] | None = None,
    worker_home: Path | None = None,
) -> dict[str, str]:
    """Make the private folder `home`, and return the environment for tools of one run.

    `cache` outlives the run; `worker` and `worker_home` are the environment and the home of this
    process unless given.
    """
    worker = os.environ if worker is None else worker
    worker_home = Path.home() if worker_home is None else worker_home
    temporary = home / "tmp"
    for folder in (home, temporary, cache):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    settings = home / ".npmrc"
    settings.write_text(npm_settings(worker_home / ".npmrc"))
    settings.chmod(0o600)
    return {
        "LANG": "C.UTF-8",
        **{name: value for name, value in worker.items() if may_pass(name, value)},
        **CONSTANT,
        **caches(cache),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "npm_config_userconfig": str(settings),
    }


def may_pass(name: str, value: str) -> bool:
    """Return whether a variable of the worker may be seen by what a run starts."""
    if name.lower().startswith("npm_config_"):
        setting = name.lower().removeprefix("npm_config_").replace("_", "-")
        return bool(_NPM_SETTING.fullmatch(setting)) and not _holds_a_password(value)
    is_proxy = name.lower().endswith("_proxy")
    return bool(_PASSED_ON.fullmatch(name)) and not (is_proxy and _holds_a_password(value))


def withheld_proxies(worker: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the worker's proxy variables that are withheld, since their address has a password."""
    worker = os.environ if worker is None else worker
    proxies = (name for name in worker if name.lower().endswith("_proxy"))
    return tuple(sorted(name for name in proxies if _holds_a_password(worker[name])))


def caches(cache: Path) -> dict[str, str]:
    """Return where package managers keep what they fetched."""
    return {
        "npm_config_cache": str(cache / "npm"),
        "PNPM_HOME": str(cache / "pnpm"),
        "YARN_CACHE_FOLDER": str(cache / "yarn"),
        "YARN_GLOBAL_FOLDER": str(cache / "yarn-berry"),
        "YARN_ENABLE_TELEMETRY": "0",
        "COREPACK_HOME": str(cache / "corepack"),
    }


def npm_settings(npmrc: Path) -> str:
    """Return the lines of an .npmrc that say where registries are, without those that log in."""
    try:
        lines = text_of(npmrc.read_bytes()).splitlines()
    except OSError:
        return ""
    kept = []
    for line in lines:
        name, _, value = (part.strip() for part in line.partition("="))
        if _NPM_SETTING.fullmatch(name) and not _holds_a_password(value):
            kept.append(f"{name}={value}\n")
    return "".join(kept)


def _holds_a_password(value: str) -> bool:
    value = value.strip("\"'")
    try:
        # A proxy may be written without its scheme.
        return "@" in urlsplit(value if "//" in value else f"//{value}").netloc
    except ValueError:
        return True
