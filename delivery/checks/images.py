"""Choose the container images in which an application's checks run.

They are the official image of the Node version that the application asks for, and Playwright's
image of the version in the lockfile for what drives a browser: https://playwright.dev/docs/docker
and https://hub.docker.com/_/node. delivery.toml may name others.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from delivery.checks.table import Check, StageTable
from delivery.errors import ConfigurationError
from delivery.workspace.node_versions import node_is_wanted
from delivery.workspace.packages import LOCKFILES, WantedNode

# Majors of Node with long-term support, of which the newest that is asked for is taken.
MAJORS = (24, 22, 20, 18)
USUAL_MAJOR = 22
NEWEST_MINOR = 99
_EXACT = re.compile(r"v?(\d{1,3}\.\d{1,3}\.\d{1,3})")
_V = r"(\d{1,3}\.\d{1,4}\.\d{1,4})"
_PLAYWRIGHT = re.compile(
    # npm, pnpm (with and without a slash), Yarn of both kinds.
    rf'"node_modules/(?:@playwright/test|playwright)": ?\{{\s{{0,20}}"version": ?"{_V}"'
    rf"|^ {{2,4}}'?/?(?:@playwright/test|playwright)[@/]{_V}'?:"
    rf'|^"?(?:@playwright/test|playwright)@[^\n]{{1,200}}:\n {{2}}version:? "?{_V}"?',
    re.MULTILINE,
)


class Images(NamedTuple):
    """The images of an application's checks: for most of them, and for those with a browser."""

    usual: str
    browser: str


class NodeImage(NamedTuple):
    """The image of a Node version, and a remark if it is not what the application asks for."""

    reference: str
    remark: str | None = None


def node_image(wanted: str | None) -> NodeImage:
    """Return the image of the newest long-term Node in the range `wanted`, or of an exact one."""
    if wanted is None:
        return NodeImage(_of_node(str(USUAL_MAJOR)))
    if exact := _EXACT.fullmatch(wanted.strip()):
        return NodeImage(_of_node(exact[1]))
    for major in MAJORS:
        if node_is_wanted(wanted, f"v{major}.{NEWEST_MINOR}.0"):
            return NodeImage(_of_node(str(major)))
    for major in MAJORS:
        if node_is_wanted(wanted, f"v{major}.0.0"):
            return NodeImage(_of_node(f"{major}.0.0"))
    usual = _of_node(str(USUAL_MAJOR))
    return NodeImage(usual, f"asks for Node {wanted}, of which no image is known; {usual} is used")


def choose_images(
    table: StageTable, wanted: WantedNode | None, files: Mapping[str, str], root: str
) -> tuple[Images, tuple[str, ...]]:
    """Return the images, and remarks about them; `files` has the lockfile in the folder `root`.

    Raises `ConfigurationError` if delivery.toml asks for a version of which there is no image.
    """
    if table.image:
        return Images(table.image, table.image), ()
    node = node_image(table.node or (wanted.range if wanted else None))
    if node.remark and table.node:
        raise ConfigurationError(
            f"delivery.toml {node.remark.partition(';')[0]}",
            hint=f"Ask for one of {', '.join(map(str, MAJORS))}, or name an `image`.",
        )
    remarks = (f"{wanted.file} {node.remark}",) if node.remark and wanted else ()
    playwright = _playwright_version(files, root)
    browser = f"mcr.microsoft.com/playwright:v{playwright}-noble" if playwright else node.reference
    return Images(node.reference, browser), remarks


def image_of(check: Check, images: Images) -> str:
    """Return the image in which a check runs."""
    if check.image:
        return check.image
    return images.browser if check.browser else images.usual


def _of_node(version: str) -> str:
    return f"node:{version}-bookworm"


def _playwright_version(files: Mapping[str, str], root: str) -> str | None:
    for name in LOCKFILES:
        path = name if root in (".", "") else f"{root}/{name}"
        if found := _PLAYWRIGHT.search(files.get(path, "")):
            return found[found.lastindex or 0]
    return None
