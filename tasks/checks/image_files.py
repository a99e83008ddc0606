"""Find in a commit what its image is built from."""

from delivery.checks.image_files import (
    beside_the_lockfile,
    build_context,
    dockerfiles,
    no_such_dockerfile,
    why_no_image,
)
from delivery.checks.table import StageTable
from delivery.errors import ConfigurationError
from tasks.workspace.checkout import Source
from tasks.workspace.committed import look_up


def dockerfile_of(source: Source, table: StageTable, root: str) -> str | None:
    """Return the repository path of the Dockerfile; None where the application has none.

    `root` is the lockfile's folder. Raises `ConfigurationError` where delivery.toml names a file,
    or a context, that does not exist, and `RequestRefused` where one leads out of the repository.
    """
    tried = dockerfiles(table, root)
    found = _first_file(source, tried)
    if found is None and table.dockerfile and tried:
        raise no_such_dockerfile(table, tried)
    if found and not look_up(source, build_context(table, root)).is_dir():
        raise ConfigurationError(
            f"delivery.toml names the context {table.context!r}, and there is no such folder in "
            "this revision",
            hint="Correct `context`, or leave it out: an image is built in the lockfile's folder.",
        )
    return found


def why_not_built(source: Source, table: StageTable, root: str) -> str:
    """Return why this revision has no image; empty if it has one. Raises as `dockerfile_of`."""
    if dockerfile_of(source, table, root):
        return ""
    return why_no_image(table, _first_file(source, beside_the_lockfile(table, root)))


def _first_file(source: Source, paths: tuple[str, ...]) -> str | None:
    return next((path for path in paths if look_up(source, path).is_file()), None)
