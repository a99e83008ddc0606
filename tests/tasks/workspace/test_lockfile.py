"""What a lockfile says, whichever package manager wrote it, and whatever else stands in it.

The files in lockfiles/ were written by the package managers themselves, for the same two folders:
apps/web needs lib, and the root is for development only.
"""

import json
import random
from pathlib import Path

import pytest

from delivery.checks.advisories import asked_about
from delivery.errors import RequestRefused
from delivery.workspace.lockfiles.locked import ALWAYS, RUNNING
from delivery.workspace.package_json import read_package
from tasks.workspace.lockfile import read_lockfile
from tasks.workspace.yaml_reader import read_yaml

ROOT = Path(__file__).parents[3]
WRITTEN = Path(__file__).with_name("lockfiles")
NAMES = {"npm": "package-lock.json", "pnp": "pnpm-lock.yaml", "yar": "yarn.lock"}
LOCKS = sorted(path.name for path in WRITTEN.iterdir())
WEB = {
    "name": "web",
    "version": "1.0.0",
    "dependencies": {
        "lib": "1.0.0",
        "is-odd": "3.0.1",
        "old-minimist": "npm:minimist@0.0.8",
        "use-sync-external-store": "1.2.0",
        "@free/name": "npm:@types/node@20.0.0",
    },
    "devDependencies": {"react": "18.2.0", "mkdirp": "0.5.1"},
    "optionalDependencies": {"isexe": "2.0.0"},
}
LIB = {
    "name": "lib",
    "version": "1.0.0",
    "dependencies": {"left-pad": "1.3.0"},
    "devDependencies": {"ms": "2.0.0"},
}
API = {"name": "api", "version": "1.0.0", "dependencies": {"debug": "4.3.4"}}
TOP = {"name": "root", "devDependencies": {"ms": "2.1.3"}}
FOLDERS = {".": TOP, "apps/web": WEB, "apps/api": API, "lib": LIB}
# Those that web needs, in any lockfile; of `use-sync-external-store` React is a peer.
RUNNING_WEB = {
    *("@types/node@20.0.0", "is-number@6.0.0", "is-odd@3.0.1", "isexe@2.0.0"),
    *("left-pad@1.3.0", "lib@1.0.0", "minimist@0.0.8", "use-sync-external-store@1.2.0"),
}
PEERS = {"react@18.2.0", "loose-envify@1.4.0", "js-tokens@4.0.0"}
# What the npm of version 1 locked, without workspaces.
FLAT = {
    "name": "web",
    "dependencies": {"debug": "4.3.4", "is-odd": "3.0.1", "old-minimist": "npm:minimist@0.0.8"},
    "devDependencies": {"mkdirp": "0.5.1", "ms": "2.0.0"},
    "optionalDependencies": {"isexe": "2.0.0"},
}


def manifests(folders):
    return {folder: read_package(json.dumps(each)) for folder, each in folders.items()}


def read(name, folders=FOLDERS):
    return read_lockfile(NAMES[name[:3]], (WRITTEN / name).read_text(), manifests(folders))


def shown(packages):
    return {f"{each.name}@{each.version}" for each in packages.values()}


@pytest.mark.parametrize("name", [each for each in LOCKS if each != "npm-1.json"])
def test_what_an_application_runs_with_is_the_same_whoever_locked_it(name):
    locked = read(name)
    web = locked.of("apps/web")

    # npm and pnpm install peers, and so does a production install; Yarn leaves them to the parent.
    expected = RUNNING_WEB if name.startswith("yarn") else RUNNING_WEB | PEERS
    assert shown(locked.reached(web, RUNNING)) == expected
    assert shown(locked.reached(web, ALWAYS)) == expected - {"isexe@2.0.0"}
    assert shown(locked.reached(locked.of("apps/api"), RUNNING)) == {"debug@4.3.4", "ms@2.1.2"}
    assert locked.reached(locked.of("."), RUNNING) == {}
    assert locked.missing == ()


def test_version_1_of_npm_s_lockfile_is_read_with_the_root_s_package_json():
    locked = read("npm-1.json", {".": FLAT})

    running = shown(locked.reached(locked.of("."), RUNNING))
    assert running == {
        *("debug@4.3.4", "ms@2.1.2", "is-odd@3.0.1", "is-number@6.0.0"),
        *("minimist@0.0.8", "isexe@2.0.0"),
    }


@pytest.mark.parametrize("name", LOCKS)
def test_all_that_is_locked_is_asked_about_by_its_real_name(name):
    """What is for development, too: it runs in the checks. No package.json is needed for that."""
    asked, unknown = asked_about(read(name, {}))

    assert unknown == 0
    assert asked["minimist"] == ["0.0.8"]
    assert "old-minimist" not in asked
    assert "2.0.0" in asked["ms"]
    assert not {"web", "lib", "api", "root", "@free/name"} & set(asked)


def test_npm_s_own_marks_agree_with_the_walk():
    """npm marks each package of a lockfile that is for development only."""
    text = (ROOT / "sandbox/app/package-lock.json").read_text()
    marked = json.loads(text)["packages"]

    locked = read_lockfile("package-lock.json", text)

    expected = {path for path, entry in marked.items() if path and not entry.get("dev")}
    assert set(locked.reached(locked.of("."), RUNNING)) == expected
    assert len(expected) > 80


def test_a_peer_that_a_folder_has_for_development_is_for_that_only():
    """As npm marks it: a library names React as its peer, and develops with a React of its own."""
    library = {"peerDependencies": {"react": "*"}, "devDependencies": {"react": "18.2.0"}}
    entries = {"": library, "node_modules/react": {"version": "18.2.0", "dev": True}}

    locked = read_lockfile(
        "package-lock.json", json.dumps({"lockfileVersion": 3, "packages": entries})
    )

    assert locked.reached(locked.of("."), RUNNING) == {}


PNPM = """lockfileVersion: '9.0'
importers:
  .:
    dependencies:
      tarball: {specifier: file:a.tgz, version: file:a.tgz}
      folder: {specifier: 'file:b', version: file:b}
      linked: {specifier: 'link:../c', version: link:../c}
      fetched: {specifier: 'git', version: https://git.example.com/o/r/tar.gz/abc}
packages:
  tarball@file:a.tgz: {resolution: {integrity: sha1-x, tarball: file:a.tgz}, version: 2.0.0}
  folder@file:b: {resolution: {directory: b, type: directory}}
  fetched@https://git.example.com/o/r/tar.gz/abc:
    resolution: {tarball: https://git.example.com/o/r/tar.gz/abc}
    version: 1.0.0
  '@s/x@1.0.0': {resolution: {integrity: sha1-x}}
snapshots:
  tarball@file:a.tgz: {dependencies: {'@s/x': 1.0.0(tarball@2.0.0)}}
  folder@file:b: {}
  fetched@https://git.example.com/o/r/tar.gz/abc: {}
  '@s/x@1.0.0(tarball@2.0.0)': {}
"""


def test_what_comes_from_elsewhere_than_a_registry_is_known_by_its_name():
    locked = read_lockfile("pnpm-lock.yaml", PNPM)

    running = locked.reached(locked.of("."), RUNNING)
    assert shown(running) == {"tarball@2.0.0", "folder@", "linked@", "fetched@1.0.0", "@s/x@1.0.0"}
    assert {each.name for each in running.values() if each.is_local} == {"folder", "linked"}
    assert locked.missing == ()


def test_a_document_about_pnpm_itself_is_not_taken_for_the_packages():
    """As pnpm 11 and 12 write it; what pnpm uses is asked about, and is no part of the SBOM."""
    own = (
        "---\nlockfileVersion: '9.0'\nimporters:\n  .:\n    configDependencies:\n"
        "      hooks: {specifier: 3.0.1, version: 3.0.1}\n"
        "packages:\n  hooks@3.0.1: {resolution: {integrity: sha512-x}}\n---\n"
    )

    locked = read_lockfile("pnpm-lock.yaml", own + PNPM)

    asked = asked_about(locked)[0]
    assert (asked["@s/x"], asked["hooks"]) == (["1.0.0"], ["3.0.1"])
    assert "hooks@3.0.1" not in shown(locked.reached(locked.of("."), RUNNING))


def test_a_folder_that_pnpm_copies_has_no_version_of_its_own():
    text = (
        "lockfileVersion: '6.0'\nimporters:\n  .:\n    dependencies:\n"
        "      lib: {specifier: 'workspace:^', version: file:libs/lib(react@18.2.0)}\n"
        "packages:\n  file:libs/lib(react@18.2.0):\n"
        "    resolution: {directory: libs/lib, type: directory}\n    name: lib\n"
    )

    locked = read_lockfile("pnpm-lock.yaml", text)

    assert shown(locked.reached(locked.of("."), RUNNING)) == {"lib@"}


@pytest.mark.parametrize("version", [5.4, 5.3])
def test_peers_and_scopes_of_pnpm_s_older_keys(version):
    text = (
        f"lockfileVersion: {version}\n"
        "dependencies:\n  '@s/x': 1.0.0_react@17.0.2\n  m: registry.example.com/m/2.0.0\n"
        "packages:\n  /@s/x/1.0.0_react@17.0.2: {resolution: {integrity: sha1-x}}\n"
        "  registry.example.com/m/2.0.0: {resolution: {integrity: sha1-x}}\n"
    )

    asked, unknown = asked_about(read_lockfile("pnpm-lock.yaml", text))

    assert (asked, unknown) == ({"@s/x": ["1.0.0"], "m": ["2.0.0"]}, 0)


def test_yarn_s_resolutions_stand_in_for_the_range_that_was_asked_for():
    text = (
        '# yarn lockfile v1\n\nmkdirp@0.5.1:\n  version "0.5.1"\n  resolved "x"\n'
        '  dependencies:\n    minimist "0.0.8"\n\nminimist@1.2.8:\n  version "1.2.8"\n'
        '  resolved "x"\n'
    )
    package = {"name": "a", "dependencies": {"mkdirp": "0.5.1"}}

    locked = read_lockfile("yarn.lock", text, manifests({".": package}))

    assert shown(locked.reached(locked.of("."), RUNNING)) == {"mkdirp@0.5.1", "minimist@1.2.8"}


BERRY = """__metadata:
  version: 10

"ms@file:./ms.tgz::locator=a%40workspace%3A.":
  version: 2.0.0
  resolution: "ms@file:./ms.tgz#./ms.tgz::hash=4e9a7a&locator=a%40workspace%3A."
  linkType: hard

"own@portal:./own::locator=a%40workspace%3A.":
  version: 0.0.0-use.local
  resolution: "own@portal:./own::locator=a%40workspace%3A."
  linkType: soft

"sly@npm:1.0.0":
  version: 1.0.0
  resolution: "sly@npm:1.0.0"
  linkType: soft
"""


def test_a_published_package_is_asked_about_however_it_came_there():
    """Nor is one left out because the lockfile calls it a link."""
    assert asked_about(read_lockfile("yarn.lock", BERRY))[0] == {"ms": ["2.0.0"], "sly": ["1.0.0"]}


def test_what_is_needed_and_not_locked_is_named():
    lock = {"lockfileVersion": 3, "packages": {"": {"name": "a", "dependencies": {"gone": "1"}}}}

    locked = read_lockfile("package-lock.json", json.dumps(lock))

    assert locked.missing == ("gone of a",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pnpm-lock.yaml", "lockfileVersion: '12.0'\nimporters: {}\n"),
        ("package-lock.json", '{"lockfileVersion": 4, "packages": {"": {}}}'),
    ],
)
def test_a_format_to_come_is_refused_rather_than_read_as_empty(name, text):
    with pytest.raises(RequestRefused, match="is of version"):
        read_lockfile(name, text)


def test_a_package_without_an_address_is_asked_about():
    """Nobody can take a package out of the audit by taking its address out of the lockfile."""
    text = '# yarn lockfile v1\n\nms@2.0.0:\n  version "2.0.0"\n'

    assert asked_about(read_lockfile("yarn.lock", text))[0] == {"ms": ["2.0.0"]}


def test_a_folder_that_is_not_covered_is_refused():
    with pytest.raises(RequestRefused, match="does not cover the folder 'tools/x'"):
        read("pnpm-9.0.yaml").of("tools/x")


HOSTILE = {
    "nothing": "",
    "a list": "[]",
    "a text": '"x"',
    "a number": "7",
    "nested lists": "[" * 100_000,
    "nested mappings": "a: " + "{a: " * 50_000,
    "nested by indents": "\n".join(" " * i + "a:" for i in range(2_000)),
    "an alias": "a: &a [b]\nc: *a\n",
    "merges": "lockfileVersion: 9\n<<: {<<: {}}\n",
    "a merge": "{\n<<<<<<< HEAD\n}",
    "no text": "\0\ud800\ufffe",
    "half a line of yarn": "# yarn lockfile v1\n\nms@2.0.0:\n  version\n",
    "what no value is": "# yarn lockfile v1\n\n  version 1\n",
    "a million patterns": ",".join(["a@1"] * 300_000) + ":\n",
    "digits": '{"lockfileVersion": ' + "9" * 5_000 + "}",
    "a version to come": "lockfileVersion: '12.0'\nimporters:\n  .: {}\n",
    "deep folders": json.dumps({"packages": {"node_modules/a/" * 5_000: {}}}),
}


@pytest.mark.parametrize("name", ["package-lock.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_lockfile_is_refused_or_read_and_never_a_crash(name, text):
    outcome = read_or_refused(name, text)

    if isinstance(outcome, RequestRefused):
        assert outcome.hint
        assert len(str(outcome)) < 500
    else:
        assert len(outcome.packages) < 10


def read_or_refused(name, text):
    try:
        return read_lockfile(name, text, manifests(FOLDERS))
    except RequestRefused as refused:
        return refused


@pytest.mark.parametrize("name", LOCKS)
def test_a_lockfile_whose_values_were_exchanged_is_no_crash(name):
    """Any value may be of any kind: each run replaces some of them."""
    chosen = random.Random(20261130)  # noqa: S311
    text = (WRITTEN / name).read_text()
    values = ("7", "[]", "{}", '""', "null", "[x]", '"../../x"')
    for _ in range(60):
        lines = text.split("\n")
        for place in chosen.sample(range(len(lines)), 3):
            head, colon, value = lines[place].partition(": ")
            end = "," if value.endswith(",") else ""
            lines[place] = f"{head}{colon}{chosen.choice(values)}{end}"
        locked = read_or_refused(NAMES[name[:3]], "\n".join(lines))
        if isinstance(locked, RequestRefused):
            continue
        for folder in locked.folders:
            locked.reached(locked.of(folder), RUNNING)
        asked_about(locked)


def test_packages_that_need_each_other_are_walked_once():
    entries = {f"node_modules/p{n}": {"version": "1.0.0", "dependencies":
               {f"p{m}": "1" for m in range(300)}} for n in range(300)}  # fmt: skip
    lock = {"lockfileVersion": 3, "packages": {"": {"dependencies": {"p0": "1"}}, **entries}}

    locked = read_lockfile("package-lock.json", json.dumps(lock))

    assert len(locked.reached(locked.of("."), RUNNING)) == 300


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [x, {y: no}]\n", [{"a": "1", "b": ["x", {"y": "no"}]}]),
        ("a: 1\n---\n- 0x10\n", [{"a": "1"}, ["0x10"]]),
        ("? a\n: b\n", [{"a": "b"}]),
        ("", []),
    ],
)
def test_every_scalar_of_yaml_is_text(text, said):
    assert read_yaml(text) == said
