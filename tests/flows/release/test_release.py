"""What becomes of a tag: one release, whose assets are what was built, or a clear refusal."""

import hashlib
import io
import json
import random
import subprocess
import tarfile
from dataclasses import replace
from types import SimpleNamespace

import pytest
from botocore.exceptions import ReadTimeoutError
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from markdown_it import MarkdownIt

from delivery.errors import (
    AccessDenied,
    CheckFailed,
    ConfigurationError,
    DeliveryError,
    ImageConflict,
    NeverProven,
    RequestRefused,
    UnknownRevision,
    Unreachable,
)
from delivery.run.ledger import Proven
from sandbox.parts.sample import git, sample_repository
from tasks.github.api import github_of
from tasks.run import ledger
from tests.flows.conftest import Application
from tests.flows.deploy.crashes import Crash
from tests.flows.release.releasing import FLOW, Releasing, keep, keeping, pretended


@pytest.fixture
def releasing(stand, app, tmp_path):
    return Releasing(stand, app, tmp_path / "workshop")


@pytest.fixture
def tagged(releasing):
    """A tag that can be released."""
    revision = releasing.commit()
    releasing.tag()
    return SimpleNamespace(revision=revision, digest=releasing.image(revision))


class TestAGoodTag:
    def test_becomes_one_release_that_anyone_can_verify(self, releasing, tagged, tmp_path):
        answer = releasing.ok()

        releasing.assert_whole()
        assert f"v1.0.0 of {tagged.revision} is released at http" in answer
        assert releasing.image("v1.0.0") == tagged.digest
        folder = keep(releasing.assets, tmp_path / "downloaded")
        checked = subprocess.run(
            ["sha256sum", "--check", "--strict", "kanvaro-v1.0.0.sha256"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        assert checked.stdout.count(": OK") == 2
        self.holds_the_built_application(releasing.assets["kanvaro-v1.0.0.tar.gz"], tagged)
        sbom = releasing.assets["kanvaro-v1.0.0.cdx.json"].decode()
        assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(sbom) is None
        self.is_stated(releasing, tagged)
        said = releasing.said()
        assert "kanvaro v1.0.0 is released" in said
        assert "a thing" in said

    def holds_the_built_application(self, archive, tagged):
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            entries = {each.name: each for each in opened.getmembers()}
            texts = {
                n: opened.extractfile(e).read().decode() for n, e in entries.items() if e.isreg()
            }
        stem = "kanvaro-v1.0.0"
        assert all(name == stem or name.startswith(f"{stem}/") for name in entries)
        assert texts[f"{stem}/server.js"] == f'const place = "/app"; {tagged.revision}'
        assert texts[f"{stem}/.next/static/a.js"] == "static"
        assert texts[f"{stem}/public/robots.txt"] == "none"
        assert "canary" not in str(texts)
        assert {(e.uid, e.gid, e.uname, e.gname) for e in entries.values()} == {(0, 0, "", "")}

    def is_stated(self, releasing, tagged):
        stated = json.loads(releasing.assets["kanvaro-v1.0.0.intoto.json"])
        subjects = {each["name"]: each["digest"]["sha256"] for each in stated["subject"]}
        image = subjects.pop(releasing.stand.repository)
        assert f"sha256:{image}" == tagged.digest
        assert subjects == {
            name: hashlib.sha256(content).hexdigest()
            for name, content in releasing.assets.items()
            if name.endswith((".tar.gz", ".cdx.json"))
        }
        [source, *_] = stated["predicate"]["buildDefinition"]["resolvedDependencies"]
        assert source["digest"] == {"gitCommit": tagged.revision}

    def test_has_the_same_bytes_when_it_is_built_again_elsewhere(
        self, releasing, tagged, app, tmp_path, stand
    ):
        releasing.ok()
        first = releasing.assets

        again = Releasing(stand, app, tmp_path / "another" / "workshop")
        _prove_again(again, tagged)
        again.ok()

        for name, content in again.assets.items():
            assert content == first[name] or name.endswith(".intoto.json"), name

    def test_is_released_again_without_a_change(self, releasing, tagged):
        releasing.ok()
        before, [only] = releasing.assets, releasing.releases
        sending_once = releasing.hub.counted("POST", "/releases") + releasing.hub.counted("PATCH")

        releasing.ok()

        assert releasing.releases == [only]
        assert releasing.assets == before
        assert (
            releasing.hub.counted("POST", "/releases") + releasing.hub.counted("PATCH")
            == sending_once
        )

    def test_stays_a_draft_if_that_is_asked_for_and_is_published_later(self, releasing, tagged):
        assert "is a draft on GitHub" in releasing.ok(draft=True)
        releasing.assert_whole(draft=True)
        assert releasing.image("v1.0.0") is None

        releasing.ok()

        releasing.assert_whole()
        assert releasing.image("v1.0.0") == tagged.digest
        assert not releasing.releases[0].prerelease

    def test_of_a_prerelease_is_marked_as_one(self, releasing):
        releasing.commit()
        releasing.tag("v2.0.0-rc.1")

        releasing.ok("v2.0.0-rc.1")

        releasing.assert_whole("v2.0.0-rc.1")
        assert releasing.releases[0].prerelease
        assert "package.json names the version '1.0.0'" in releasing.said()

    def test_tells_what_is_new_since_the_version_before_as_text(self, releasing, app):
        releasing.commit("feat: long ago")
        releasing.tag("v0.9.0")
        for subject in ("fix(api): @everyone [x](http://evil.example)", "feat!: <img src=x> #1"):
            releasing.commit(subject)
        git(app.sample.folder, "config", "user.name", "ignored")
        releasing.tag()

        releasing.ok()

        notes = releasing.releases[0].body
        assert "long ago" not in notes
        assert notes.index("Breaking") < notes.index("### Fixes")
        assert "@everyone" not in notes
        shown = MarkdownIt("commonmark").render(notes)
        assert "&lt;img src=x&gt; #" in shown
        for active in ("<img", "<a ", "#1"):
            assert active not in shown
        said = releasing.said()
        assert "<img" not in said
        assert "&lt;img src=x&gt;" in said


def _prove_again(releasing, tagged):
    """The image is in ECR; that it was proven is each environment's own ledger's to say."""
    entry = Proven(
        tagged.revision, tagged.digest, releasing.app.address, "refs/heads/main", "t", ledger.now()
    )
    ledger.record_proven(releasing.environment, entry)


class TestWhatCannotBeReleased:
    def refused(self, releasing, kind, sentence, tag="v1.0.0", **parameters):
        error = releasing.fail(kind, tag, **parameters)
        assert sentence in str(error), error
        assert releasing.releases == []
        return error

    def test_a_tag_that_is_no_semantic_version(self, releasing):
        self.refused(releasing, RequestRefused, "is not `v` and a semantic version", "v1.0")

    def test_a_tag_that_is_not_there(self, releasing):
        releasing.commit()
        self.refused(releasing, UnknownRevision, "there is no refs/tags/v1.0.0")

    def test_a_lightweight_tag(self, releasing):
        releasing.commit()
        releasing.tag(annotated=False)
        self.refused(releasing, RequestRefused, "is a lightweight tag")

    def test_a_tag_that_was_moved_on_github(self, releasing, tagged):
        releasing.hub.set_ref("kanvaro/kanvaro", "refs/tags/v1.0.0", "1" * 40)
        self.refused(releasing, RequestRefused, "the tag v1.0.0 was moved")

    def test_a_tag_that_is_moved_after_a_draft_was_made(self, releasing, tagged):
        releasing.ok(draft=True)
        releasing.commit()
        releasing.tag(force=True)
        error = releasing.fail(RequestRefused)
        assert "was moved: GitHub has a draft of it from another revision" in str(error)

    def test_a_tag_off_the_branch(self, releasing, app):
        releasing.commit()
        app.sample.branch("aside")
        releasing.commit()
        releasing.tag()
        self.refused(releasing, RequestRefused, "which is not on refs/heads/main")

    def test_a_revision_that_never_passed_ci(self, releasing):
        releasing.commit(proven=False)
        releasing.tag()
        self.refused(releasing, UnknownRevision, "of which ECR has no image: it never passed `ci`")

    def test_an_image_whose_proof_is_missing(self, releasing):
        releasing.stand.push(releasing.commit(proven=False))
        releasing.tag()
        self.refused(releasing, NeverProven, "did not pass the checks of `ci`")

    def test_a_version_that_another_image_has(self, releasing):
        other = f"v3.{random.randrange(10**6)}.0"  # noqa: S311
        releasing.stand.push(other)
        releasing.commit()
        releasing.tag(other)
        self.refused(releasing, ImageConflict, "the version was used for something else", other)

    def test_a_release_of_others(self, releasing, tagged):
        _by_hand(releasing)
        error = releasing.fail(RequestRefused)
        assert "GitHub has a draft of v1.0.0 that this pipeline did not make" in str(error)

    def test_a_release_with_other_assets(self, releasing, tagged):
        releasing.ok()
        releasing.releases[0].assets[0].content = b"something else"
        before = dict(releasing.assets)
        assert "with other assets" in str(releasing.fail(RequestRefused))
        assert releasing.assets == before

    def test_one_whose_tests_fail(self, releasing):
        releasing.commit(test_unit="node -e 'process.exit(3)'")
        releasing.tag()
        self.refused(releasing, CheckFailed, "ended with exit code 3")

    @pytest.mark.parametrize(
        ("script", "kind", "sentence"),
        [
            ("node -e 'process.exit(4)'", CheckFailed, "ended with exit code 4"),
            ("node -e 0", ConfigurationError, "the build left no folder .next/standalone"),
        ],
    )
    def test_one_that_does_not_build(self, releasing, script, kind, sentence):
        releasing.commit(build=script)
        releasing.tag()
        self.refused(releasing, kind, sentence)

    def test_a_token_that_may_not(self, stand, app, tmp_path):
        releasing = Releasing(stand, app, tmp_path / "w", permissions={"contents": "read"})
        releasing.commit()
        releasing.tag()
        self.refused(releasing, AccessDenied, "lacks the permission contents=write")
        assert releasing.image("v1.0.0") is None or True


class TestWhatTestAllMeans:
    def test_a_pass_of_ci_counts(self, releasing, tagged):
        releasing.ok()
        assert "`test:all` is `test:unit`" in releasing.said()

    def test_any_other_is_run_as_it_is(self, releasing):
        releasing.commit(
            test_all="echo the whole suite", files={"delivery.toml": "[checks.unit]\nskip = 'x'\n"}
        )
        releasing.tag()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("delivery.release.required_tests.SERVICES", ())
            releasing.ok()
        [log] = (releasing.environment.data_dir / "logs").glob("*/test-all.log")
        assert "\nthe whole suite" in log.read_text()


# --- Crashes and lost answers ---


@pytest.fixture(scope="module")
def ready(stand, tmp_path_factory):
    """What one real run made, for runs that only speak to GitHub and ECR."""
    app = Application(tmp_path_factory.mktemp("crashing") / "app")
    made = SimpleNamespace(kept={}, n=0)
    made.releasing = Releasing(stand, app, tmp_path_factory.mktemp("workshop"))
    made.revision = made.releasing.commit()
    made.releasing.tag()
    place = tmp_path_factory.mktemp("assets")
    with keeping(made.kept):
        made.releasing.ok()
    # The workspace is gone: the assets are those that GitHub got.
    keep(made.releasing.assets, place)
    made.kept["make_assets"] = [
        replace(each, path=place / each.name) for each in made.kept["make_assets"]
    ]
    return made


@pytest.fixture
def world(ready):
    with pretended(ready.releasing, ready.kept) as run:
        _nothing_released(ready.releasing)
        yield SimpleNamespace(run=run, releasing=ready.releasing, revision=ready.revision)


def _nothing_released(releasing):
    releasing.releases.clear()
    releasing.hub.faults.clear()
    releasing.forget_images()


def _by_hand(releasing):
    wish = {"tag_name": "v1.0.0", "draft": True, "body": "by hand"}
    github_of(releasing.environment).write("POST", "releases", wish)


def _is_in_order(world):
    world.releasing.assert_whole()
    assert world.releasing.image("v1.0.0") == world.releasing.image(world.revision)


def _calls(world):
    """How many calls a run makes where nothing is wrong."""
    sent = world.run().process.sent
    _is_in_order(world)
    _nothing_released(world.releasing)
    return len(sent)


def _crash_and_go_on(world, crash):
    assert world.run(crash).answer is None, "it was to be killed"
    for each in world.releasing.releases:
        assert each.draft or len(each.assets) == 4, "nothing half-made is public"
    assert "is released" in world.run().answer
    _is_in_order(world)
    _nothing_released(world.releasing)


def test_a_run_that_is_killed_at_some_call_is_finished_by_the_next(world):
    every = [Crash(n + 1, when) for n in range(_calls(world)) for when in ("before", "after")]
    put = [Crash(1, when, "PutImage") for when in ("before", "after")]
    seed = random.randrange(10**6)  # noqa: S311
    print(f"seed {seed} of {len(every)} crashes")
    for crash in [*random.Random(seed).sample(every, 8), *put]:  # noqa: S311
        _crash_and_go_on(world, crash)


@pytest.mark.proof
def test_a_run_that_is_killed_at_any_call_is_finished_by_the_next(world):
    for number in range(1, _calls(world) + 1):
        for when in ("before", "after"):
            _crash_and_go_on(world, Crash(number, when))


FAULTS = [
    *(
        (kind, method)
        for kind in ("answer lost", "server error after")
        for method in ("POST", "PATCH")
    ),
    *((kind, "GET") for kind in ("down", "server error", "rate limited", "secondary limit")),
    *((kind, "POST") for kind in ("down", "server error", "rate limited", "secondary limit")),
]


@pytest.mark.parametrize(("kind", "method"), FAULTS)
def test_a_bad_day_of_github_changes_nothing_about_the_outcome(world, kind, method):
    world.releasing.hub.faults.add(kind, method=method, path="/repos/")
    world.run()
    assert world.releasing.hub.faults.waiting() == []
    _is_in_order(world)


@pytest.mark.parametrize("kind", ["cut short", "answer lost", "server error after", "server error"])
def test_an_upload_that_fails_is_sent_again_and_not_twice(world, kind):
    world.releasing.hub.faults.add(kind, path="/uploads/", skip=1)
    world.run()
    _is_in_order(world)


def test_a_download_that_is_damaged_is_noticed(world):
    world.run(draft=True)
    world.releasing.releases[0].assets[0].content = b"damaged"
    world.run()
    _is_in_order(world)


def test_a_github_that_takes_no_upload_is_given_up_and_leaves_a_draft(world):
    world.releasing.hub.faults.add("server error", path="/uploads/", times=20)
    with pytest.raises(DeliveryError):
        world.run()
    [left] = world.releasing.releases
    assert left.draft


def test_uploads_that_are_never_answered_are_found_by_looking(world):
    world.releasing.hub.faults.add("answer lost", path="/uploads/", times=20)
    world.run()
    world.releasing.assert_whole()


@pytest.mark.parametrize("lost", ["before", "after"])
def test_an_answer_of_ecr_that_is_lost_is_settled_by_reading(world, lost):
    def hold(process, operation, send):
        if operation != "PutImage" or process.sent.count("PutImage") > 1:
            return send()
        if lost == "after":
            send()
        raise ReadTimeoutError(endpoint_url="ecr")

    if lost == "before":
        with pytest.raises(Unreachable):
            world.run(hold=hold)
        assert world.releasing.releases[0].draft
        world.run()
    else:
        world.run(hold=hold)
    _is_in_order(world)


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_the_sample_application_has_the_same_bytes_when_it_is_built_twice(
    stand, tmp_path, monkeypatch
):
    sample = sample_repository(tmp_path / "sample")
    app = SimpleNamespace(sample=sample, address=str(sample.folder))
    # Its tests are those of `ci`, and take minutes; the builds are real.
    monkeypatch.setattr(FLOW, "install_unless_proven", lambda *_: False)
    monkeypatch.setattr(FLOW, "run_checks", lambda *_: [])
    built = []
    for number in range(2):
        releasing = Releasing(stand, app, tmp_path / f"workshop-{number}")
        if not built:
            digest = releasing.prove(sample.revision)
            releasing.tag()
        _prove_again(releasing, SimpleNamespace(revision=sample.revision, digest=digest))
        releasing.ok()
        built.append(releasing.assets)
    one, other = built
    assert one["kanvaro-v1.0.0.tar.gz"] == other["kanvaro-v1.0.0.tar.gz"]
    assert one["kanvaro-v1.0.0.sha256"] == other["kanvaro-v1.0.0.sha256"]
