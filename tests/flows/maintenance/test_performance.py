"""The weekly report, from the ledger to the page of the run and Slack."""

import json
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.performance import performance
from tasks.run import ledger
from tasks.run.ledger import read_releases

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"


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
    env.environment.sending_once("dynamodb").put_item(
        TableName=env.environment.ledger_table,
        Item={
            **ledger.key(env.environment, f"release#{release.number:010d}"),
            "said": {"S": release.text()},
        },
    )


def artifact(env, kind="performance"):
    with get_client(sync_client=True) as client:
        key = ArtifactFilterKey(any_=[f"{kind}-{env.name}"])
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


def test_the_plot_is_a_picture_of_the_weeks_that_fetches_nothing(delivered):
    performance(delivered.name, weeks=4)

    kind, _, content = artifact(delivered, "performance-plot").partition(";base64,")
    assert kind == "data:image/svg+xml"
    svg = ElementTree.fromstring(b64decode(content, validate=True))  # noqa: S314 - our own
    texts = {"".join(each.itertext()) for each in svg.iter(f"{SVG}text")}
    assert texts >= {"versions delivered", "taken back", *mondays(4)}
    bars = [float(each.get("height")) for each in svg.iter(f"{SVG}rect") if "rect" in classes(each)]
    assert [each for each in bars if each > 0] == [max(bars)]  # that of the two versions
    assert not [each for each in svg.iter() if each.get("src") or each.get(f"{XLINK}href")]


def classes(element):
    return element.get("class", "").split()


def mondays(weeks):
    today = datetime.now(UTC).date()
    this = today - timedelta(days=today.weekday())
    return {f"{this - timedelta(weeks=n):%m-%d}" for n in range(1, weeks + 1)}
