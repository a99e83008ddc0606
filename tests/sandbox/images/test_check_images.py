import json
from pathlib import Path

import pytest

from delivery.errors import ConfigurationError
from sandbox.images import check_base, images, rootfs
from sandbox.images.base_images import ensure_base_image, ensure_check_images, stand_in_for

ROOT = Path(__file__).parents[3]
PACKAGE = json.loads((ROOT / "sandbox/app/package.json").read_text())
PLAYWRIGHT = PACKAGE["devDependencies"]["@playwright/test"]
NODE_IMAGE = "node:22-bookworm"
PLAYWRIGHT_IMAGE = f"mcr.microsoft.com/playwright:v{PLAYWRIGHT}-noble"
# As checks run: a user without privileges, who can get none.
CONFINED = {
    "user": "1000",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "init": True,
    "remove": True,
}


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("node:22-bookworm", "node-check-stand-in:22"),
        ("node:22.11.0-bookworm", "node-check-stand-in:22.11.0"),
        ("docker.io/library/node:24-bookworm", "node-check-stand-in:24"),
        ("node:22-bookworm-slim", "node-stand-in:22"),
        ("node:22-alpine", "node-stand-in:22"),
        ("node:22", "node-stand-in:22"),
        ("node:bookworm", "node-stand-in:24"),
        ("mcr.microsoft.com/playwright:v1.56.1-noble", "playwright-check-stand-in:1.56.1"),
        ("mcr.microsoft.com/playwright:v1.56.1-jammy", "playwright-check-stand-in:1.56.1"),
        ("mcr.microsoft.com/playwright:v1.56.1", "playwright-check-stand-in:1.56.1"),
        ("mcr.microsoft.com/playwright:v1.56-noble", None),
        ("mcr.microsoft.com/playwright:latest", None),
        ("mcr.microsoft.com/playwright/python:v1.56.0-noble", None),
        ("playwright:v1.56.1-noble", None),
        ("node:22-bookworm@sha256:" + "0" * 64, None),
    ],
)
def test_which_stand_in_replaces_an_image(reference, name):
    found = stand_in_for(reference)
    assert (found and found.name) == (name and f"kanvaro-sandbox/{name}")


def test_a_changed_recipe_is_another_one(monkeypatch, tmp_path):
    before = check_base.recipe_of("22")
    assert before == check_base.recipe_of("22")
    assert before != check_base.recipe_of("24")
    with monkeypatch.context() as patch:
        patch.setattr(rootfs, "ca_bundle", lambda: b"another authority")
        assert check_base.recipe_of("22") != before
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    monkeypatch.setattr(check_base, "FOLDER", tmp_path)
    assert check_base.recipe_of("22") != before


def _stand_in(client, reference):
    found = ensure_base_image(client, reference)
    if not found.is_stand_in:
        pytest.skip(f"{reference} itself is here: there is nothing to stand in for")
    return found


@pytest.fixture(scope="module")
def node(client):
    return _stand_in(client, NODE_IMAGE)


@pytest.fixture(scope="module")
def playwright(client):
    return _stand_in(client, PLAYWRIGHT_IMAGE)


def test_a_check_finds_node_and_the_usual_tools(client, node):
    script = """
        set -eu
        id -u; echo $HOME; touch ~/mine
        node -p "process.version.split('.')[0]"
        for tool in npm npx corepack yarn; do $tool --version > /dev/null; done
        for tool in git python3 make g++ ps; do $tool --version > /dev/null; done
        cd /tmp && echo 'int main() { return 0; }' > a.cc && make -s a && ./a && echo compiled
        curl -sSf -o /dev/null "$(npm config get registry)" && echo trusted
        python3 -c "import urllib.request as r; r.urlopen('$(npm config get registry)')"
        npm install --no-audit --no-fund left-pad@1 > /dev/null && echo installed
    """
    ran = client.containers.run(NODE_IMAGE, ["bash", "-c", script], **CONFINED).decode()
    assert ran.split() == ["1000", "/home/node", "v22", "compiled", "trusted", "installed"]


def test_the_stand_in_says_what_it_is(client, node, playwright):
    for reference, name in (
        (NODE_IMAGE, "kanvaro-sandbox/node-check-stand-in:22"),
        (PLAYWRIGHT_IMAGE, f"kanvaro-sandbox/playwright-check-stand-in:{PLAYWRIGHT}"),
    ):
        image = client.images.get(reference)
        assert name in image.tags
        assert image.labels[images.STAND_IN_LABEL] == "true"
        assert image.labels[images.RECIPE_LABEL] == stand_in_for(reference).recipe


def test_the_images_share_debian_and_its_tools(client, node, playwright):
    other = _stand_in(client, "node:24-bookworm")
    layers = [
        client.images.get(one.id).attrs["RootFS"]["Layers"] for one in (node, other, playwright)
    ]
    assert layers[0][:2] == layers[1][:2]
    assert layers[0][2] != layers[1][2]
    assert layers[2][: len(layers[0])] == layers[0]


def test_a_playwright_with_usual_settings_launches_its_browser(client, playwright):
    script = f"""
        set -eu
        mkdir ~/check && cd ~/check
        npm install --no-audit --no-fund --silent playwright-core@{PLAYWRIGHT} > /dev/null
        node -e "
            (async () => {{
                const {{ chromium }} = require('playwright-core')
                console.log(require('fs').realpathSync(chromium.executablePath()))
                const browser = await chromium.launch()
                const page = await browser.newPage()
                await page.goto('data:text/html,<title>a page</title>')
                console.log(process.getuid(), await page.title())
                await browser.close()
            }})()"
    """
    ran = client.containers.run(
        PLAYWRIGHT_IMAGE, ["bash", "-c", script], shm_size="1g", **CONFINED
    ).decode()
    assert ran.splitlines() == ["/usr/bin/chromium", "1000 a page"]


def test_a_version_that_does_not_exist_is_named(client, playwright):
    with pytest.raises(ConfigurationError, match=r"No matching version .*1\.999\.0") as refusal:
        ensure_base_image(client, "mcr.microsoft.com/playwright:v1.999.0-noble", lambda _: None)
    assert "version" in refusal.value.hint


def test_images_that_are_here_are_ready_at_once(client, node, playwright):
    said = []
    wanted = [NODE_IMAGE, PLAYWRIGHT_IMAGE, NODE_IMAGE]
    assert ensure_check_images(client, wanted, said.append) == [node, playwright]
    assert [line.partition(" is ")[2].split()[0] for line in said] == [
        *("Kanvaro's", "ready"),
        *("Kanvaro's", "ready"),
    ]
