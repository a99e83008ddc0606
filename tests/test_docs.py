"""What the documents name is there: paths, links, commands, the map's answers and the rooms."""

import ast
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = ("flows", "tasks", "blocks", "delivery", "deployments", "sandbox")
FOLDERS = (*PACKAGES, "tests", "benchmarks", "docs")
NOT_IN_THIS_REPOSITORY = {
    "delivery.toml",  # is in an application's
    *("workspaces/", "verdicts/"),  # begin the keys of the handover bucket
    "deployments/compose/secrets/api_auth",  # is made by deployments.server.compose_secrets
}

PATH = re.compile(rf"(?<![\w./~<-])(?:{'|'.join(FOLDERS)})/[\w./*<>-]*")
FILE = re.compile(r"(?<![\w./*<>-])[\w-]+\.(?:py|md|toml|ya?ml)\b(?![/-])")
FOLDER = re.compile(r"`([\w-]+/)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
NAMES = r"`[^`]+`(?:, `[^`]+`)*"
ANSWER = re.compile(rf"`([^`]+)`(?: \(({NAMES})\))?")
FILE_THEN_NAMES = re.compile(rf"`([\w/.-]+\.\w+)` \(({NAMES})\)")
NAME_THEN_FILE = re.compile(r"`(\w[\w.]*)(?:\(\))?` (?:in |\()`([\w/.-]+/[\w.-]+\.\w+)`")


def name_of(path):
    return str(path.relative_to(ROOT))


def section(text, title):
    """The part of a document under a heading of the second level."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def table(text):
    """The rows of a table, without its head, as lists of cells."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


MAP = table(section(ARCHITECTURE, "Where to look"))
ROOMS = {room.strip("`") for room, _ in table(section(ARCHITECTURE, "Rooms"))}
CONTRACTS = {
    contract["containers"][0]: contract["layers"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    if "containers" in contract
}
FILE_NAMES = {
    path.name
    for path in [*ROOT.iterdir(), *(each for top in FOLDERS for each in (ROOT / top).rglob("*.*"))]
}


def missing_paths(text):
    """The paths and names of files of this repository that a text has, and the repository not."""
    paths = {each.rstrip(".") for each in PATH.findall(text) if "<" not in each}
    named = {*paths, *FOLDER.findall(text)} - NOT_IN_THIS_REPOSITORY
    files = {*FILE.findall(text)} - NOT_IN_THIS_REPOSITORY - FILE_NAMES
    return sorted(files | {each for each in named if not any(ROOT.glob(each.rstrip("/")))})


def missing_links(text, folder):
    """The targets of a text's links, seen from a folder, that are not there."""
    return [
        f"{path}#{anchor}"
        for path, anchor in LINK.findall(text)
        if not (target := folder / path).exists()
        or (anchor and path and anchor not in anchors_in(target.read_text()))
        or (anchor and not path and anchor not in anchors_in(text))
    ]


def anchors_in(text):
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}


def missing_commands(text):
    """The modules, apps and imports that a text's commands name and that cannot be found."""
    modules = re.findall(r"python3? -m ([\w.]+)", text)
    apps = re.findall(r"uvicorn\s+(?:--\S+\s+)*([\w.]+):(\w+)", text)
    imports = [
        (module, name)
        for module, names in re.findall(r"from (\w+\.[\w.]+) import ([\w, ]+)", text)
        for name in names.split(", ")
    ]
    return [module for module in modules if not file_of(module)] + [
        f"{module}:{name}"
        for module, name in (*apps, *imports)
        if not (file := file_of(module)) or name not in names_in(file)
    ]


def file_of(module):
    """The file of a module, or None where there is none."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(found.origin) if found and found.origin else None


def missing_names(text):
    """The names that a text gives to a file, `file` (`name`, `name`) or `name` in `file`."""
    text = " ".join(text.split())
    given = [
        (file, name) for file, names in FILE_THEN_NAMES.findall(text) for name in listed(names)
    ]
    given += [(file, name) for name, file in NAME_THEN_FILE.findall(text)]
    return [f"{name} in {file}" for file, name in given if not is_in(name, file)]


def listed(names):
    return re.findall(r"`([^`]+)`", names)


def is_in(name, file):
    """Whether a file defines a name, or (if it is not Python) has that word."""
    path = ROOT / file
    if file in NOT_IN_THIS_REPOSITORY or not path.is_file():
        return file in NOT_IN_THIS_REPOSITORY
    if path.suffix == ".py":
        return any(known == name or known.endswith(f".{name}") for known in names_in(path))
    return bool(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", path.read_text()))


def names_in(file):
    """What a module defines: functions, classes, constants; of classes, `Class.member`."""
    body = ast.parse(file.read_text()).body
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    return {
        *defined_by(body),
        *(f"{each.name}.{name}" for each in classes for name in defined_by(each.body)),
    }


def defined_by(body):
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (each for target in targets for each in ast.walk(target))
            yield from (each.id for each in names if isinstance(each, ast.Name))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_what_a_document_names_is_there(document):
    text = document.read_text()

    assert not missing_paths(text)
    assert not missing_links(text, document.parent)
    assert not missing_names(text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_what_a_document_says_to_run_can_be_found(document):
    assert not missing_commands(document.read_text())


@pytest.mark.parametrize("row", MAP, ids=lambda row: row[0])
def test_an_answer_of_the_map_names_files_and_what_is_in_them(row):
    _, answer = row
    answers = ANSWER.findall(answer)

    assert answers
    assert "`" not in ANSWER.sub("", answer)
    assert not [file for file, _ in answers if not (ROOT / file).is_file()]
    assert not missing_names(answer)


def test_the_map_answers_what_people_ask():
    """The twelve questions by which it was first tried, and as many again."""
    assert len(MAP) >= 24


def test_every_room_is_listed():
    packages = [path.parent for top in PACKAGES for path in (ROOT / top).rglob("__init__.py")]

    assert {f"{name_of(each)}/" for each in packages} <= ROOMS


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
@pytest.mark.parametrize("room", CONTRACTS)
def test_the_order_of_rooms_is_that_of_the_contracts(document, room):
    text = " ".join((ROOT / document).read_text().split())

    assert f"{room} {' ─▶ '.join(CONTRACTS[room])}" in text


@pytest.mark.parametrize(
    "text",
    [
        "see `tasks/run/no_such.py`",
        "see deployments/no_such.yaml.",
        "the folder `tasks/no_such/`, the room `no_such/`",
        "`no_such.py` does it",
        "files of `deployments/github/*.no_such`",
    ],
)
def test_a_path_that_is_not_there_is_found(text):
    assert missing_paths(text)


@pytest.mark.parametrize(
    "target", ["no_such.md", "../no_such/", "operations.md#no-such", "#no-such"]
)
def test_a_link_that_leads_nowhere_is_found(target):
    assert missing_links(f"## Such\n\n[there]({target})", ROOT / "docs")


@pytest.mark.parametrize(
    "text",
    [
        "`python -m deployments.no_such`",
        "`python -m no_such.module`",
        "uvicorn --factory deployments.webhooks.github_webhook:no_such --host",
        "uvicorn deployments.no_such:app",
        "python -c 'from delivery.text import escaped, no_such'",
    ],
)
def test_a_command_that_cannot_be_found_is_found(text):
    assert missing_commands(text)


@pytest.mark.parametrize(
    "text",
    [
        "`tasks/run/lock.py` (`DeployLock`, `no_such`)",
        "`blocks/policy.py` (`Policy.no_such`)",
        "`no_such` in `tasks/run/lock.py`",
        "`no_such()` (`tasks/run/lock.py`)",
        "`deployments/aws/route.js` (`no_such`)",
    ],
)
def test_a_name_that_a_file_does_not_have_is_found(text):
    assert missing_names(text)
