"""The weekly report, from the ledger to the page of the run and Slack."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.performance import performance
from tasks import ledger
from tasks.ledger import read_releases


@pytest.fixture
def delivered(moves):
    """Two versions that went live a week ago, one after the other."""
    env = moves()
    env.versions = [env.publish(), env.publish()]
    env.serve(*env.versions)
    for hours, each in enumerate(list(read_releases(env.environment))):
        at = datetime.now(UTC) - timedelta(days=7, hours=-hours / 100)
        overwrite(env, replace(each, since=at.isoformat()))
    return env


def overwrite(env, release):
    env.environment.writes("dynamodb").put_item(
        TableName=env.environment.ledger_table,
        Item={
            **ledger.key(env.environment, f"release#{release.number:010d}"),
            "said": {"S": release.text()},
        },
    )


def artifact(env):
    with get_client(sync_client=True) as client:
        key = ArtifactFilterKey(any_=[f"performance-{env.name}"])
        [found] = client.read_artifacts(artifact_filter=ArtifactFilter(key=key))
    return found.data


def test_the_report_is_shown_and_told_and_nothing_is_changed(delivered):
    before = delivered.row(), delivered.route(), delivered.changes()

    state = performance(delivered.name, weeks=4, return_state=True)

    text = state.result()
    assert "deployment frequency: 0.5 a week (2 in 4 weeks)" in text
    assert "change failure rate: 0% (0 of 2)" in text
    assert "| deployment frequency | 0.5 a week" in artifact(delivered)
    said = json.dumps(delivered.said(state.state_details.flow_run_id), default=str)
    assert "how we delivered in the last 4 weeks" in said
    assert (delivered.row(), delivered.route(), delivered.changes()) == before
