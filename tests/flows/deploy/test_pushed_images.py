"""Only an image whose digest we recorded before it got its revision's tag is ever believed.

The Docker engine is replaced by one that pushes to the emulated ECR; each build has another digest.
"""

import hashlib
import json
import random
import secrets
import uuid
from contextlib import contextmanager
from itertools import count, product
from types import SimpleNamespace

import pytest

from delivery.errors import ImageConflict
from delivery.platform.images import Image
from delivery.run.ledger import Proven, Pushed, Release
from tasks.platform import images
from tasks.platform.images import find_image, push_image
from tasks.platform.versions import record_proof
from tasks.run import ledger
from tests.flows.deploy.crashes import (
    Crash,
    Process,
    live_process,
    live_until_done,
    on_the_wire,
    without_engine,
)
from tests.flows.stand import ECR

WHEN = ("before", "after")
MOST_CALLS = 40
DRAWN = 150


class Engine:
    """Pushes to ECR whatever it is asked to; `pushing` is called before each push."""

    def __init__(self, stand):
        self.images, self._ecr, self._names = self, stand.aws.client("ecr"), {}
        self.pushing = lambda: None

    def get(self, image_id):
        return SimpleNamespace(
            tags=[], tag=lambda address, tag: self._names.update({f"{address}:{tag}": image_id})
        )

    def push(self, address, *, tag, auth_config, stream, decode):
        assert auth_config["password"]
        self.pushing()
        yield {"status": "Pushing"}
        yield {"aux": {"Digest": self.put(self._names[f"{address}:{tag}"], tag)}}

    def remove(self, name, *, noprune):
        assert noprune
        del self._names[name]

    def put(self, image_id, tag):
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "x", "size": 1, "digest": f"sha256:{'0' * 64}"},
                "layers": [],
                "annotations": {"id": image_id},
            }
        )
        self._ecr.put_image(repositoryName=ECR, imageManifest=manifest, imageTag=tag)
        return f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"

    def holder(self, revision):
        """The digest that has a revision's tag; empty if there is none."""
        found = self._ecr.batch_get_image(repositoryName=ECR, imageIds=[{"imageTag": revision}])[
            "images"
        ]
        return found[0]["imageId"]["imageDigest"] if found else ""


@pytest.fixture
def engine(stand, monkeypatch):
    made = Engine(stand)

    @contextmanager
    def lent(_environment):
        yield made

    monkeypatch.setattr(images, "engine", lent)
    with on_the_wire(), without_engine():
        yield made


@pytest.fixture
def environment(stand):
    return stand.environment()


def a_source():
    revision = uuid.uuid4().hex + uuid.uuid4().hex[:8]
    return SimpleNamespace(
        revision=revision, repository="none", ref="refs/heads/main", committed_at=""
    )


def deliver(environment, source, build):
    """What `ci` does between its checks and the deploy lock."""
    image = find_image.fn(environment, source)
    if image is None:
        image = push_image.fn(environment, source, next(build))
    table = SimpleNamespace(migration="none", health_path="", answers_revision=True)
    record_proof.fn(environment, source, SimpleNamespace(table=table), image)
    return image


def builds():
    """Ids of images: no build is like the one before."""
    return (f"sha256:{uuid.uuid4().hex}" for _ in count())


def copy_of(environment):
    """The environment as another process has it, with clients of its own."""
    made = environment.model_copy()
    made.__dict__.pop("_clients", None)
    return made


def recorded(stand, revision):
    """The recorded digests of a revision, read by a client that no process dies with."""
    rows = stand.aws.client("dynamodb").query(
        TableName="kanvaro-delivery",
        KeyConditionExpression="environment = :e AND begins_with(entry, :b)",
        ExpressionAttributeValues={":e": {"S": f"images#{ECR}"}, ":b": {"S": f"{revision}#"}},
        ConsistentRead=True,
    )["Items"]
    return {Pushed.read(row["said"]["S"]).digest for row in rows}


def play(stand, environment, engine, crashes):
    """Run until a run was not killed; return how many were, after checking what they left."""
    source, build, ended = a_source(), builds(), []

    def look(call):
        holder = engine.holder(source.revision)
        known = recorded(stand, source.revision) | {""}
        assert holder in known, f"after {call} ECR has a tag whose digest is not recorded"

    def run():
        ended.append(deliver(copy_of(environment), source, build))

    def fail(error):
        raise error

    def runs():
        while True:
            yield run

    killed, _ = live_until_done(crashes, runs(), lambda crash: Process(crash, look), fail)
    [image] = ended
    assert image.digest == engine.holder(source.revision)
    [proven] = ledger.read_proven(environment, source.revision)
    assert proven.digest == image.digest
    again = live_process(Process(), lambda: find_image.fn(copy_of(environment), source))
    assert again == image
    return killed


def test_a_push_that_is_killed_at_any_call_is_finished_by_the_next_run(stand, environment, engine):
    for number in range(1, MOST_CALLS):
        killed = [play(stand, environment, engine, [Crash(number, when)]) for when in WHEN]
        if not any(killed):
            assert number > 6, "no more than that was called"
            return
    raise AssertionError("a push never ends")


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_a_push_that_is_killed_twice_is_finished_by_the_third_run(stand, environment, engine):
    seed = secrets.randbelow(10**6)
    print(f"seed {seed}")
    crashes = [Crash(number, when) for number in range(1, 14) for when in WHEN]
    pairs = random.Random(seed).sample(list(product(crashes, repeat=2)), DRAWN)  # noqa: S311

    killed = [play(stand, environment, engine, pair) for pair in pairs]

    assert 2 in killed


def test_an_image_that_somebody_else_pushed_under_the_tag_before_is_not_believed(
    environment, engine
):
    source = a_source()
    theirs = engine.put("a backdoor", source.revision)

    with pytest.raises(ImageConflict, match=f"as {theirs[:19]}, and the ledger has no") as raised:
        live_process(Process(), lambda: deliver(environment, source, builds()))

    assert "delete that tag" in raised.value.hint
    assert not ledger.read_proven(environment, source.revision)


def test_an_image_that_somebody_else_pushes_meanwhile_is_not_believed(environment, engine):
    source = a_source()
    engine.pushing = lambda: engine.put("a backdoor", source.revision)

    with pytest.raises(ImageConflict, match="the ledger has no record"):
        live_process(Process(), lambda: deliver(environment, source, builds()))

    assert not ledger.read_proven(environment, source.revision)


def test_of_two_runs_that_push_the_same_revision_both_take_the_image_of_the_faster_one(
    stand, environment, engine
):
    source, first = a_source(), []

    def overtake():
        engine.pushing = lambda: None
        first.append(push_image.fn(copy_of(environment), source, "the faster one"))

    engine.pushing = overtake

    image = live_process(Process(), lambda: push_image.fn(environment, source, "the slower one"))

    assert [image] == first
    assert len(recorded(stand, source.revision)) == 2


@pytest.mark.parametrize("row", ["proven", "release"])
def test_what_was_proven_or_released_before_pushes_were_recorded_is_believed(
    environment, engine, row
):
    source = a_source()
    digest = engine.put("ours", source.revision)
    revision, at = source.revision, ledger.now()
    if row == "proven":
        proof = Proven(revision, digest, "none", source.ref, "test", at)
        ledger.record_proven(environment, proof)
    else:
        number = uuid.uuid4().int % 10**9
        release = Release(number, revision, digest, "blue", at, "test", "ada", "as it was")
        ledger.record_release(environment, release)

    image = live_process(Process(), lambda: find_image.fn(environment, source))

    assert image == Image(image.repository, digest, revision)


def test_a_record_counts_for_its_own_revision_and_repository_only(environment, engine):
    source, digest = a_source(), engine.put("ours", a_source().revision)
    for other in (
        Pushed("f" * 40, digest, "test", ledger.now()),
        Pushed(source.revision, f"sha256:{'1' * 64}", "test", ledger.now()),
    ):
        ledger.record_pushed(environment, other)
    elsewhere = environment.model_copy(update={"ecr_repository": "another"})
    ledger.record_pushed(elsewhere, Pushed(source.revision, digest, "test", ledger.now()))

    assert not ledger.is_recorded(environment, source.revision, digest)
    assert ledger.is_recorded(elsewhere, source.revision, digest)
