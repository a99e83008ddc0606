"""A rollback started as a person does: in Prefect's own UI, by Debian's own browser.

With KANVARO_SCREENSHOTS=FOLDER (`make screenshots`) it also keeps pictures of what a person sees.
"""

import os
import re
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.events import Event
from prefect.states import Completed, Running

from delivery.errors import TimedOut
from deployments import by_hand
from deployments.register import register
from deployments.server import automations
from deployments.server.processes import prefect_server, prefect_worker, using
from sandbox.host.machine import ensure
from tasks.run.summary import SUMMARY
from tests.databases import migrated_database
from tests.flows.conftest import Application
from tests.flows.deploy.moves import Moves, until
from tests.flows.stand import Stand

# A server that has just started draws its first page slowly; and a run takes its time.
SOON_MS, RUN_MS = 60_000, 120_000
TRIES = 5
# The least that Prefect takes.
SILENT = timedelta(seconds=10)
WINDOW = {"width": 1280, "height": 900}
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


class Person:
    """Somebody at a browser, and what they look at."""

    def __init__(self, page, address):
        self.page, self.address = page, address
        page.set_default_timeout(SOON_MS)

    def logs_in(self, password):
        """Type the line of the password file into the form that comes before every page."""
        field = self.page.get_by_placeholder("admin:pass")
        self._goes_to("/login", field)
        field.fill(password)
        self.page.get_by_role("button", name="Login").click()
        expect(field).to_have_count(0, timeout=SOON_MS)

    def opens(self, path, text):
        """Open a page and see `text` on it."""
        self._goes_to(path, self.page.get_by_text(text).first)

    def _goes_to(self, path, shown):
        """Open a page until it shows what it should.

        Prefect's UI asks once for its scripts and its data: a server that was busy then leaves a
        page empty.
        """
        for _ in range(TRIES):
            self.page.goto(f"{self.address}/v2{path}")
            with suppress(AssertionError):
                return expect(shown).to_be_visible(timeout=SOON_MS / 2)
        body = self.page.inner_text("body")
        raise AssertionError(f"{path} shows no {shown}, but:\n{body}")

    def sees(self, text, timeout=SOON_MS):
        expect(self.page.get_by_text(text).first).to_be_visible(timeout=timeout)

    def fills_in(self, field, text):
        self.page.get_by_label(field).first.fill(text)

    def submits(self):
        self.page.get_by_role("button", name="Submit").click()

    def submits_until(self, look):
        """Click once more where a click was lost; what `look` sees in the end."""
        for _ in range(TRIES):
            self.submits()
            with suppress(TimedOut):
                return until(look, "what the form starts", timeout=20)
        raise AssertionError(self.page.inner_text("body"))

    def keeps_a_picture(self, name):
        if folder := os.environ.get("KANVARO_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png")


@contextmanager
def person_at(server):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=ensure("chromium"), args=FLAGS)
        person = Person(browser.new_page(viewport=WINDOW), server.address)
        person.logs_in(server.password_file.read_text().strip())
        yield person
        browser.close()


@pytest.fixture(scope="module")
def production(tmp_path_factory):
    """An environment named `production` on a server of its own; its second version is live."""
    folder = tmp_path_factory.mktemp("ui")
    patch = pytest.MonkeyPatch()
    patch.setattr(automations, "SILENT", SILENT)
    migrated_database(folder / "prefect")
    with Stand() as stand, prefect_server(folder) as server, using(server):
        env = Moves(stand, Application(folder / "app"), folder / "workshop")
        env.change(name="production", ui_address=server.address)
        env.versions = [env.publish(), env.publish()]
        env.serve(*env.versions)
        env.server = server
        register({env.name: env.environment}, say=lambda _: None)
        with prefect_worker(folder, server):
            yield env
    patch.undo()


def deployment(name):
    with get_client(sync_client=True) as client:
        return client.read_deployment_by_name(name)


def runs_of(one):
    with get_client(sync_client=True) as client:
        return [run for run in client.read_flow_runs() if run.deployment_id == one.id]


def summary_of(run):
    with get_client(sync_client=True) as client:
        mine = ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]),
            key=ArtifactFilterKey(any_=[SUMMARY]),
        )
        [found] = client.read_artifacts(artifact_filter=mine)
        return found.id


def test_a_rollback_is_started_in_the_form_which_refuses_what_is_wrong(production):
    asked = deployment("rollback/production")
    form = f"/deployments/deployment/{asked.id}/run"
    first, second = production.versions
    assert production.live() == second
    with person_at(production.server) as person:
        person.opens("/deployments", "rotate-secrets")
        person.keeps_a_picture("deployments")

        person.opens(form, "Why, for the ledger and Slack: 3 to 300 characters.")
        person.fills_in("reason", "ok")
        person.fills_in("target_version", "HEAD~1")
        person.submits()
        person.sees("'ok' is too short")
        person.sees(re.compile("'HEAD~1' does not match"))
        person.keeps_a_picture("form")
        assert runs_of(asked) == [], "what is refused in the form makes no run"

        # Anew: a refusal moves the button as it goes, and a click may miss it.
        person.opens(form, "Why, for the ledger and Slack: 3 to 300 characters.")
        person.fills_in("reason", "the cart is empty")
        person.fills_in("target_version", "previous")
        [run] = person.submits_until(lambda: runs_of(asked))
        person.opens(f"/runs/flow-run/{run.id}", "Task Runs")
        person.sees("Completed", timeout=RUN_MS)
        person.page.get_by_role("tab", name="Task Runs").click()
        person.sees(re.compile("^conclude: "))
        person.keeps_a_picture("steps")

        person.page.get_by_role("tab", name="Artifacts").click()
        person.sees(re.compile(f"is back on {first[:10]}"))
        person.opens(f"/artifacts/artifact/{summary_of(run)}", "asked by")
        person.keeps_a_picture("artifact")
    assert production.live() == first


def test_a_rollback_by_the_command_shows_its_steps_how_it_ended_and_what_serves(production, capsys):
    first, second = production.versions
    wanted = second if production.live() == first else first

    code = by_hand.main("rollback", {"REASON": "errors since 03:00", "TO": wanted, "BY": "ada"})

    told = capsys.readouterr().out
    assert code == 0
    assert f"{production.server.address}/runs/flow-run/" in told
    assert re.search(r"✓ +[0-9.]+ s  conclude", told)
    assert f"is back on {wanted[:10]}" in told
    assert "ada: errors since 03:00" in told
    assert "| verdict" not in told, "no step is shown twice"
    assert told.count("move all traffic back") == 1
    assert re.search(rf"{wanted[:10]}.*is live|live.*{wanted[:10]}", told)
    assert production.live() == wanted


def test_a_rollback_to_what_was_never_live_ends_with_its_reason_and_what_serves(production, capsys):
    live = production.live()

    code = by_hand.main("rollback", {"REASON": "a slip of the hand", "TO": "f" * 40})

    told = capsys.readouterr().out
    assert code == 1
    assert "was never live here" in " ".join(told.split())
    assert live[:10] in told
    assert production.live() == live


def test_the_next_rotation_is_on_its_page(production):
    asked = deployment("rotate-secrets/production")
    with person_at(production.server) as person:
        person.opens(f"/deployments/deployment/{asked.id}", "Next Run")
        person.sees(re.compile("^Scheduled"))
        person.sees("At 12:00 AM, only on Sunday")


class Run:
    """A run that says it lives, for as long as it is let."""

    def __init__(self, client, flow):
        self.client, made = client, client.create_flow_run_from_deployment(deployment(flow).id)
        self.id = made.id
        self.resource = {"prefect.resource.id": f"prefect.flow-run.{self.id}"}
        client.set_flow_run_state(self.id, Running(), force=True)

    def beats(self):
        related = [{"prefect.resource.id": "prefect.tag.kanvaro", "prefect.resource.role": "tag"}]
        beat = Event(event="prefect.flow-run.heartbeat", resource=self.resource, related=related)
        self.client.request(
            "POST", "/events", json=[beat.model_dump(mode="json")]
        ).raise_for_status()

    def ends(self):
        self.client.set_flow_run_state(self.id, Completed(), force=True)

    @property
    def state(self):
        return self.client.read_flow_run(self.id).state


def test_a_run_that_falls_silent_is_crashed_and_told_and_one_that_ended_is_not(production):
    with get_client(sync_client=True) as client:
        silent, ended = (Run(client, "status/production") for _ in range(2))
        silent.beats()
        ended.ends()
        ended.beats()  # its last sign of life arrives late
        until(lambda: silent.state.is_crashed(), "the silent run to be marked", timeout=60)
        told = until(lambda: of(production, silent), "Slack to be told", timeout=30)
        assert "is silent: its worker or its machine is gone" in told
        assert ended.state.is_completed()
        assert not of(production, ended)


def of(env, run):
    """What the channel was told of a run by the server itself."""
    threads = env.stand.fakes.slack.threads("deployments")
    return " ".join(thread[0].text for thread in threads if str(run.id) in thread[0].text)
