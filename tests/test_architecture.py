"""The rules that CONTRIBUTING.md promises, checked."""

import ast
import importlib
import inspect
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from prefect import Flow

ROOT = Path(__file__).parent.parent
PRODUCT = ("flows", "tasks", "blocks", "delivery", "deployments")
MODULES = sorted(path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py"))
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


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.parts[-2] in ("tasks", "flows", "blocks")],
    ids=name_of,
)
def test_aws_clients_are_made_in_one_place(path):
    """Another one would have botocore's own retries, which send a lost call again."""
    if path.name == "clients.py":
        return
    made = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("client", "resource", "get_client", "get_boto3_session")
        and not (isinstance(node.value, ast.Attribute) and node.value.attr == "docker")
    ]
    assert not made


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_program_is_started_through_a_shell(path):
    tree = ast.parse(path.read_text())
    words = [node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)]

    assert "shell" not in words
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr == "system"]


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.parts[-2] in ("tasks", "flows")], ids=name_of
)
def test_a_task_takes_its_settings_from_the_environment_block(path):
    """Only `surroundings` reads os.environ, to decide what programs may see of it."""
    if path.name in ("surroundings.py", "launcher.py", "secret_finder.py", "git.py"):
        return
    assert "os.environ" not in path.read_text()


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
