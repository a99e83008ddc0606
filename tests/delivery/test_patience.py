import pytest

from delivery.errors import TimedOut
from delivery.patience import Patience, wait_until


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds

    def read(self):
        return self.now


def wait(look, ready, patience, clock):
    return wait_until(look, ready, patience, what="it", sleep=clock.sleep, clock=clock.read)


def test_what_is_ready_at_once_costs_no_pause():
    clock = Clock()

    assert wait(lambda: 7, lambda seen: seen == 7, Patience(10, 1), clock) == 7
    assert clock.pauses == []


def test_a_wait_that_ends_in_vain_says_what_it_saw_last():
    with pytest.raises(TimedOut, match=r"it: not after 3 s; last seen: yellow"):
        wait(lambda: "yellow", lambda seen: seen == "green", Patience(3, 1), Clock())


def test_there_is_one_look_even_without_any_time():
    assert wait(lambda: 1, bool, Patience(0, 0), Clock()) == 1


def test_pauses_grow_towards_the_longest_so_that_a_long_wait_asks_seldom():
    clock = Clock()

    with pytest.raises(TimedOut):
        wait(lambda: 0, bool, Patience(60, 5, longest=10), clock)

    assert clock.pauses[0] == 5
    assert clock.pauses == sorted(clock.pauses)
    assert clock.pauses[-1] == 10


def test_a_wait_of_a_day_has_a_pause_after_each_look():
    patience = Patience(86_400, 0.5, longest=3)

    assert [patience.pause(looks) for looks in (0, 1, 30, 3_000, 1_000_000)] == [0.5, 0.5, 3, 3, 3]
