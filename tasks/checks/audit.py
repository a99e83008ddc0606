"""The audit: the package manager, asked which locked packages have known vulnerabilities.

It sees manifests and lockfiles of the commit, and nothing else: what an `.npmrc`, a
`.yarnrc.yml`, a plugin or a committed Yarn would say about it is not for the code that
is being judged to decide.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import yaml

from delivery.checks.audit_readers import read_npm_audit, read_yarn_npm_audit
from delivery.checks.scans import ScannerReport, did_not_run
from delivery.errors import ConfigurationError
from delivery.workspace.package_json import for_an_audit
from delivery.workspace.packages import LOCKFILES, Manager
from tasks.checks.scanners import ScanContext, cut_short, regular_files

# npm's own retries can outlast the time a check is given; in milliseconds.
_IMPATIENT = {
    "npm_config_fetch_retries": "2",
    "npm_config_fetch_retry_mintimeout": "500",
    "npm_config_fetch_retry_maxtimeout": "4000",
    "YARN_HTTP_RETRY": "2",
}
_LARGEST_SETTINGS = 200_000
_YARN_SETTINGS = ".audit.yarnrc.yml"
# Settings of Yarn that decide what is in its lockfile.
_OF_THE_LOCKFILE = ("packageExtensions", "catalog", "catalogs")


def audit(
    context: ScanContext, manager: Manager, level: str = "moderate", registry: str | None = None
) -> ScannerReport:
    """Ask the package manager which locked packages have known vulnerabilities.

    `registry` is the address of an advisory server, for this question alone.
    """
    if not manager.published:
        return did_not_run("npm-audit", f"which {manager.name} to ask is not known")
    try:
        with _manifests(context, manager.root) as (folder, cache):
            # npm remembers advisories in its cache, also those of another server.
            extra = {
                **_IMPATIENT,
                **_yarn_settings(manager, registry),
                "npm_config_cache": str(cache),
            }
            argv = (*manager.published, *_question(manager, level, registry))
            outcome, answer = context.ask("npm-audit", argv, folder, extra)
    except ConfigurationError as error:
        return did_not_run("npm-audit", str(error))
    if ended := cut_short(outcome, context.timeout_s):
        return did_not_run("npm-audit", ended)
    if manager.name == "yarn-berry":
        return read_yarn_npm_audit(answer, outcome.exit_code, level)
    return read_npm_audit(answer, level)


def _question(manager: Manager, level: str, registry: str | None) -> tuple[str, ...]:
    """What follows the program; the registry is an option, since `npx` has one of its own."""
    asked = ("--registry", registry) if registry else ()
    if manager.name == "yarn-berry":
        # A deprecated package is no vulnerability; older ones do not look for them.
        only = ("--no-deprecations",) if _is_yarn_4(manager) else ()
        return ("npm", "audit", "--json", "--all", "--recursive", *only)
    if manager.name == "yarn":
        return ("audit", "--json", "--level", level, *asked)
    if manager.name == "pnpm":
        return ("audit", "--json", "--audit-level", level, *asked)
    kinds = ("--include=prod", "--include=dev", "--include=optional", "--include=peer")
    return ("audit", "--json", "--audit-level", level, "--loglevel=silent", *kinds, *asked)


def _yarn_settings(manager: Manager, registry: str | None) -> dict[str, str]:
    settings = {"YARN_RC_FILENAME": _YARN_SETTINGS, "YARN_IGNORE_PATH": "1"}
    if registry is None or manager.name != "yarn-berry":
        return settings
    # Yarn 4 has a server for audits; older ones ask that which they would publish to.
    asked = "YARN_NPM_AUDIT_REGISTRY" if _is_yarn_4(manager) else "YARN_NPM_PUBLISH_REGISTRY"
    settings |= {asked: registry, "YARN_NPM_REGISTRY_SERVER": registry}
    if registry.startswith("http://"):
        settings["YARN_UNSAFE_HTTP_WHITELIST"] = urlsplit(registry).hostname or ""
    return settings


def _is_yarn_4(manager: Manager) -> bool:
    older = ("cli-dist@2.", "cli-dist@3.")
    return not any(each in word for word in manager.published for each in older)


@contextmanager
def _manifests(context: ScanContext, root: str) -> Iterator[tuple[Path, Path]]:
    """The folder `root` of a tree with nothing but manifests and lockfiles; and an empty cache.

    Raises `ConfigurationError` for a manifest that cannot be read.
    """
    with TemporaryDirectory(dir=context.logs, prefix="npm-audit-") as made:
        tree, cache = Path(made, "tree"), Path(made, "cache")
        (tree / root).mkdir(parents=True)
        for path in regular_files(context.tree):
            reduced = _reduced(context.tree, path)
            if reduced is not None:
                copy = tree / path
                if path.name == ".yarnrc.yml":
                    copy = copy.with_name(_YARN_SETTINGS)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(reduced)
        yield tree / root, cache


def _reduced(tree: Path, path: Path) -> str | None:
    """What an audit needs of a file of the tree, or None."""
    if path.name not in ("package.json", ".yarnrc.yml", *LOCKFILES):
        return None
    text = (tree / path).read_text(errors="replace")
    if path.name == "package.json":
        return for_an_audit(text, str(path))
    return _of_the_lockfile(text, str(path)) if path.name == ".yarnrc.yml" else text


def _of_the_lockfile(text: str, path: str) -> str:
    if len(text) > _LARGEST_SETTINGS:
        raise ConfigurationError(f"{path} has {len(text)} characters, too many for settings")
    try:
        written = yaml.safe_load(text)
        settings: Mapping[str, object] = written if isinstance(written, dict) else {}
        return yaml.safe_dump({key: settings[key] for key in _OF_THE_LOCKFILE if key in settings})
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not valid YAML") from error
