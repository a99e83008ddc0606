"""Registering: schedules of environments that the server does not know are paused, no others."""

from datetime import timedelta

import pytest
import yaml
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule
from pydantic import SecretStr

from blocks.environment import Environment
from blocks.github_app import GitHubApp
from blocks.serving import AppRunnerService
from deployments.register import environments_of, pause_without_environment
from tests.databases import throwaway_server


@flow
def tidy(environment="production"):
    """Stands for any flow that a schedule starts."""


@pytest.fixture
def server():
    """A server with deployments of two environments, of which it knows none as yet."""
    with throwaway_server(), get_client(sync_client=True) as client:
        made = client.create_flow(tidy)
        for name, parameters, has_schedule in (
            ("production", {"environment": "production"}, True),
            ("staging", {"environment": "staging"}, True),
            ("by-hand", {"environment": "staging"}, False),
        ):
            hourly = IntervalSchedule(interval=timedelta(hours=1))
            schedules = [DeploymentScheduleCreate(schedule=hourly)] if has_schedule else []
            client.create_deployment(made, name=name, parameters=parameters, schedules=schedules)
        yield client


def paused(client):
    return {each.name for each in client.read_deployments() if each.paused}


def know(name):
    Environment(
        name=name,
        repository="none",
        strategy="in-place",
        service=AppRunnerService(access_role_arn="arn:aws:iam::1:role/ecr"),
    ).save(name, overwrite=True)


def described(settings):
    return environments_of(yaml.safe_dump({"production": settings}), {})["production"]


def test_what_was_filled_in_by_hand_stays_unless_the_file_says_otherwise(server):
    know("production")
    app = GitHubApp(app_id="7", installation=9, private_key=SecretStr("a key"))
    filled_in = Environment.load("production")
    filled_in.github_app = app
    filled_in.save("production", overwrite=True)
    written = {
        "repository": "another",
        "strategy": "in-place",
        "service": {"access_role_arn": "arn:aws:iam::1:role/ecr"},
    }

    kept = described(written)
    assert kept.repository == "another"
    assert kept.github_app.app_id == "7"
    assert kept.github_app.private_key.get_secret_value() == "a key"

    other = {"app_id": "8", "installation": 9, "private_key": "another key"}
    assert described({**written, "github_app": other}).github_app.app_id == "8"


def test_only_schedules_of_unknown_environments_are_paused_and_none_is_resumed(server):
    assert pause_without_environment() == []
    assert paused(server) == set(), "a server without any environment is left alone"

    know("production")
    assert pause_without_environment() == [("tidy/staging", "staging")]
    assert paused(server) == {"staging"}

    know("staging")
    assert pause_without_environment() == []
    assert paused(server) == {"staging"}, "somebody may have paused it on purpose"
