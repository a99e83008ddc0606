import gzip
import hashlib
import io
import json
import secrets
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from docker.errors import BuildError, ContainerError, DockerException, ImageNotFound

from delivery.errors import ConfigurationError
from sandbox.images import debian_packages, images, rootfs
from sandbox.images.base_images import base_references, ensure_base_image
from sandbox.images.images import try_to_pull
from sandbox.images.node_base import node_version, recipe_of

BASE = "node:22-bookworm-slim"


@pytest.fixture
def tags(client):
    """Names to give to images; those that are new are removed again."""
    wanted = []

    def name(reference):
        try:
            client.images.get(reference)
        except ImageNotFound:
            wanted.append(reference)
        return reference

    yield name
    for reference in wanted:
        try:
            client.images.remove(reference, noprune=True)
        except DockerException:
            continue


@pytest.fixture
def build(client):
    made = []

    def from_text(dockerfile):
        image, log = client.images.build(
            fileobj=io.BytesIO(dockerfile.encode()), rm=True, forcerm=True, nocache=True
        )
        made.append(image.id)
        return "".join(line.get("stream", "") for line in log)

    yield from_text
    for image in made:
        client.images.remove(image, force=True)


# -- what a Dockerfile builds on ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("dockerfile", "references"),
    [
        ("FROM node:22-alpine", ["node:22-alpine"]),
        ("from node:22 as base\nFROM base\nFROM Base AS other", ["node:22"]),
        ("ARG V=22\nARG F=node:${V}-alpine\nFROM $F AS a\nFROM ${F}", ["node:22-alpine"]),
        ("ARG V\nFROM node:${V:-20}\n", ["node:20"]),
        ("ARG SLIM=yes\nFROM node:22${SLIM:+-slim}", ["node:22-slim"]),
        ('ARG V="22"\nFROM node:$V', ["node:22"]),
        ("FROM --platform=$BUILDPLATFORM node:22 AS a", ["node:22"]),
        ("FROM --platform=linux/amd64 \\\n  node:22 \\\n  AS a\nFROM a", ["node:22"]),
        ("FROM scratch\nCOPY --from=nginx:1 /a /b", ["nginx:1"]),
        ("FROM node:22 AS a\nFROM node:20\nCOPY --from=a / /\nCOPY --from=0 / /", None),
        ("FROM node:22\nRUN --mount=type=bind,from=golang:1,target=/x true", None),
        ("# FROM no:1\n# escape=`\nFROM node:22\nRUN a `\n FROM no:2", ["node:22"]),
        ("FROM node:22\nRUN <<EOF\nFROM no:1\nEOF\nFROM node:20", ["node:22", "node:20"]),
        ("FROM reg.example:5000/a/b@sha256:00 AS x", ["reg.example:5000/a/b@sha256:00"]),
        ("\ufeffFROM node:22\r\nRUN true\r\n", ["node:22"]),
    ],
)
def test_the_images_a_dockerfile_takes_from_outside(dockerfile, references):
    by_hand = {
        "COPY --from=a": ["node:22", "node:20"],
        "type=bind": ["node:22", "golang:1"],
    }
    expected = references or next(value for key, value in by_hand.items() if key in dockerfile)
    assert base_references(dockerfile) == expected


def test_build_arguments_override_the_defaults():
    assert base_references("ARG V=20\nFROM node:$V", {"V": "24"}) == ["node:24"]


# Each ARG is twice the one before it: the last would have 600 GB.
DOUBLING = "ARG A0=x\n" + "".join(f"ARG A{n}=$A{n - 1}$A{n - 1}\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("dockerfile", "sentence"),
    [
        ("RUN true", "has no FROM"),
        ("", "has no FROM"),
        ("FROM $NOWHERE", "NOWHERE, which has no value"),
        ("FROM a b c d", "cannot be read"),
        ("FROM " + "a " * 1_000, "cannot be read"),
        ("FROM " + "a" * 1_000_000, "is longer than 4000 characters"),
        (DOUBLING, "`\\$A11\\$A11` is longer than 4000 characters"),
    ],
)
def test_a_dockerfile_without_a_readable_base_is_refused(dockerfile, sentence):
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        base_references(dockerfile)

    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("node:22-bookworm-slim", "22"),
        ("node:18-alpine", "18"),
        ("node:20", "20"),
        ("node:22.11.0-alpine3.20", "22.11.0"),
        ("docker.io/library/node:24-slim", "24"),
        ("library/node:24", "24"),
        ("node", "24"),
        ("node:lts-alpine", "24"),
        ("node:alpine", "24"),
        ("python:3.12", None),
        ("mynode:22", None),
        ("example.com/node:22", None),
        ("bitnami/node:22", None),
        ("node:22@sha256:" + "0" * 64, None),
    ],
)
def test_which_images_node_stands_in_for(reference, version):
    assert node_version(reference) == version


# -- pulling -----------------------------------------------------------------------------------


def test_a_registry_that_is_not_there_is_given_up_at_once(client):
    assert "refused" in try_to_pull(client, "127.0.0.1:1/some/image:1")


def test_a_silent_registry_is_given_up_and_not_asked_again(client, monkeypatch):
    monkeypatch.setattr(images, "SECONDS_WITHOUT_PROGRESS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reference = f"127.0.0.1:{silent.getsockname()[1]}/some/image:1"
        assert "no progress for 1 s" in try_to_pull(client, reference)
        assert "did not answer before" in try_to_pull(client, reference)


@pytest.fixture
def registry():
    """A registry with one small image."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("hello"))
    packed = gzip.compress(layer.getvalue())
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"nonce": secrets.token_hex(8)}},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer.getvalue())]},
        }
    ).encode()
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": _described("application/vnd.docker.container.image.v1+json", config),
            "layers": [_described("application/vnd.docker.image.rootfs.diff.tar.gzip", packed)],
        }
    ).encode()
    blobs = {_digest(blob): blob for blob in (config, packed, manifest)}

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self):
            last = self.path.rpartition("/")[2]
            content = manifest if last == "1" else blobs.get(last, b"{}")
            self.send_response(200)
            self.send_header("Content-Type", kind if content is manifest else "application/json")
            self.send_header("Docker-Content-Digest", _digest(content))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def _digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _described(kind, content):
    return {"mediaType": kind, "size": len(content), "digest": _digest(content)}


def test_an_image_that_can_be_pulled_is_pulled_and_no_stand_in(client, registry, tags):
    reference = tags(f"{registry}/some/base:1")
    found = ensure_base_image(client, reference, lambda _: None)
    assert not found.is_stand_in
    assert client.images.get(reference).id == found.id
    assert ensure_base_image(client, reference, lambda _: None) == found


def test_a_base_that_is_not_to_be_had_is_named(client):
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:1/no/base:1 is not here") as no:
        ensure_base_image(client, "127.0.0.1:1/no/base:1", lambda _: None)
    assert "docker load" in no.value.hint


# -- the stand-in ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(client):
    found = ensure_base_image(client, BASE)
    if not found.is_stand_in:
        pytest.skip(f"{BASE} itself is here: there is nothing to stand in for")
    return found


def test_the_stand_in_says_what_it_is_and_runs_the_wanted_node(client, base):
    image = client.images.get(BASE)
    assert image.labels["kanvaro.stand-in"] == "true"
    assert "kanvaro-sandbox/node-stand-in:22" in image.tags
    ran = client.containers.run(BASE, ["-p", "process.version"], remove=True).decode()
    assert ran.startswith("v22.")
    release = client.containers.run(BASE, ["cat", "/etc/os-release"], remove=True).decode()
    assert "Kanvaro stand-in" in release


def test_the_same_stand_in_serves_its_other_variants_at_once(client, base, tags):
    said = []
    other = ensure_base_image(client, tags("node:22-bullseye"), said.append)
    assert (other.id, other.is_stand_in) == (base.id, True)
    assert any("stand-in" in line for line in said)


def test_an_unchanged_stand_in_is_not_made_again(client, base):
    said = []
    assert ensure_base_image(client, BASE, said.append) == base
    assert len(said) == 1


def test_a_changed_recipe_is_another_one(monkeypatch):
    before = recipe_of("22")
    assert before == recipe_of("22")
    assert before != recipe_of("20")
    monkeypatch.setattr(rootfs, "ca_bundle", lambda: b"another authority")
    assert recipe_of("22") != before


@pytest.mark.parametrize(
    "commands",
    [
        "addgroup --system --gid 1001 nodejs && adduser --system --uid 1001 --ingroup nodejs app",
        "addgroup -g 1001 -S nodejs && adduser -S app -u 1001 -G nodejs",
        "groupadd -r -g 1001 nodejs && useradd -r -u 1001 -g nodejs -m -s /bin/sh app",
        "groupadd --gid=1001 nodejs && useradd --uid=1001 --gid=nodejs --create-home app",
    ],
)
def test_users_are_made_as_dockerfiles_make_them(build, base, commands):
    log = build(f"FROM {BASE}\nRUN {commands}\nUSER app\nRUN id && touch ~/mine && ls -ln ~\n")
    assert "uid=1001(app) gid=1001(nodejs)" in log
    assert "mine" in log


@pytest.mark.parametrize(
    "command",
    ["apk add curl", "apt-get update", "adduser --frobnicate app", "addgroup -g 1000 taken"],
)
def test_what_it_cannot_do_fails(build, base, command):
    with pytest.raises(BuildError, match="returned a non-zero code: 1"):
        build(f"FROM {BASE}\nRUN {command}\n")


def test_it_is_not_root_that_node_runs_as_when_so_told(client, base):
    ran = client.containers.run(
        BASE, ["node", "-p", "process.getuid() + ' ' + process.env.HOME"], user="node", remove=True
    )
    assert ran.decode().split() == ["1000", "/home/node"]
    with pytest.raises(ContainerError):
        client.containers.run(BASE, ["touch", "/usr/mine"], user="node", remove=True)


def test_npm_installs_a_package_with_a_native_part(build, base):
    log = build(
        f"FROM {BASE}\nWORKDIR /app\nRUN npm init -y > /dev/null && npm install --no-audit bcrypt@6"
        " && node -e \"require('bcrypt').hash('x', 4).then((h) => console.log('hash', h))\"\n"
    )
    assert "hash $2" in log


def test_a_busybox_is_taken_out_of_its_package_where_the_host_has_none(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(debian_packages.machine.Machine, "find", lambda _self, _name: None)
    said = []
    found = debian_packages.static_busybox(said.append)
    assert found.is_relative_to(tmp_path)
    assert rootfs.libraries_of(found) == {}
    assert debian_packages.static_busybox(said.append) == found
    assert len(said) == 1


def test_a_new_machine_without_package_lists_gets_them_first(monkeypatch, tmp_path):
    updated = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        debian_packages.machine.Machine,
        "update_package_lists",
        lambda _self: updated.append(True) or True,
    )
    download = debian_packages._download
    monkeypatch.setattr(
        debian_packages,
        "_download",
        lambda package, into: download(package, into) if updated else "no such package",
    )
    folder = debian_packages.unpacked("busybox-static", ["busybox-static"], lambda _: None)
    assert updated == [True]
    assert (folder / "bin" / "busybox").exists() or (folder / "usr/bin/busybox").exists()


def test_equal_file_systems_are_equal_archives_with_owners_of_their_own():
    def fill(root):
        root.base({"node": 1000}, "x")
        root.file("/bin/tool", "#!/bin/sh\n", mode=0o755)
        root.file("/home/node/mine", "x", owner=1000)
        root.link("/bin/alias", "tool")

    with rootfs.rootfs_archive(fill) as one, rootfs.rootfs_archive(fill) as two:
        assert one.read_bytes() == two.read_bytes()
        with tarfile.open(one) as archive:
            entries = {entry.name: entry for entry in archive}
    assert entries["usr/bin/tool"].mode == 0o755
    assert entries["bin"].linkname == "usr/bin"
    assert (entries["home/node/mine"].uid, entries["root"].mode) == (1000, 0o700)
    assert not Path(one).exists()
