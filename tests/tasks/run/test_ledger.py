"""What the ledger keeps, written once however often it is sent, and closed or not at all."""

import pytest
from botocore.exceptions import EndpointConnectionError

from delivery.errors import ConfigurationError
from delivery.run.ledger import Intent, Proven, Release
from tasks.run import intents, ledger
from tasks.run.lock import DeployLock
from tests.tasks.account import environment_in, lose_answers, quiet_logger, refuse
from tests.tasks.run.test_lock import raises, take

pytestmark = pytest.mark.usefixtures("without_prefect")


@pytest.fixture
def without_prefect(monkeypatch):
    monkeypatch.setattr(intents, "get_run_logger", quiet_logger)


@pytest.fixture
def environment(aws):
    return environment_in(aws)


def release(number, revision="a" * 40):
    return Release(number, revision, "sha256:x", "blue", "now", "run", "ada", "because")


def proven(revision, digest="sha256:x"):
    return Proven(revision, digest, "repo", "refs/heads/main", "run", "now")


def test_releases_are_read_in_the_order_they_went_live(environment):
    for number in (10, 9, 100, 1):
        ledger.record_release(environment, release(number))

    assert [each.number for each in ledger.read_releases(environment)] == [1, 9, 10, 100]


def test_a_release_is_never_written_over(environment):
    ledger.record_release(environment, release(1))
    ledger.record_release(environment, release(1, "b" * 40))

    [kept] = ledger.read_releases(environment)
    assert kept.text() == release(1).text()


def test_a_lost_answer_leaves_one_release(environment):
    lose_answers(environment.retrying("dynamodb"), "PutItem", times=2)

    ledger.record_release(environment, release(1))

    [kept] = ledger.read_releases(environment)
    assert kept.text() == release(1).text()


def test_what_was_proven_is_found_by_the_beginning_of_its_revision(environment):
    one, other = "abc" + "0" * 37, "abd" + "0" * 37
    for revision in (one, other):
        ledger.record_proven(environment, proven(revision))
    ledger.record_proven(environment, proven(one, "sha256:other"))

    assert ledger.read_proven(environment, "abc") == [proven(one)]
    assert len(ledger.read_proven(environment, "ab")) == 2
    assert ledger.read_proven(environment, "f" * 40) == []


def test_an_environment_does_not_see_what_belongs_to_another(environment, aws):
    ledger.record_release(environment, release(1))

    assert not list(ledger.read_releases(environment_in(aws)))


def test_more_rows_than_one_answer_holds_are_all_read(environment):
    """DynamoDB answers with a megabyte at most."""
    for number in range(1, 7):
        entry = Release(
            **{**vars(release(number)), "reason": "why " * 60_000, "operations": (), "secrets": {}}
        )
        ledger.record_release(environment, entry)

    assert [each.number for each in ledger.read_releases(environment)] == [1, 2, 3, 4, 5, 6]


def test_an_intent_is_open_while_its_change_is_under_way_and_closed_afterwards(environment):
    lock = DeployLock(environment, 4, take(environment).holder)

    with intents.intent(lock, "shift", "green", share=10):
        [seen] = ledger.read_intents(environment)
        assert (seen.number, seen.step, seen.kind, seen.colour) == (4, 1, "shift", "green")
        assert not seen.closed
        assert seen.detail == {"share": 10}

    assert ledger.read_intents(environment) == []
    assert outcomes(environment) == ["done"]


def outcomes(environment):
    rows = ledger.rows(environment, "intent#closed#")
    return [Intent.read(row["said"]["S"]).outcome for row in rows]


def test_an_intent_whose_change_failed_is_closed_with_why(environment):
    lock = DeployLock(environment, 4, take(environment).holder)
    with pytest.raises(ZeroDivisionError), intents.intent(lock, "shift", "green"):
        raise ZeroDivisionError

    assert outcomes(environment) == ["failed: ZeroDivisionError"]


def test_an_intent_stays_open_when_its_run_is_interrupted(environment):
    """Nobody knows then what became of the change: whoever holds the deploy lock next looks."""
    lock = DeployLock(environment, 4, take(environment).holder)
    with pytest.raises(KeyboardInterrupt), intents.intent(lock, "shift", "green"):
        raise KeyboardInterrupt

    assert len(ledger.read_intents(environment)) == 1
    assert outcomes(environment) == []


def test_an_end_that_cannot_be_written_does_not_fail_what_has_succeeded(environment):
    lock = DeployLock(environment, 4, take(environment).holder)
    gone = EndpointConnectionError(endpoint_url="http://nowhere")
    with intents.intent(lock, "shift", "green"):
        refuse(environment.retrying("dynamodb"), "TransactWriteItems", gone)

    assert len(ledger.read_intents(environment)) == 1


def test_closing_twice_by_a_lost_answer_leaves_one_closed_intent(environment):
    lock = DeployLock(environment, 4, take(environment).holder)
    lose_answers(environment.retrying("dynamodb"), "TransactWriteItems")
    with intents.intent(lock, "shift", "green"):
        pass

    assert ledger.read_intents(environment) == []
    assert outcomes(environment) == ["done"]


def test_a_missing_table_is_named(environment):
    environment.ledger_table = "mistyped"

    for call in (
        lambda: ledger.row(environment, "turn"),
        lambda: list(ledger.read_releases(environment)),
        lambda: ledger.record_release(environment, release(1)),
    ):
        assert raises(ConfigurationError, call)
    with pytest.raises(ConfigurationError, match="no DynamoDB table 'mistyped'"):
        ledger.row(environment, "turn")
