"""In which container images an application's checks run."""

import pytest

from delivery.checks.images import choose_images, image_of, node_image
from delivery.checks.table import DEFAULT_TABLE, Check, StageTable
from delivery.errors import ConfigurationError
from delivery.workspace.packages import WantedNode

NPM = '{"packages": {\n    "node_modules/playwright": {\n      "version": "1.50.1",\n'
NPM_TEST = '{"packages":{"node_modules/@playwright/test":{"version":"1.50.1"}}}'
PNPM = "packages:\n\n  playwright@1.50.1:\n    resolution: {}\n"
PNPM_QUOTED = "packages:\n\n  '@playwright/test@1.50.1':\n    resolution: {}\n"
PNPM_6 = "packages:\n\n  /@playwright/test@1.50.1:\n    resolution: {}\n"
YARN = '"@playwright/test@^1.50.0":\n  version "1.50.1"\n'
BERRY = '"playwright@npm:^1.50.0, playwright@npm:1.50.1":\n  version: 1.50.1\n'
PLAYWRIGHT = "mcr.microsoft.com/playwright:v1.50.1-noble"


@pytest.mark.parametrize(
    ("wanted", "version"),
    [
        (None, "22"),
        ("20", "20"),
        ("v20.11.1", "20.11.1"),
        ("20.x", "20"),
        (">=18", "24"),
        (">=18 <21", "20"),
        ("^20.9 || >=22", "24"),
        ("~20.0.0", "20.0.0"),
        ("lts/jod", "22"),
        ("lts/*", "24"),
        ("*", "24"),
    ],
)
def test_the_newest_long_term_node_that_is_asked_for_is_taken(wanted, version):
    assert node_image(wanted) == (f"node:{version}-bookworm", None)


@pytest.mark.parametrize("wanted", ["8", ">=99", "what I have", "21"])
def test_a_version_without_an_image_is_said_and_not_guessed(wanted):
    chosen = node_image(wanted)

    assert chosen.reference == "node:22-bookworm"
    assert wanted in chosen.remark


def test_delivery_toml_that_asks_for_such_a_version_is_refused():
    with pytest.raises(ConfigurationError, match="asks for Node 8"):
        choose_images(StageTable((), node="8"), None, {}, ".")


def test_the_file_that_asks_for_such_a_version_is_named():
    _, remarks = choose_images(StageTable(()), WantedNode("8", ".nvmrc"), {}, ".")

    assert remarks == (
        ".nvmrc asks for Node 8, of which no image is known; node:22-bookworm is used",
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("package-lock.json", NPM),
        ("package-lock.json", NPM_TEST),
        ("pnpm-lock.yaml", PNPM),
        ("pnpm-lock.yaml", PNPM_QUOTED),
        ("pnpm-lock.yaml", PNPM_6),
        ("yarn.lock", YARN),
        ("yarn.lock", BERRY),
    ],
)
@pytest.mark.parametrize("root", [".", "apps"])
def test_browser_tests_run_in_playwrights_image_of_the_locked_version(name, text, root):
    path = name if root == "." else f"{root}/{name}"

    images, _ = choose_images(DEFAULT_TABLE, WantedNode("20", ".nvmrc"), {path: text}, root)

    assert images == ("node:20-bookworm", PLAYWRIGHT)
    assert image_of(DEFAULT_TABLE.check("e2e"), images) == PLAYWRIGHT
    assert image_of(DEFAULT_TABLE.check("unit"), images) == "node:20-bookworm"


def test_without_playwright_browser_tests_run_where_the_others_do():
    images, _ = choose_images(DEFAULT_TABLE, None, {"package-lock.json": "{}"}, ".")

    assert set(images) == {"node:22-bookworm"}


def test_delivery_toml_names_the_image_of_all_checks_or_of_one():
    own = StageTable((), image="registry.example/own:1", node="8")
    images, _ = choose_images(own, None, {"package-lock.json": NPM}, ".")

    assert set(images) == {"registry.example/own:1"}
    assert image_of(Check("db", image="postgres:16"), images) == "postgres:16"
