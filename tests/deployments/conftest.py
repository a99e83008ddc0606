"""Provide the Docker engine, and the worker image built from this checkout."""

from contextlib import closing

import pytest

from deployments import ROOT
from sandbox.host.engine import docker_engine
from sandbox.images.base_images import ensure_base_images

DOCKERFILE = "deployments/worker/Dockerfile"
WORKER_IMAGE = "kanvaro-delivery-worker:test"


@pytest.fixture(scope="session")
def engine():
    with closing(docker_engine().client()) as client:
        yield client


@pytest.fixture(scope="session")
def worker_image(engine):
    """Build the image from this checkout, as `WORKER_IMAGE`; unchanged layers are cached."""
    ensure_base_images(engine, (ROOT / DOCKERFILE).read_text())
    made, _ = engine.images.build(path=str(ROOT), dockerfile=DOCKERFILE, tag=WORKER_IMAGE, rm=True)
    return made
