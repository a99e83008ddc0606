"""Decide from which files of a commit its image is built.

A Dockerfile lies in the application's folder; one that delivery.toml names may also lie beside the
lockfile. It is built where the lockfile is, since it copies that, and the other packages of a
workspace.
"""

import posixpath

from delivery.checks.table import StageTable
from delivery.errors import ConfigurationError

# A word of its own, no name of a file: the application is only checked.
NONE = "none"
# Docker takes the second where there is no first.
USUAL = ("Dockerfile", "dockerfile")


def build_context(table: StageTable, root: str) -> str:
    """Return the folder in which the image is built; `root` is that of the lockfile."""
    return posixpath.normpath(table.context or root)


def dockerfiles(table: StageTable, root: str) -> tuple[str, ...]:
    """Return the repository paths of which the first that is a file is built; may be none."""
    if table.dockerfile == NONE:
        return ()
    if table.dockerfile is None:
        return tuple(_at(table.folder, name) for name in USUAL)
    folders = dict.fromkeys((table.folder, root, build_context(table, root)))
    return tuple(dict.fromkeys(_at(folder, table.dockerfile) for folder in folders))


def beside_the_lockfile(table: StageTable, root: str) -> tuple[str, ...]:
    """Return the Dockerfiles that are not built unless delivery.toml names them."""
    if table.dockerfile is not None or posixpath.normpath(table.folder) == root:
        return ()
    return tuple(_at(root, name) for name in USUAL)


def why_no_image(table: StageTable, beside: str | None) -> str:
    """Say why a revision has no image; `beside` is the Dockerfile beside the lockfile, if any."""
    if table.dockerfile == NONE:
        return f'not applicable: delivery.toml says dockerfile = "{NONE}"'
    why = f"not applicable: the revision has no {_at(table.folder, USUAL[0])}"
    if beside:
        why += f' (delivery.toml can name {beside}: dockerfile = "{posixpath.basename(beside)}")'
    return why


def no_such_dockerfile(table: StageTable, tried: tuple[str, ...]) -> ConfigurationError:
    """Return the error about a Dockerfile that is named and missing."""
    return ConfigurationError(
        f"delivery.toml names the Dockerfile {table.dockerfile!r}, and there is no "
        f"{' or '.join(tried)} in this revision",
        hint=f'Correct `dockerfile`; to check without an image, write dockerfile = "{NONE}".',
    )


def _at(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name))
