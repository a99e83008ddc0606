"""Alerts tell people what `reconcile` cannot put right: once, and again when it has changed."""

import json
import time
from collections.abc import Sequence

from blocks.environment import Environment
from delivery.deploy.snapshot import drift
from delivery.json_reader import read_json
from delivery.maintenance import messages
from delivery.maintenance.alerts import Alert, drift_in_place, drifted, standing_still
from tasks import fact, operation
from tasks.aws_errors import translate_aws_errors
from tasks.deploy.colours import read_snapshot
from tasks.platform.app_runner.service import live_service
from tasks.run import ledger
from tasks.run.announce import announce
from tasks.run.lock_row import read_lock

# The ledger's row of the alerts that people know; it keeps the spelling that is stored.
TOLD = "worries"


@fact("is there anything in {environment.name} that a person has to look at?")
def what_needs_a_person(environment: Environment) -> list[Alert] | None:
    """Find drift, and rotations that stand still; None while a run holds the deploy lock and may
    change both.
    """
    with translate_aws_errors("look for what a person has to see"):
        if read_lock(environment).holder:
            return None
        found = drifted(drift_of(environment))
        found += standing_still(ledger.read_rotations(environment), time.time())
        # A run that acquired the deploy lock meanwhile may have changed what was read.
        return None if read_lock(environment).holder else found


def drift_of(environment: Environment) -> str:
    """Say in what the cloud differs from the ledger; empty if in nothing."""
    releases = list(ledger.read_releases(environment))
    if environment.strategy == "blue-green":
        return drift(read_snapshot(environment), releases)
    service = live_service(environment)
    digest = service.image.rpartition("@")[2] if service and service.exists else ""
    return drift_in_place(digest, releases)


def announce_alerts(environment: Environment, alerts: Sequence[Alert] | None) -> str:
    """Post the alerts that are new, and what is over; return all of them in a sentence."""
    if alerts is None:
        return ""
    keys, told = {each.key for each in alerts}, already_told(environment)
    if keys != told:
        news = [each.sentence for each in alerts if each.key not in told]
        over = sorted(told - keys)
        announce(environment, messages.alerts(environment.name, news, over), first=True)
        remember_told(environment, sorted(keys))
    return "; ".join(each.sentence for each in alerts)


@fact("what were people told of {environment.name}?")
def already_told(environment: Environment) -> set[str]:
    """Return the keys of the alerts that the channel knows, and that were not over."""
    with translate_aws_errors("read what people were told"):
        row = ledger.row(environment, TOLD)
    return set(read_json(row["said"]["S"])) if row else set()


@operation("remember what people were told of {environment.name}")
def remember_told(environment: Environment, keys: Sequence[str]) -> None:
    """Write which alerts are known. Sent once: after a lost answer they are posted again."""
    with translate_aws_errors("remember what people were told"):
        environment.sending_once("dynamodb").put_item(
            TableName=environment.ledger_table,
            Item={**ledger.key(environment, TOLD), "said": {"S": json.dumps(list(keys))}},
        )
