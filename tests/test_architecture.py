"""The rules that CONTRIBUTING.md promises, checked."""

import ast
import importlib
import inspect
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from prefect import Flow

ROOT = Path(__file__).parent.parent
PRODUCT = ("flows", "tasks", "blocks", "delivery", "deployments")


def modules_of(*packages, root=ROOT):
    """Every module of these top packages, at any depth."""
    return sorted(path for package in packages for path in (root / package).rglob("*.py"))


MODULES = modules_of(*PRODUCT)
FLOWS = [path for path in (ROOT / "flows").glob("*.py") if path.stem != "__init__"]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
README = (ROOT / "README.md").read_text()


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FLOWS, ids=name_of)
def test_a_flow_fits_on_one_screen(path):
    assert len(path.read_text().splitlines()) <= 80


@pytest.mark.parametrize("path", FLOWS, ids=name_of)
def test_a_flow_only_names_steps(path):
    tree = ast.parse(path.read_text())

    forbidden = ast.Try | ast.While | ast.For
    assert not [node for node in ast.walk(tree) if isinstance(node, forbidden)]
    assert "logger" not in path.read_text()


@pytest.mark.parametrize("path", FLOWS, ids=name_of)
def test_a_flow_is_deployed_and_in_the_readme(path):
    assert f"flows/{path.name}:{path.stem}" in [each["entrypoint"] for each in DEPLOYMENTS]
    assert f"`{path.stem.replace('_', '-')}`" in README


@pytest.mark.parametrize(
    "path", [*FLOWS, *(ROOT / "blocks").glob("[!_]*.py")], ids=lambda path: name_of(path)
)
def test_a_file_that_prefect_puts_on_the_path_hides_no_other_module(path):
    """Prefect puts flows/ first on sys.path, so flows/secrets.py would hide `secrets`."""
    others = {
        name
        for name, distributions in packages_distributions().items()
        if "kanvaro-delivery" not in distributions
    }
    assert path.stem not in sys.stdlib_module_names | others


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda each: each["name"])
def test_the_entrypoint_of_a_deployment_can_be_imported(deployment):
    """`prefect deploy` succeeds though the import fails, so we import it ourselves."""
    path, name = deployment["entrypoint"].split(":")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))

    assert isinstance(getattr(module, name), Flow)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_can_be_held_in_the_head(path):
    assert len(path.read_text().splitlines()) <= 330


def folders_of(*packages):
    """The modules of each folder that has any."""
    found = {}
    for path in modules_of(*packages):
        found.setdefault(path.parent, []).append(path)
    return found


FOLDERS = folders_of(*PRODUCT, "sandbox", "tests", "benchmarks")


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folder_can_be_taken_in_at_a_glance(folder):
    assert len(FOLDERS[folder]) <= 20


@pytest.mark.parametrize("path", modules_of("tasks", "delivery", "sandbox"), ids=name_of)
def test_a_package_names_its_front_door(path):
    """Each package of modules says in its docstring where a reader begins."""
    if path.name != "__init__.py" or path.parent.parent == ROOT:
        return
    tree = ast.parse(path.read_text())
    is_the_door = any(isinstance(node, ast.ImportFrom) for node in tree.body)
    named = re.findall(r"`(\w+)`", ast.get_docstring(tree) or "")
    assert is_the_door or [name for name in named if (path.parent / f"{name}.py").exists()]


# What makes a boto3 client, by whatever name: a session's methods, boto3's own, Prefect's.
MAKES_CLIENTS = ("client", "resource", "get_client", "get_boto3_session", "create_client")
MAY_MAKE_CLIENTS = ("blocks/clients.py",)
# They decide what a program may see of the environment, or run outside the pipeline's process.
MAY_READ_THE_ENVIRONMENT = (
    "tasks/platform/docker_program.py",
    "tasks/workspace/program_environment.py",
    "tasks/workspace/container_environment.py",
    "tasks/workspace/git.py",
)


def clients_made_by(path):
    """Where a module makes a boto3 client, or takes the means to do so from boto3."""
    tree = ast.parse(path.read_text())
    called = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in MAKES_CLIENTS
        and not _is_docker(node.value)
    ]
    return called + [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "") in ("boto3", "boto3.session", "botocore.session")
    ]


def _is_docker(node):
    """Whether it is the block of a Docker engine, whose clients have nothing to do with AWS."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "DockerHost"
    return isinstance(node, ast.Attribute) and node.attr == "docker"


def reads_of_the_environment(path):
    """Where a module reads the variables of its process."""
    names = ("environ", "environb", "getenv", "getenvb")
    return [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in names and _is_os(node.value))
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and {each.name for each in node.names} & set(names)
        )
    ]


def _is_os(node):
    return isinstance(node, ast.Name) and node.id == "os"


@pytest.mark.parametrize("path", modules_of("tasks", "flows", "blocks", "delivery"), ids=name_of)
def test_aws_clients_are_made_in_one_place(path):
    """Another one would have botocore's own retries, which send a lost call again."""
    assert name_of(path) in MAY_MAKE_CLIENTS or not clients_made_by(path)


@pytest.mark.parametrize("path", modules_of("tasks", "flows", "blocks", "delivery"), ids=name_of)
def test_a_task_takes_its_settings_from_the_environment_block(path):
    """Only what decides which variables a program gets reads those of the worker."""
    assert name_of(path) in MAY_READ_THE_ENVIRONMENT or not reads_of_the_environment(path)


@pytest.mark.parametrize("name", [*MAY_MAKE_CLIENTS, *MAY_READ_THE_ENVIRONMENT])
def test_an_exception_names_a_module_that_needs_it(name):
    """A module that moved or changed would leave behind a hole that anybody may use."""
    used = clients_made_by if name in MAY_MAKE_CLIENTS else reads_of_the_environment
    assert used(ROOT / name)


# Outside of these, whatever is read may be a stranger's.
MAY_READ_JSON = ("delivery/json_reader.py",)
READS_OUR_OWN_FILES = ("deployments/server", "deployments/demo", "deployments/template_rules.py")


def json_read_by(path):
    """Where a module reads JSON with Python's own reader, which has many kinds of errors."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if (
            isinstance(node, ast.Attribute)
            and (node.attr in ("load", "loads") and ast.unparse(node.value) == "json")
        )
        or (isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".json"))
    ]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_json_is_read_by_the_one_reader_that_bounds_it(path):
    may = name_of(path).startswith((*MAY_READ_JSON, *READS_OUR_OWN_FILES))
    assert may or not json_read_by(path)


PLANTED = [
    (json_read_by, "import json\n\nREAD = json.loads('{}')\n"),
    (json_read_by, "def read(answer):\n    return answer.json()\n"),
    (clients_made_by, "import boto3\n\nboto3.client('s3')\n"),
    (clients_made_by, "from boto3 import client\n"),
    (clients_made_by, "def made(session):\n    return session.client('s3')\n"),
    (reads_of_the_environment, "import os\n\nREGION = os.environ['AWS_REGION']\n"),
    (reads_of_the_environment, "import os\n\nREGION = os.getenv('AWS_REGION')\n"),
    (reads_of_the_environment, "from os import environ\n"),
]


@pytest.mark.parametrize("package", ["tasks", "flows", "blocks", "delivery"])
@pytest.mark.parametrize(("found_by", "source"), PLANTED, ids=range(len(PLANTED)))
def test_a_module_planted_two_levels_deep_is_found(tmp_path, package, found_by, source):
    planted = planted_in(tmp_path / package, source)

    assert modules_of(package, root=tmp_path) == [planted]
    assert found_by(planted)


def planted_in(package, source):
    planted = package / "platform" / "cloud" / "planted.py"
    planted.parent.mkdir(parents=True)
    planted.write_text(source)
    return planted


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_program_is_started_through_a_shell(path):
    tree = ast.parse(path.read_text())
    words = [node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)]

    assert "shell" not in words
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr == "system"]


def test_every_field_of_a_block_explains_itself():
    from blocks import environment, policy, serving

    models = [
        model
        for module in (environment, policy, serving)
        for _, model in inspect.getmembers(module, inspect.isclass)
        if model.__module__ == module.__name__ and hasattr(model, "model_fields")
    ]
    silent = [
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if name in model.__annotations__ and not field.description
    ]
    assert models
    assert not silent
