"""What a release is called, consists of and says, and what is done next about it."""

import json
from itertools import count

import pytest
from markdown_it import MarkdownIt

from delivery.errors import ConfigurationError, RequestRefused
from delivery.release.assets import (
    Asset,
    Build,
    checksums,
    fingerprint,
    names_of,
    provenance,
)
from delivery.release.notes import CommitChange, notes, read_changes
from delivery.release.steps import Do, HeldAsset, HeldRelease, Wanted, next_step
from delivery.release.tag import previous_tag, read_tag, version_remark
from delivery.text import JOINER, as_markdown

TAG = read_tag("v1.2.0")
REVISION = "a" * 40


@pytest.mark.parametrize("name", ["v0.0.0", "v1.4.0", "v2.0.0-rc.1", "v1.0.0-0.a-b.7", "v1.0.0--"])
def test_a_semantic_version_is_a_tag(name):
    assert read_tag(name).name == name


@pytest.mark.parametrize(
    "name",
    [
        *("1.0.0", "v1.0", "v1", "v01.0.0", "v1.0.0-", "v1.0.0-01", "v1.0.0-a..b", "V1.0.0", ""),
        *("v1.0.0\n", "v1.0.0-a/b", "v1.0.0-$(id)", "v1.0.0-é", "--help", "v1.0.0 ", "v1.0.٣"),
        "v1.0.0-" + "a" * 130,
    ],
)
def test_anything_else_is_none(name):
    with pytest.raises(RequestRefused):
        read_tag(name)


def test_build_metadata_is_refused_since_no_image_could_carry_it():
    with pytest.raises(RequestRefused, match="tag of an image"):
        read_tag("v1.0.0+build.5")


def test_tags_have_the_precedence_that_semver_says():
    names = ["alpha", "alpha.1", "alpha.beta", "beta", "beta.2", "beta.11", "rc.1"]
    tags = [*(f"v1.0.0-{name}" for name in names), "v1.0.0", "v1.0.1", "v1.10.0", "v2.0.0"]

    assert [tag.name for tag in sorted(map(read_tag, reversed(tags)))] == tags


def test_the_previous_version_of_a_stable_one_is_stable():
    tags = ["v1.0.0", "v1.1.0", "v1.2.0-rc.1", "v1.2.0", "v2.0.0", "nightly", "v1"]

    assert previous_tag(TAG, tags) == "v1.1.0"
    assert previous_tag(read_tag("v1.2.0-rc.2"), tags) == "v1.2.0-rc.1"
    assert previous_tag(read_tag("v0.1.0"), tags) is None


def test_another_version_in_package_json_is_said():
    assert version_remark(TAG, "1.2.0") == ""
    assert "'1.0.0'" in version_remark(TAG, "1.0.0")
    assert "no version" in version_remark(TAG, None)


@pytest.mark.parametrize("name", ["kanvaro", "team/kanvaro"])
def test_no_asset_has_a_slash_in_its_name(name):
    assert names_of(name, TAG).archive == "kanvaro-v1.2.0.tar.gz"


@pytest.mark.parametrize("name", ["", "team/", "..", "../..", "-rf", "a b", "a\n"])
def test_a_name_that_is_none_of_a_file_is_refused(name):
    with pytest.raises(ConfigurationError):
        names_of(name, TAG)


def assets(tmp_path):
    path = tmp_path / "x"
    path.write_text("x")
    return [Asset("k-v1.2.0.tar.gz", path, "application/gzip", "1" * 64)]


def a_build(**changes):
    return Build(
        **{
            "repository": "git+https://github.com/kanvaro/kanvaro",
            "tag": TAG,
            "revision": REVISION,
            "committed_at": "2026-01-05T09:00:00+00:00",
            "environment": "production",
            "image": ("kanvaro", "sha256:" + "2" * 64),
            "lockfile": ("package-lock.json", "3" * 64),
            "tools": {"node": "v22.0.0"},
            "builder": "https://prefect.example.com",
            "run": "https://prefect.example.com/runs/flow-run/1",
            **changes,
        }
    )


def test_checksums_are_what_sha256sum_reads(tmp_path):
    assert checksums(assets(tmp_path)) == f"{'1' * 64}  k-v1.2.0.tar.gz\n"


def test_provenance_names_assets_image_source_and_builder(tmp_path):
    said = json.loads(provenance(a_build(), assets(tmp_path)))

    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    assert said["subject"] == [
        {"name": "k-v1.2.0.tar.gz", "digest": {"sha256": "1" * 64}},
        {"name": "kanvaro", "digest": {"sha256": "2" * 64}},
    ]
    definition, run = said["predicate"]["buildDefinition"], said["predicate"]["runDetails"]
    assert definition["externalParameters"]["ref"] == "refs/tags/v1.2.0"
    assert definition["resolvedDependencies"][0]["digest"] == {"gitCommit": REVISION}
    assert run["builder"]["id"] == "https://prefect.example.com"
    assert run["metadata"]["invocationId"].endswith("/1")


def test_two_provenances_of_one_build_are_told_apart_only_by_their_run(tmp_path):
    def print_of(build):
        path = tmp_path / "p.intoto.json"
        path.write_text(provenance(build, assets(tmp_path)))
        return fingerprint(path.name, path)

    assert print_of(a_build()) == print_of(a_build(run="https://other/2"))
    assert print_of(a_build()) != print_of(a_build(revision="b" * 40))


HOSTILE = [
    "@everyone look",
    "closes #1, see GH-7",
    "[click](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "<img src=x onerror=alert(1)>",
    "`code` **bold** <!-- kanvaro-delivery -->",
    "www.evil.example and http://evil.example",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_subject_is_text(text):
    shown = as_markdown(text)

    page = MarkdownIt("commonmark").render(shown)
    assert page.count("<") == 2, "nothing but one paragraph"
    for sign in ("://", "www."):
        assert sign not in shown
    for sign in "@#":
        assert shown.count(sign) == shown.count(sign + JOINER)


def test_notes_are_grouped_with_what_breaks_first():
    def commit(number, message, group, **more):
        author = {"name": "Ada @ada"}
        return {"id": f"{number}" * 40, "message": message, "group": group, "author": author} | more

    written = json.dumps(
        [
            {
                "commits": [
                    commit(1, "a mend", "1 Fixes", scope="api"),
                    commit(2, "a thing\n\nbody", "0 Features"),
                    commit(3, "new keys", "0 Features", breaking=True),
                ]
            }
        ]
    )

    text = notes(read_changes(written), "v1.1.0", ["the version differs"])

    order = ["the version differs", "Breaking", "new keys", "Features", "a thing", "Fixes", "api"]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert "body" not in text
    assert f"@{JOINER}ada" in text


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"commits": [{}]}]'])
def test_what_git_cliff_never_writes_is_no_list_of_changes(text):
    with pytest.raises(ConfigurationError, match="git-cliff"):
        read_changes(text)


@pytest.mark.parametrize("is_breaking", [True, False])
@pytest.mark.parametrize("subject", ["x", "*" * 200, "word " * 100])
def test_notes_fit_into_what_github_takes_whatever_strangers_wrote(subject, is_breaking):
    """GitHub refuses a text of more than 125,000 characters, and the release would fail."""
    change = CommitChange("1" * 40, "0 Features", subject, "@" * 200, is_breaking)

    text = notes([change] * 5_000, "v1.1.0", [])

    assert len(text) < 120_000
    assert "more commits." in text


def test_what_breaks_is_left_out_last():
    changes = [CommitChange("1" * 40, "0 Features", f"feature {n}", "Ada") for n in range(400)]
    changes.append(CommitChange("1" * 40, "0 Features", "new keys", "Ada", is_breaking=True))

    text = notes(changes, None, [])

    assert "new keys" in text
    assert "feature 0 " in text
    assert "… and 101 more commits." in text


class GitHub:
    """Releases in memory; `crash` ends a run before or after one of its changes."""

    def __init__(self):
        self.releases, self.numbers = [], count(1)

    def run(self, wanted, *, publish, crash=-1, late=False):
        """Take steps until nothing is to do; whether it came that far."""
        seen = {}
        for number in range(50):
            held = [self.held(release, seen) for release in self.releases]
            step = next_step(held, wanted, publish=publish)
            if step.do is Do.NOTHING:
                return True
            if number == crash and not late:
                return False
            self.carry_out(step, wanted, seen)
            if number == crash:
                return False
        raise AssertionError("it never ends")

    def held(self, release, seen):
        assets = tuple(
            HeldAsset(i, name, whole, seen.get(i)) for i, (name, whole, _) in release["a"].items()
        )
        return HeldRelease(release["id"], "v1.2.0", release["draft"], release["body"], assets)

    def carry_out(self, step, wanted, seen):
        match step.do:
            case Do.CREATE:
                made = {"id": next(self.numbers), "draft": True, "body": wanted.marker, "a": {}}
                self.releases.append(made)
            case Do.DELETE_RELEASE:
                self.releases = [each for each in self.releases if each["id"] != step.id]
            case Do.DELETE_ASSET:
                for each in self.releases:
                    each["a"].pop(step.id, None)
            case Do.UPLOAD:
                whole = (step.name, True, wanted.fingerprints[step.name])
                self.one(step.id)["a"][next(self.numbers)] = whole
            case Do.VERIFY:
                seen[step.id] = next(e["a"][step.id][2] for e in self.releases if step.id in e["a"])
            case Do.PUBLISH:
                assert all(whole for _, whole, _ in self.one(step.id)["a"].values())
                self.one(step.id)["draft"] = False

    def one(self, number):
        return next(each for each in self.releases if each["id"] == number)

    def shown(self):
        return [(e["draft"], sorted((n, f) for n, _, f in e["a"].values())) for e in self.releases]


WANTED = Wanted("v1.2.0", REVISION, {"a.tar.gz": "1", "a.sha256": "2"})
WHOLE = [("a.sha256", "2"), ("a.tar.gz", "1")]


@pytest.mark.parametrize("late", [False, True], ids=["not sent", "answer lost"])
@pytest.mark.parametrize("crash", range(8))
def test_a_run_that_dies_at_any_step_is_finished_by_the_next(crash, late):
    github = GitHub()
    github.run(WANTED, publish=True, crash=crash, late=late)
    # What a lost answer, or an upload that was cut, may leave besides.
    if drafts := [each for each in github.releases if each["draft"]]:
        github.releases.append({"id": 99, "draft": True, "body": WANTED.marker, "a": {}})
        drafts[0]["a"].setdefault(77, ("a.tar.gz", False, ""))

    assert github.run(WANTED, publish=True)
    assert github.shown() == [(False, WHOLE)]


def test_without_publish_it_stays_a_draft_that_is_whole():
    github = GitHub()

    assert github.run(WANTED, publish=False)
    assert github.shown() == [(True, WHOLE)]


def test_a_release_again_changes_nothing():
    github = GitHub()
    github.run(WANTED, publish=True)
    before = repr(github.releases)

    assert github.run(WANTED, publish=True)
    assert repr(github.releases) == before


def test_a_wrong_asset_of_our_draft_is_sent_anew():
    github = GitHub()
    github.run(WANTED, publish=False)
    [draft] = github.releases
    number = next(iter(draft["a"]))
    draft["a"][number] = (draft["a"][number][0], True, "damaged")

    assert github.run(WANTED, publish=True)
    assert github.shown() == [(False, WHOLE)]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda r: r["a"].update({50: ("b", True, "1")}), "other assets: b"),
        (lambda r: r["a"].pop(next(iter(r["a"]))), "other assets: a"),
        (lambda r: r.update(body="by hand"), "did not make"),
        (lambda r: r.update(body=r["body"].replace(REVISION, "b" * 40)), "was moved"),
    ],
)
def test_a_release_of_others_is_refused_and_left_as_it_is(change, sentence):
    github = GitHub()
    github.run(WANTED, publish=True)
    change(github.releases[0])
    before = repr(github.releases)

    with pytest.raises(RequestRefused, match=sentence):
        github.run(WANTED, publish=True)
    assert repr(github.releases) == before


def test_an_asset_that_somebody_put_into_the_draft_stops_the_release():
    github = GitHub()
    github.run(WANTED, publish=False)
    github.releases[0]["a"][50] = ("malware.exe", True, "9")

    with pytest.raises(RequestRefused, match="an asset that this pipeline did not upload"):
        github.run(WANTED, publish=True)
