"""How a demonstration fails: what it started first, what it leaves, and what it advises."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from delivery.errors import DeliveryError, EngineUnavailable, RolloutFailed
from deployments.demo import demo
from deployments.demo.demo import demonstrate, hint_of

NO_ENGINE = EngineUnavailable("no engine", hint="Start Docker.")


@pytest.fixture
def happened(monkeypatch, tmp_path):
    """Replace all that is started; the list says what was started, and what a failure stopped."""
    events = []

    def part(name, value):
        @contextmanager
        def run(*_, **__):
            events.append(f"{name} starts")
            try:
                yield value
            except BaseException:
                events.append(f"{name} is stopped")
                raise

        return run

    def refuse(*_):
        raise RolloutFailed("a pull request ended as Failed")

    server = SimpleNamespace(address="http://prefect", password_file=tmp_path / "password")
    addresses = SimpleNamespace(slack_page="s", public="p", app_runner="a", aws="w")
    sample = SimpleNamespace(folder=tmp_path)
    monkeypatch.setattr(demo, "docker_engine", lambda: events.append("engine starts"))
    monkeypatch.setattr(demo, "running_sandbox", part("sandbox", addresses))
    monkeypatch.setattr(demo, "prefect_server", part("server", server))
    monkeypatch.setattr(demo, "prefect_worker", part("worker", 1))
    monkeypatch.setattr(demo, "using", part("client", None))
    monkeypatch.setattr(demo, "get_client", part("requests", None))
    monkeypatch.setattr(demo, "sample_repository", lambda _: sample)
    for name in ("preview_of", "prepare_images", "register", "quicken"):
        monkeypatch.setattr(demo, name, lambda *_, **__: None)
    environment = SimpleNamespace(name="production")
    monkeypatch.setattr(demo, "sandbox_environment", lambda *_, **__: environment)
    monkeypatch.setattr(demo, "show_pull_request", refuse)
    return events


def test_without_an_engine_nothing_is_started(happened, monkeypatch, tmp_path):
    def refuse():
        raise NO_ENGINE

    monkeypatch.setattr(demo, "docker_engine", refuse)
    with pytest.raises(EngineUnavailable):
        demonstrate(tmp_path, keep=False)
    assert happened == []


def test_what_was_to_be_kept_is_kept_after_a_failure_and_shown(happened, tmp_path, capsys):
    with pytest.raises(RolloutFailed, match="a pull request ended as Failed"):
        demonstrate(tmp_path, keep=True)

    assert "worker starts" in happened
    stopped = [event for event in happened if event.endswith("is stopped")]
    assert stopped == ["requests is stopped"]
    said = capsys.readouterr().out
    assert "left running:\n  Prefect UI   http://prefect" in said
    assert "make rollback" in said
    assert "VERSION=" not in said, "no version is there yet that could be deployed"


def test_else_a_failure_stops_all_of_it(happened, tmp_path, capsys):
    with pytest.raises(RolloutFailed):
        demonstrate(tmp_path, keep=False)

    stopped = {event for event in happened if event.endswith("is stopped")}
    assert stopped >= {"sandbox is stopped", "server is stopped", "worker is stopped"}
    assert "left running" not in capsys.readouterr().out


def test_a_run_is_to_be_opened_only_where_there_still_is_one():
    plain = DeliveryError("a summary is missing")
    assert hint_of(plain, keep=True) == "Open the run for its full log."
    assert hint_of(plain, keep=False) == (
        "Everything was stopped. `KEEP=1 make demo` leaves it running, to look at."
    )
    assert hint_of(NO_ENGINE, keep=False) == "Start Docker."


def test_a_sandbox_that_does_not_start_advises_no_run(monkeypatch):
    failed = SimpleNamespace(returncode=1)
    monkeypatch.setattr(demo.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(DeliveryError, match="the sandbox could not do --detach") as refusal:
        demo.start_sandbox(demo.FOLDER)
    assert "sandbox.log" in refusal.value.hint
    assert "Open the run" not in hint_of(refusal.value, keep=True)
