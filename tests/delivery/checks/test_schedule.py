"""Which check begins next, and what a failure beside others means."""

from delivery.checks.schedule import Rules, Schedule, Then, next_check
from delivery.checks.table import DEFAULT_TABLE, Check

LINT = Check("lint", script="lint", timeout_s=60)
UNIT = Check("unit", script="test", timeout_s=600)
E2E = Check("e2e", script="e2e", timeout_s=1800)
SCAN = Check("security", scanners=("secrets",), timeout_s=300)
PORTS = Check("ports", script="ports", timeout_s=30, alone=True)
TIMES = Check("times", script="times", timeout_s=90, alone=True)


def begun(schedule):
    """Begin all that may begin now: the names, a repetition with those it failed beside."""
    turns = list(iter(schedule.begin, None))
    return [(turn.check.name, *turn.beside) if turn.beside else turn.check.name for turn in turns]


class TestTheOrder:
    def test_the_longest_begins_first_and_the_quickest_beside_it(self):
        checks = list(DEFAULT_TABLE.checks)

        first = next_check(checks, [], 2)
        assert first.name == "e2e"
        beside = next_check([check for check in checks if check is not first], [first], 2)
        assert beside.timeout_s == min(check.timeout_s for check in checks)

    def test_one_at_a_time_the_quickest_begins_so_that_a_long_one_hides_no_error(self):
        schedule = Schedule([E2E, UNIT, LINT], Rules(at_once=1))
        order = []
        while turn := schedule.begin():
            order.append(turn.check.name)
            schedule.passed(turn.check)

        assert order == ["lint", "unit", "e2e"]

    def test_no_more_begin_than_run_at_once(self):
        assert begun(Schedule([E2E, UNIT, LINT], Rules(at_once=2))) == ["e2e", "lint"]
        assert next_check([UNIT], [E2E, LINT], 2) is None

    def test_what_must_be_alone_begins_when_nothing_else_runs_and_nothing_begins_beside_it(self):
        schedule = Schedule([TIMES, PORTS, LINT, UNIT], Rules(at_once=3))

        assert begun(schedule) == ["unit", "lint"]
        schedule.passed(LINT)
        assert begun(schedule) == []
        schedule.passed(UNIT)
        assert begun(schedule) == ["ports"]
        schedule.passed(PORTS)
        assert begun(schedule) == ["times"]
        schedule.passed(TIMES)
        assert schedule.is_over


class TestAFailureBesideOthers:
    def test_stops_the_others_and_is_repeated_alone_once_they_have_ended(self):
        schedule = Schedule([LINT, UNIT], Rules(at_once=2))
        begun(schedule)

        assert schedule.failed(LINT) is Then.STOP_AND_REPEAT
        assert begun(schedule) == []
        schedule.stopped(UNIT)
        assert begun(schedule) == [("lint", "unit")]

    def test_counts_when_it_fails_alone_too_and_nothing_begins_any_more(self):
        schedule = Schedule([LINT, UNIT, E2E], Rules(at_once=2))
        assert begun(schedule) == ["e2e", "lint"]
        schedule.failed(LINT)
        schedule.stopped(E2E)
        begun(schedule)

        assert schedule.failed(LINT) is Then.STOP
        assert begun(schedule) == []
        assert schedule.is_over

    def test_that_passes_alone_lets_the_others_begin_anew_one_at_a_time(self):
        schedule = Schedule([LINT, UNIT, E2E], Rules(at_once=2))
        begun(schedule)
        schedule.failed(LINT)
        schedule.stopped(E2E)
        begun(schedule)
        schedule.passed(LINT)

        assert begun(schedule) == ["unit"]
        schedule.passed(UNIT)
        assert begun(schedule) == ["e2e"]
        assert schedule.failed(E2E) is Then.STOP, "it was alone this time"

    def test_is_repeated_at_the_end_where_a_failure_does_not_stop_the_others(self):
        schedule = Schedule([LINT, UNIT, E2E], Rules(at_once=2, stops=False))
        begun(schedule)

        assert schedule.failed(LINT) is Then.REPEAT
        assert begun(schedule) == ["unit"]
        assert schedule.failed(UNIT) is Then.REPEAT
        schedule.passed(E2E)
        assert begun(schedule) == [("lint", "e2e")]
        assert schedule.failed(LINT) is Then.GO_ON
        assert begun(schedule) == [("unit", "e2e")]
        schedule.passed(UNIT)
        assert schedule.is_over

    def test_of_two_at_once_both_are_repeated_one_after_the_other(self):
        schedule = Schedule([LINT, UNIT], Rules(at_once=2))
        begun(schedule)
        schedule.failed(LINT)
        schedule.failed(UNIT)

        assert begun(schedule) == [("lint", "unit")]
        schedule.passed(LINT)
        assert begun(schedule) == [("unit", "lint")]


class TestAFailureThatCountsAtOnce:
    def test_of_a_check_that_was_alone_all_the_time(self):
        schedule = Schedule([LINT, UNIT], Rules(at_once=1))
        begun(schedule)

        assert schedule.failed(LINT) is Then.STOP

    def test_of_a_check_beside_a_scanner_which_runs_apart(self):
        schedule = Schedule([LINT, SCAN], Rules(at_once=2))
        begun(schedule)

        assert schedule.failed(LINT) is Then.STOP

    def test_of_a_scanner(self):
        schedule = Schedule([LINT, SCAN], Rules(at_once=2, stops=False))
        begun(schedule)

        assert schedule.failed(SCAN) is Then.GO_ON

    def test_of_a_check_beside_one_that_had_been_proven_and_did_not_run(self):
        schedule = Schedule([LINT, UNIT], Rules(at_once=2))
        begun(schedule)
        schedule.passed(UNIT, ran=False)

        assert schedule.failed(LINT) is Then.STOP

    def test_where_the_policy_repeats_none(self):
        schedule = Schedule([LINT, UNIT], Rules(at_once=2, repeats=False))
        begun(schedule)

        assert schedule.failed(LINT) is Then.STOP


def test_a_check_that_was_stopped_by_a_failure_that_counts_does_not_begin_anew():
    schedule = Schedule([LINT, UNIT], Rules(at_once=2, repeats=False))
    begun(schedule)
    schedule.failed(LINT)
    schedule.stopped(UNIT)

    assert begun(schedule) == []
    assert schedule.is_over
