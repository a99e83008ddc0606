"""prefect.yaml, read as strictly as Prefect does not: it ignores misspelt keys silently."""

import importlib
from pathlib import Path

import pytest
import yaml
from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel

ROOT = Path(__file__).parent.parent
WRITTEN = yaml.safe_load((ROOT / "prefect.yaml").read_text())


def test_every_top_level_key_is_one_that_prefect_knows():
    assert WRITTEN.keys() <= {*PrefectYamlModel.model_fields, "definitions"}


@pytest.mark.parametrize("deployment", WRITTEN["deployments"], ids=lambda each: each["name"])
def test_every_key_of_a_deployment_is_one_that_prefect_knows(deployment):
    assert deployment.keys() <= DeploymentConfig.model_fields.keys()


@pytest.mark.parametrize("deployment", WRITTEN["deployments"], ids=lambda each: each["name"])
def test_a_deployment_says_what_it_does_and_gives_only_parameters_of_its_flow(deployment):
    path, name = deployment["entrypoint"].split(":")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    known = getattr(module, name).parameters.properties

    assert deployment["description"]
    assert deployment.get("parameters", {}).keys() <= known.keys()
    assert all(known[parameter].get("description") for parameter in known)
