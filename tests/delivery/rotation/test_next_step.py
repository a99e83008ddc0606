from dataclasses import replace

import pytest

from delivery.rotation.facts import (
    ACCOUNTS,
    ENTERED_BY_HAND,
    KEY_RINGS,
    SES_KEYS,
    Facts,
    PendingValue,
)
from delivery.rotation.facts import (
    OldCredential as Old,
)
from delivery.rotation.next_step import next_step
from delivery.rotation.record import Record, RotationStep

HOUR, DAY = 3600.0, 24 * 3600.0
READY, EMPTY = PendingValue.READY, PendingValue.EMPTY
NAMELESS, UNFIT = PendingValue.NAMELESS, PendingValue.UNFIT


def labels(current="old", pending="", previous=""):
    said = {}
    for label, version in (("CURRENT", current), ("PENDING", pending), ("PREVIOUS", previous)):
        if version:
            said.setdefault(version, []).append(f"AWS{label}")
    return said


def row(slot="this", old="old", new="token", **fields):
    return Record("kanvaro/database", slot, old, new, **{"began": 0.0, **fields})


# The rotation of a week ago, which made `old`; it is over.
LAST_WEEK = row("last", "older", "old", began=-7 * DAY, rolled_at=-7 * DAY, step=RotationStep.DONE)
LAST_IS_OPEN = replace(LAST_WEEK, step=RotationStep.RESTART)
MINE = row()


def facts(current="old", pending="", previous="", **fields):
    seen = {
        "labels": labels(current, pending, previous),
        "slot": "this",
        "token": "token",
        "now": 0.0,
        "consumers": {"blue": current, "green": current},
        "records": (LAST_WEEK,),
        **fields,
    }
    return Facts(**seen)


def promoted(rolled_at=0.0, now=0.0, **fields):
    """This slot's version is current, and every service runs with it."""
    of_row = ("drained_since", "retired_at", "step", "compromised")
    mine = replace(MINE, rolled_at=rolled_at, **{k: fields.pop(k) for k in of_row if k in fields})
    seen = {"records": (LAST_WEEK, mine), "now": now, "old": Old.WORKS, **fields}
    return facts("token", previous="old", **seen)


STATES = [
    # the entry states of the protocol
    ("S0: nothing is pending", facts(), RotationStep.CREATE, "token"),
    ("S0: the row was written, and then the run died", facts(records=(LAST_WEEK, MINE)),
     RotationStep.CREATE, "token"),
    ("S1: an empty version is pending", facts(pending="x", pending_value=EMPTY),
    RotationStep.ADOPT, "x"),
    ("S2: somebody's version is pending", facts(pending="x", pending_value=READY),
     RotationStep.ADOPT, "x"),
    ("S2: an earlier slot's is", facts(pending="x", pending_value=READY,
     records=(LAST_WEEK, row("before", new="x"))), RotationStep.ADOPT, "x"),
    ("S2: our own, and the run died before its row", facts(pending="token", pending_value=READY),
     RotationStep.ADOPT, "token"),
    ("S2: our own", facts(pending="token", pending_value=READY, records=(LAST_WEEK, MINE)),
     RotationStep.SET, "token"),
    ("S2: adopted", facts(pending="x", pending_value=READY, records=(LAST_WEEK, row(new="x"))),
     RotationStep.SET, "x"),
    ("set", facts(pending="token", pending_value=READY, records=(LAST_WEEK, MINE),
     set_version="token"), RotationStep.TEST, "token"),
    ("another one was set", facts(pending="token", pending_value=READY, records=(LAST_WEEK, MINE),
     set_version="x", tested_version="token"), RotationStep.SET, "token"),
    ("set and tested", facts(pending="token", pending_value=READY, records=(LAST_WEEK, MINE),
     set_version="token", tested_version="token"), RotationStep.PROMOTE, "token"),
    ("S3: promoted, and the label left", facts("token", "token", "old",
     records=(LAST_WEEK, MINE)), RotationStep.TIDY, "token"),
    ("S4: nobody runs with it", facts("token", previous="old", records=(LAST_WEEK, MINE),
     consumers={"blue": "old", "green": "old"}), RotationStep.RESTART, "token"),
    ("S4: all run with it, and that is not proven", facts("token", previous="old",
     records=(LAST_WEEK, MINE)), RotationStep.RESTART, "token"),
    ("S4: and the row is lost", facts("token", previous="old"), RotationStep.RESTART, "token"),
    ("S5: in the overlap", promoted(now=DAY - 1), RotationStep.WAIT, "old"),
    ("S5: nobody has looked who is connected", promoted(now=DAY), RotationStep.WAIT, "old"),
    ("S5: drained too shortly", promoted(now=DAY, drained_since=DAY - 60), RotationStep.WAIT,
    "old"),
    ("S5: due", promoted(now=DAY, drained_since=DAY - 900), RotationStep.RETIRE, "old"),
    ("S5: retired in part", promoted(now=DAY, drained_since=0.0, old=Old.REFUSED),
     RotationStep.RETIRE, "old"),
    ("S5: a colour was resumed with the old one", promoted(now=DAY, drained_since=0.0,
     consumers={"blue": "token", "green": "old"}), RotationStep.RESTART, "token"),
    ("retired, and works again", promoted(now=2 * DAY, drained_since=0.0, retired_at=DAY),
     RotationStep.RETIRE, "old"),
    ("over, and works again", promoted(now=2 * DAY, drained_since=0.0, retired_at=DAY,
     step=RotationStep.DONE), RotationStep.RETIRE, "old"),
    ("retired", promoted(now=DAY, retired_at=DAY, old=Old.REFUSED), RotationStep.DONE, "token"),
    ("over, and nobody tried the old one", promoted(now=DAY, step=RotationStep.DONE, old=None),
     RotationStep.DONE, "token"),
    ("S6: changed by hand before us", facts("by hand"), RotationStep.STOP, ""),
    ("S6: changed by hand under us", facts("by hand", "token", pending_value=READY,
     records=(LAST_WEEK, MINE), set_version="token", tested_version="token"), RotationStep.STOP,
     ""),
    ("S6: changed by hand after us", facts("by hand", previous="token",
     records=(LAST_WEEK, MINE)), RotationStep.STOP, ""),
    # the first rotation of all
    ("first: what is there is taken", facts(records=(), consumers={"blue": ""}),
     RotationStep.CREATE, "token"),
    ("first: its value names another version", facts(records=(), consumers={"blue": "v1"}),
     RotationStep.CREATE, "token"),
    ("first: set, tested, and nobody says what he runs with", facts(pending="token",
     pending_value=READY, records=(MINE,), consumers={"blue": ""}), RotationStep.SET, "token"),
    ("first: changed by hand after the preflight", facts("by hand", at_preflight="old",
     records=()), RotationStep.STOP, ""),
    ("first: promoted, and the row is lost", facts("token", previous="old", at_preflight="old",
     records=()), RotationStep.RESTART, "token"),
    # the rotation before
    ("before: a colour was never restarted", facts(consumers={"blue": "old", "green": "older"}),
     RotationStep.RESTART, "old"),
    ("before: a colour was never restarted, and the new one is pending", facts(pending="token",
     pending_value=READY, records=(LAST_WEEK, MINE), consumers={"blue": "old", "green": "older"}),
     RotationStep.RESTART, "old"),
    ("before: its restart was not proven", facts(records=(replace(LAST_IS_OPEN, rolled_at=None),)),
     RotationStep.RESTART, "old"),
    ("before: not proven, and the new one is pending", facts(pending="token", pending_value=READY,
     records=(replace(LAST_IS_OPEN, rolled_at=None), MINE)), RotationStep.RESTART, "old"),
    ("before: in its overlap", facts(records=(replace(LAST_IS_OPEN, rolled_at=-HOUR),)),
     RotationStep.WAIT, "older"),
    ("before: in its overlap, and a version is pending", facts(pending="token",
     pending_value=READY, records=(replace(LAST_IS_OPEN, rolled_at=-HOUR), MINE)),
     RotationStep.WAIT, "older"),
    ("before: drained", facts(records=(replace(LAST_IS_OPEN, drained_since=-DAY),)),
     RotationStep.RETIRE, "older"),
    ("before: drained, but its account is given to the pending one already", facts(pending="token",
     pending_value=READY, records=(replace(LAST_IS_OPEN, drained_since=-DAY), MINE),
     set_version="token"), RotationStep.TEST, "token"),
    ("before: a stranger uses it still, for a week", facts(records=(LAST_IS_OPEN,)),
     RotationStep.CREATE, "token"),
    ("before: a stranger uses it still, for a day",
     facts(records=(replace(LAST_IS_OPEN, rolled_at=-DAY),)), RotationStep.WAIT, "older"),
    ("before: retired, and no more was written",
     facts(records=(replace(LAST_IS_OPEN, retired_at=-DAY),), old=Old.REFUSED),
     RotationStep.CREATE, "token"),
    # put back, and late
    ("put back by hand", facts(previous="token", records=(LAST_WEEK, MINE)), RotationStep.STOP, ""),
    ("put back by hand after the restart", facts(records=(LAST_WEEK, replace(MINE, rolled_at=0.0))),
     RotationStep.STOP, ""),
    ("put back, and another slot is due", facts(slot="next", token="t2", previous="token",
     records=(LAST_WEEK, MINE)), RotationStep.CREATE, "t2"),
    ("put back, a colour runs with what was, and another slot is due", facts(slot="next",
     token="t2", records=(MINE,), consumers={"blue": "", "green": "token"}), RotationStep.RESTART,
     "old"),
    ("an old slot is run again", facts("t2", previous="token", records=(LAST_WEEK,
     replace(MINE, rolled_at=0.0), row("next", "token", "t2", began=1.0))), RotationStep.DONE,
     "token"),
    ("the slot is run again while another version is pending", facts("token", "x", "old",
     pending_value=READY, records=(LAST_WEEK, replace(MINE, rolled_at=0.0)), old=Old.WORKS),
     RotationStep.WAIT, "old"),
    # nothing to be seen
    ("no version is current", facts(""), RotationStep.STOP, ""),
    ("no service runs", facts(consumers={}), RotationStep.STOP, ""),
    # compromised
    ("compromised: retired at once", promoted(compromised=True), RotationStep.RETIRE, "old"),
    ("compromised: by this run", replace(promoted(), compromised=True), RotationStep.RETIRE, "old"),
    ("compromised: not before the restart", facts("token", previous="old",
     records=(LAST_WEEK, MINE), consumers={"blue": "token", "green": "old"}, compromised=True),
     RotationStep.RESTART, "token"),
    ("compromised: in the overlap of the one before", facts(compromised=True,
     records=(replace(LAST_IS_OPEN, rolled_at=-HOUR),)), RotationStep.RETIRE, "older"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "step", "version"), [pytest.param(*state[1:], id=state[0]) for state in STATES]
)
def test_every_state_has_one_next_step(seen, step, version):
    following = next_step(seen)

    assert (following.step, following.version) == (step, version)
    assert following.why
    assert bool(following.hint) == (step is RotationStep.STOP)


def key_facts(policy, current="old", pending="", **fields):
    return facts(current, pending, policy=policy, **fields)


OTHER_KINDS = [
    ("key rings: nothing is set", key_facts(KEY_RINGS, pending="token", pending_value=READY,
     records=(LAST_WEEK, MINE)), RotationStep.TEST, "token"),
    ("key rings: nothing is retired", replace(promoted(), policy=KEY_RINGS), RotationStep.DONE,
    "token"),
    ("key rings: a week-old pending ring is made anew", key_facts(KEY_RINGS, pending="x",
     pending_value=UNFIT, records=(LAST_WEEK, row("before", new="x"))), RotationStep.CREATE,
     "token"),
    ("key rings: our own cannot be", key_facts(KEY_RINGS, pending="token", pending_value=UNFIT,
     records=(LAST_WEEK, MINE)), RotationStep.STOP, ""),
    ("key rings: the one before was restarted just now", key_facts(KEY_RINGS,
     records=(replace(LAST_IS_OPEN, rolled_at=-HOUR),)), RotationStep.CREATE, "token"),
    ("key rings: and the new one is pending", key_facts(KEY_RINGS, pending="token",
     pending_value=READY, records=(replace(LAST_IS_OPEN, rolled_at=-HOUR), MINE)),
     RotationStep.TEST, "token"),
    ("key rings: the next key is not known everywhere", key_facts(KEY_RINGS,
     consumers={"blue": "old", "green": "older"}), RotationStep.RESTART, "old"),
    ("SES: nothing is set", key_facts(SES_KEYS, pending="token", pending_value=READY,
     records=(LAST_WEEK, MINE)), RotationStep.TEST, "token"),
    ("SES: due", replace(promoted(now=DAY, drained_since=0.0), policy=SES_KEYS),
     RotationStep.RETIRE, "old"),
    ("SES: inactive, but for less than a day", replace(promoted(now=2 * DAY - 1, retired_at=DAY,
     old=Old.REFUSED), policy=SES_KEYS), RotationStep.WAIT, "old"),
    ("SES: inactive for a day", replace(promoted(now=2 * DAY, retired_at=DAY, old=Old.REFUSED),
     policy=SES_KEYS), RotationStep.DELETE, "old"),
    ("SES: deleted", replace(promoted(now=2 * DAY, retired_at=DAY, old=Old.GONE),
     policy=SES_KEYS), RotationStep.DONE, "token"),
    ("SES: compromised", replace(promoted(retired_at=0.0, old=Old.REFUSED, compromised=True),
     policy=SES_KEYS), RotationStep.DELETE, "old"),
    ("SES: no third key while the old one is in use", key_facts(SES_KEYS,
     records=(LAST_IS_OPEN,)), RotationStep.WAIT, "older"),
    ("by hand: a person has to enter it", key_facts(ENTERED_BY_HAND), RotationStep.WAIT, ""),
    ("by hand: an empty version is none", key_facts(ENTERED_BY_HAND, pending="x",
     pending_value=EMPTY), RotationStep.WAIT, ""),
    ("by hand: stored again under an id that it carries", key_facts(ENTERED_BY_HAND, pending="x",
     pending_value=NAMELESS), RotationStep.ADOPT, "token"),
    ("by hand: and then tested", key_facts(ENTERED_BY_HAND, pending="token", pending_value=READY,
     records=(LAST_WEEK, MINE)), RotationStep.TEST, "token"),
    ("by hand: what cannot follow is not made again", key_facts(ENTERED_BY_HAND, pending="x",
     pending_value=UNFIT), RotationStep.STOP, ""),
    ("by hand: the old one works in its overlap", replace(promoted(now=HOUR),
     policy=ENTERED_BY_HAND), RotationStep.WAIT, "old"),
    ("by hand: and after it", replace(promoted(now=9 * DAY), policy=ENTERED_BY_HAND),
     RotationStep.WAIT, "old"),
    ("by hand: withdrawn", replace(promoted(now=HOUR, old=Old.REFUSED), policy=ENTERED_BY_HAND),
     RotationStep.DONE, "token"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "step", "version"), [pytest.param(*state[1:], id=state[0]) for state in OTHER_KINDS]
)
def test_each_kind_of_secret_skips_what_it_does_not_need(seen, step, version):
    following = next_step(seen)

    assert (following.step, following.version) == (step, version)


def test_only_services_that_run_with_another_version_are_restarted():
    seen = facts("token", records=(LAST_WEEK, MINE), consumers={"blue": "token", "green": "old"})

    assert next_step(seen).services == ("green",)
    assert "green" in next_step(seen).why


def test_a_service_that_does_not_report_what_it_runs_with_is_not_taken_for_restarted():
    seen = promoted(now=DAY, drained_since=0.0, consumers={"blue": "token", "green": ""})

    assert next_step(seen).services == ("green",)


def test_a_promotion_names_the_version_that_must_still_be_current():
    seen = facts(pending="token", pending_value=READY, records=(LAST_WEEK, MINE),
                 set_version="token", tested_version="token")  # fmt: skip

    assert next_step(seen).instead_of == "old"


@pytest.mark.parametrize(
    ("seen", "until"),
    [
        (promoted(now=HOUR), DAY),
        (promoted(now=DAY), DAY + 900),
        (promoted(now=DAY, drained_since=DAY - 60), DAY + 840),
        (
            replace(promoted(now=DAY, retired_at=DAY, old=Old.REFUSED), policy=SES_KEYS),
            2 * DAY,
        ),
        (facts(policy=ENTERED_BY_HAND), None),
        (replace(promoted(now=HOUR), policy=ENTERED_BY_HAND), DAY),
        (replace(promoted(now=DAY), policy=ENTERED_BY_HAND), None),
        (replace(promoted(compromised=True), policy=ENTERED_BY_HAND), None),
    ],
)
def test_a_wait_says_until_when(seen, until):
    following = next_step(seen)

    assert following.step is RotationStep.WAIT
    assert following.until == until


def test_the_wait_for_retirement_is_told_with_its_moment():
    assert "1970-01-02 00:00 UTC" in next_step(promoted(now=HOUR)).why


def test_a_pending_version_must_be_looked_at_before_anything_is_decided():
    with pytest.raises(ValueError, match="looked at"):
        next_step(facts(pending="x"))


def test_the_policies_differ_in_what_they_say():
    assert ACCOUNTS.overlap_s == SES_KEYS.overlap_s == DAY
    assert ACCOUNTS.at_once.overlap_s == ACCOUNTS.at_once.drained_for_s == 0
    assert ACCOUNTS.at_once.inactive_for_s is None
