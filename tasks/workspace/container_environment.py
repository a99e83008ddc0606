"""Decide what a container of the application gets from the worker: how to reach registries.

That is: certificates that this worker trusts, proxies, and the settings of npm that say where
registries are, all without passwords. Home and certificates are files of the run's volume.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from tasks.containers.contained import ContainerEnvironment
from tasks.containers.run_volume import ROOT
from tasks.workspace.program_environment import CONSTANT, caches, may_pass, npm_settings

HOME = f"{ROOT}/home"
LARGEST_FILE = 4_000_000

_AUTHORITIES = (
    *("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
    *("GIT_SSL_CAINFO", "npm_config_cafile"),
)
# Folders and programs of the worker, which do not exist in a container.
_OF_THE_WORKER = re.compile("PATH|NODE_OPTIONS|SSL_CERT_DIR|npm_config_nodedir", re.IGNORECASE)
_CAFILE = re.compile(r"^cafile=[\"']?([^\"'\n]+)[\"']?$", re.MULTILINE)
_NODEDIR = re.compile(r"^nodedir=.*\n?", re.MULTILINE)


def container_environment(
    worker: Mapping[str, str] | None = None, worker_home: Path | None = None
) -> ContainerEnvironment:
    """Return what the application's containers get.

    `worker` and `worker_home` are the environment and the home of this process unless given.
    """
    worker = os.environ if worker is None else worker
    worker_home = Path.home() if worker_home is None else worker_home
    passed = {
        name: value
        for name, value in worker.items()
        if may_pass(name, value) and not _OF_THE_WORKER.fullmatch(name)
    }
    files: dict[str, bytes] = {}
    for name in list(passed):
        if name in _AUTHORITIES or name.lower() == "npm_config_cafile":
            inside = _handed_over(Path(passed.pop(name)), files)
            if inside:
                passed[name] = inside
    settings = _NODEDIR.sub("", npm_settings(worker_home / ".npmrc"))
    settings = _CAFILE.sub(
        lambda found: f"cafile={inside}" if (inside := _handed_over(Path(found[1]), files)) else "",
        settings,
    )
    files[f"{HOME}/.npmrc"] = settings.encode()
    return ContainerEnvironment(
        {
            "LANG": "C.UTF-8",
            **passed,
            **CONSTANT,
            "HOME": HOME,
            "npm_config_userconfig": f"{HOME}/.npmrc",
            # In the run's volume: no other run reads what a stranger's code can write.
            **caches(Path(ROOT, "cache")),
        },
        files,
    )


def _handed_over(file: Path, files: dict[str, bytes]) -> str | None:
    """Add a file of the worker; return its path in the container, None if it is not usable."""
    try:
        if not file.is_file() or file.stat().st_size > LARGEST_FILE:
            return None
        content = file.read_bytes()
    except OSError:
        return None
    for path, known in files.items():
        if known == content:
            return path
    path = f"{HOME}/authorities/{len(files)}.pem"
    files[path] = content
    return path
