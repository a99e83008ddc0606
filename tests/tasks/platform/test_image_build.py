"""An image is built as its author builds it: BuildKit, the lockfile's folder, docker's own rules.

The Docker engine is real. What its frontend cannot do is said with what to do about it.
"""

import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from docker.errors import DockerException
from prefect.logging import disable_run_logger

from delivery.errors import ConfigurationError, DeliveryError, ImageFailed
from sandbox.host.engine import docker_engine
from sandbox.images.base_images import ensure_base_image
from tasks.checks.plan import plan_of
from tasks.platform import docker_program, image_build
from tasks.platform.docker_program import Builder, docker_environment, find_builder
from tasks.platform.image_build import build_image
from tasks.workspace.checkout import check_out
from tasks.workspace.workspace import Workspace
from tests.tasks.containers.engines import environment_with
from tests.tasks.workspace.test_checkout import Repository

BASE = "node:22-bookworm-slim"
PACKAGE, LOCK = '{"name": "app"}', '{"name": "app", "lockfileVersion": 3}'


@pytest.fixture
def client():
    made = docker_engine().client()
    ensure_base_image(made, BASE, lambda _: None)
    yield made
    made.close()


@pytest.fixture
def environment(client, tmp_path):
    return environment_with(tmp_path)


@pytest.fixture
def workspace(tmp_path):
    names = ("home", "logs", "mirrors", "cache", "reports")
    folders = {name: tmp_path / "run" / name for name in names}
    for folder in folders.values():
        folder.mkdir(parents=True)
    return Workspace(
        run=f"test-{uuid.uuid4().hex}", owner="test", source=tmp_path / "run/source", **folders
    )


@pytest.fixture
def build(environment, workspace, client, tmp_path):
    """Build what `files` commit; the images are removed at the end."""
    images = []

    def built(files, **policy):
        environment.policy = environment.policy.model_copy(update=policy)
        repository = Repository(tmp_path / f"repository-{uuid.uuid4().hex[:6]}")
        for name, content in {"package.json": PACKAGE, "package-lock.json": LOCK, **files}.items():
            path = repository.path / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                path.symlink_to(content)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        revision = repository.commit()
        shutil.rmtree(workspace.home / "build-context", ignore_errors=True)
        source = check_out(
            str(repository.path),
            revision,
            "main",
            tmp_path / f"source-{uuid.uuid4().hex[:6]}",
            tmp_path / "mirrors",
        )
        with disable_run_logger():
            plan = plan_of(source, None, "moderate")
            made = build_image.fn(environment, source, workspace, plan)
        images.append(made.id)
        built.remarks = made.remarks
        return made.id

    yield built
    for image in images:
        try:
            client.images.remove(image, force=True)
        except DockerException:
            continue


@pytest.fixture
def files_of(client):
    """The paths in an image that is made of copied files only, and their contents by name."""

    def found(image):
        # An image without a program is never started: its file system is only exported.
        container = client.api.create_container(image, command=["none"])["Id"]
        try:
            listed = subprocess.run(
                ["tar", "-t"],
                input=b"".join(client.api.export(container)),
                capture_output=True,
                check=True,
            )
        finally:
            client.api.remove_container(container)
        made_by_engine = ("dev", "etc", "proc", "sys", ".dockerenv")
        names = [name.rstrip("/") for name in listed.stdout.decode(errors="replace").split("\n")]
        return {name for name in names if name and name.split("/")[0] not in made_by_engine}

    return found


@pytest.fixture
def without_buildkit(monkeypatch):
    monkeypatch.setattr(
        image_build, "find_builder", lambda *_: Builder("", "docker 28.2.2 has no plugin buildx")
    )


def test_a_mount_of_a_cache_is_built_as_docker_does(build, client):
    image = build(
        {"Dockerfile": f"FROM {BASE}\nRUN --mount=type=cache,target=/root/.npm echo hi > /said\n"}
    )

    labels = client.images.get(image).labels
    assert labels["org.opencontainers.image.revision"]
    assert labels["kanvaro.tree"]


@pytest.mark.parametrize(
    ("dockerfile", "unknown"),
    [
        ("FROM scratch\nCOPY --link a.txt /\n", "Unknown flag: link"),
        ("FROM scratch\nCOPY <<EOT /x\nhello\nEOT\n", "unknown instruction: HELLO"),
    ],
    ids=["link", "heredoc"],
)
def test_what_the_engines_frontend_is_too_old_for_is_built_or_said(
    build, client, dockerfile, unknown
):
    files = {"Dockerfile": dockerfile, "a.txt": "1\n"}
    if int(client.version()["Version"].split(".")[0]) >= 23:
        assert build(files)
        return

    with pytest.raises(ImageFailed, match=f"(?i){unknown}") as failed:
        build(files)

    assert client.version()["Version"] in failed.value.hint
    for way_out in ("# syntax=docker/dockerfile:1", "dockerfile_frontend", "Docker 23"):
        assert way_out in failed.value.hint


def test_a_frontend_that_cannot_be_pulled_is_named_and_not_replaced_silently(build):
    with pytest.raises(ImageFailed) as failed:
        build({"Dockerfile": "# syntax=127.0.0.1:9/no/frontend:1\nFROM scratch\nCOPY a /\n"})

    assert "127.0.0.1:9/no/frontend:1, by which the Dockerfile is to be read" in failed.value.hint


# A version that does not exist, so that this is the same where Docker Hub can be reached.
NO_VERSION = "docker/dockerfile:1.9998"


@pytest.mark.parametrize("line", [f"# syntax={NO_VERSION}", f"#SYNTAX = docker.io/{NO_VERSION}"])
def test_dockers_own_frontend_is_the_engines_where_it_cannot_be_pulled_and_that_is_said(
    build, files_of, client, line
):
    image = build(
        {
            "Dockerfile": f"{line}\n# escape=`\nFROM scratch\nCOPY package.json `\n /\n",
            "Dockerfile.dockerignore": "*\n!package.json\n",
        }
    )

    assert files_of(image) == {"package.json"}
    [remark] = build.remarks
    assert "cannot be pulled" in remark
    assert client.version()["Version"] in remark


def test_what_the_engine_cannot_read_instead_is_said_with_the_frontend_that_is_missing(build):
    with pytest.raises(ImageFailed) as failed:
        build({"Dockerfile": f"# syntax={NO_VERSION}\nFROM scratch\nCOPY --no-such=1 a /\n"})

    assert f"{NO_VERSION}, which it names, cannot be pulled" in failed.value.hint


def test_the_policy_may_name_the_frontend_that_reads_every_dockerfile(build):
    with pytest.raises(ImageFailed) as failed:
        build(
            {"Dockerfile": "FROM scratch\nCOPY package.json /\n"},
            dockerfile_frontend="127.0.0.1:9/our/frontend:1",
        )

    assert "127.0.0.1:9/our/frontend:1" in failed.value.hint


MONOREPO = {
    "delivery.toml": 'folder = "apps/web"\n',
    "package.json": '{"private": true, "workspaces": ["apps/*", "packages/*"]}',
    "package-lock.json": '{"lockfileVersion": 3}',
    "packages/ui/index.js": "1\n",
    "apps/web/package.json": '{"name": "web", "scripts": {"lint": "node -e 0"}}',
    "apps/web/Dockerfile": (
        "FROM scratch\nCOPY package.json package-lock.json ./\nCOPY packages ./packages\n"
    ),
}


def test_an_application_of_a_workspace_is_built_where_its_lockfile_is(build, files_of):
    assert files_of(build(MONOREPO)) == {
        *("package.json", "package-lock.json"),
        *("packages", "packages/ui", "packages/ui/index.js"),
    }


def test_an_application_with_a_lockfile_of_its_own_is_built_in_its_folder(build, files_of):
    files = {
        **MONOREPO,
        "apps/web/package-lock.json": LOCK,
        "apps/web/Dockerfile": "FROM scratch\nCOPY . /app\n",
    }

    assert files_of(build(files)) == {
        *("app", "app/Dockerfile", "app/package.json", "app/package-lock.json"),
    }


def test_delivery_toml_names_another_context_and_a_dockerfile_beside_the_lockfile(build, files_of):
    files = {
        **MONOREPO,
        "delivery.toml": (
            'folder = "apps/web"\ndockerfile = "web.Dockerfile"\ncontext = "packages"\n'
        ),
        "web.Dockerfile": "FROM scratch\nCOPY . /\n",
    }

    assert files_of(build(files)) == {"ui", "ui/index.js"}


def test_a_file_outside_of_the_context_is_explained(build):
    files = {**MONOREPO, "apps/web/Dockerfile": "FROM scratch\nCOPY server.js /\n"}

    with pytest.raises(ImageFailed) as failed:
        build(files)

    assert "/server.js is not in the build's context" in failed.value.hint
    assert "the repository's root" in failed.value.hint


BOM, LATIN1 = b"\xef\xbb\xbfnode_modules\n", b"# caf\xe9\nnode_modules\n"


@pytest.mark.parametrize("way", ["BuildKit", "older builder"])
@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        (".dockerignore", BOM),
        (".dockerignore", LATIN1),
        (".dockerignore", b"caf\xe9\r\nnode_modules\r\n"),
        (".dockerignore", b"**/node_modules\n!keep\n#kept\n"),
    ],
    ids=["bom", "latin1", "crlf", "stars"],
)
def test_an_ignore_file_is_read_as_docker_reads_it(build, files_of, name, ignored, way, request):
    if way == "older builder":
        request.getfixturevalue("without_buildkit")
    found = files_of(
        build(
            {
                "Dockerfile": "FROM scratch\nCOPY . /\n",
                name: ignored,
                "node_modules/left-pad/index.js": "1\n",
                "keep": "1\n",
            }
        )
    )

    assert found == {"Dockerfile", ".dockerignore", "keep", "package.json", "package-lock.json"}


def test_an_ignore_file_beside_the_dockerfile_counts_before_the_contexts(build, files_of):
    found = files_of(
        build(
            {
                "delivery.toml": 'dockerfile = "deploy/web.Dockerfile"\n',
                "deploy/web.Dockerfile": "FROM scratch\nCOPY . /\n",
                "deploy/web.Dockerfile.dockerignore": "*\n!keep\n",
                "keep": "1\n",
                "other": "1\n",
            }
        )
    )

    assert found == {"keep"}


OUT_OF_THE_COMMIT = {"Dockerfile": "FROM scratch\nCOPY . /\n", "package.json": PACKAGE}


@pytest.mark.parametrize("way", ["BuildKit", "older builder"])
@pytest.mark.parametrize("name", [".dockerignore", "secret"])
def test_no_link_of_a_commit_reads_a_file_of_the_worker(
    build, tmp_path, files_of, name, way, request
):
    if way == "older builder":
        request.getfixturevalue("without_buildkit")
    (tmp_path / "outside").write_text("package.json\n")

    found = files_of(build({**OUT_OF_THE_COMMIT, name: tmp_path / "outside"}))

    # What was copied is the link itself, and nothing was left out because of what it names.
    assert {"package.json", name} <= found


def test_a_dockerfile_that_is_a_link_out_of_the_repository_is_refused(build, tmp_path):
    (tmp_path / "outside").write_text("FROM scratch\nRUN canary-of-the-worker\n")

    with pytest.raises(DeliveryError, match="leads out of the repository") as refused:
        build({"Dockerfile": tmp_path / "outside"})

    assert "canary" not in f"{refused.value}{refused.value.hint}"


def test_a_folder_that_is_a_link_out_of_the_repository_has_no_dockerfile(build, tmp_path):
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "canary").write_text("FROM canary-of-the-worker\n")

    with pytest.raises(DeliveryError) as refused:
        build({"delivery.toml": 'dockerfile = "deploy/canary"\n', "deploy": outside})

    assert "leads out of the repository" in str(refused.value)


def test_a_dockerfile_that_is_named_and_missing_is_an_error(build):
    with pytest.raises(ConfigurationError, match=r"'deploy/Dockerfil'.*no deploy/Dockerfil") as no:
        build(
            {
                "delivery.toml": 'dockerfile = "deploy/Dockerfil"\n',
                "deploy/Dockerfile": "FROM scratch\nCOPY . /\n",
            }
        )

    assert 'dockerfile = "none"' in no.value.hint


def test_the_program_gets_nothing_secret_of_the_worker(environment, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", "canary")
    monkeypatch.setenv("BUILDX_BUILDER", "canary")

    variables = docker_environment(environment, tmp_path / "home", tmp_path / "cache")

    assert "canary" not in str(variables)
    assert variables["DOCKER_CONFIG"].startswith(str(tmp_path))
    assert variables["DOCKER_HOST"] == environment.docker.base_url


def test_what_a_build_writes_has_no_escape_of_a_terminal(build):
    with pytest.raises(ImageFailed) as failed:
        build(
            {
                "Dockerfile": f"FROM {BASE}\n"
                "RUN printf '\\033]52;c;aGk=\\007\\033[2Jlast\\n'; exit 7\n"
            }
        )

    assert "last" in str(failed.value)
    assert "\x1b" not in str(failed.value)


def test_a_build_that_takes_too_long_ends_in_the_engine_too(build):
    mark = f"4{uuid.uuid4().int % 10**6:06d}"
    began = time.monotonic()

    with pytest.raises(ImageFailed, match="took over 5 s"):
        build({"Dockerfile": f"FROM {BASE}\nRUN sleep {mark}\n"}, build_timeout_s=5)

    assert time.monotonic() - began < 30
    deadline = time.monotonic() + 20
    while _runs(mark):
        assert time.monotonic() < deadline, "the engine still builds"
        time.sleep(0.2)


def _runs(mark):
    commands = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    return any(f"sleep\0{mark}\0".encode() in command for command in commands)


class TestWithoutBuildKit:
    def test_the_older_builder_is_told_and_builds_what_it_can(
        self, build, files_of, without_buildkit, monkeypatch
    ):
        said = []
        logger = SimpleNamespace(info=lambda *_: None, warning=lambda *words: said.append(words))
        monkeypatch.setattr(image_build, "get_run_logger", lambda: logger)

        assert "keep" in files_of(build({"Dockerfile": "FROM scratch\nCOPY keep /\n", "keep": "1"}))

        [(_, remark)] = said
        assert remark.endswith("without BuildKit: docker 28.2.2 has no plugin buildx")
        assert build.remarks == (remark,)

    def test_what_needs_buildkit_says_what_is_missing(self, build, without_buildkit):
        with pytest.raises(ImageFailed) as failed:
            build({"Dockerfile": f"FROM {BASE}\nRUN --mount=type=cache,target=/c true\n"})

        assert "docker 28.2.2 has no plugin buildx" in failed.value.hint

    def test_a_program_without_its_plugin_is_passed_over(self, environment, client, tmp_path):
        programs = {}
        for folder, version in (("new", "28.2.2"), ("old", "20.10.24+dfsg1")):
            programs[folder] = tmp_path / folder / "docker"
            programs[folder].parent.mkdir()
            programs[folder].write_text(
                "#!/bin/sh\n"
                f'case "$1" in --version) echo "Docker version {version}, build x";;'
                ' buildx) echo "unknown command" >&2; exit 1;; version) echo 20.10.24;; esac\n'
            )
            programs[folder].chmod(0o755)
        path = f"{programs['new'].parent}:/nowhere:{programs['old'].parent}"

        both = find_builder(environment, client, {"PATH": path})
        newer = find_builder(environment, client, {"PATH": str(programs["new"].parent)})
        none = find_builder(environment, client, {"PATH": "/nowhere"})

        assert both == Builder(str(programs["old"]))
        assert "Docker version 28.2.2, build x has no plugin buildx" in newer.why_not
        assert none.why_not == "there is no docker program on the worker's PATH"

    def test_an_engine_that_is_not_dockers_is_named(self, environment, client, monkeypatch):
        answer = {"Components": [{"Name": "Podman Engine"}]}
        monkeypatch.setattr(client, "version", lambda: answer)

        assert "Podman Engine" in find_builder(environment, client, dict(os.environ)).why_not


def test_the_user_may_have_installed_the_plugin_in_his_home(environment, tmp_path, monkeypatch):
    monkeypatch.setattr(docker_program.Path, "home", lambda: tmp_path)

    variables = docker_environment(environment, tmp_path / "home", tmp_path / "cache")

    settings = Path(variables["DOCKER_CONFIG"], "config.json").read_text()
    assert str(tmp_path / ".docker/cli-plugins") in settings
