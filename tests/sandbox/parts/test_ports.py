"""Sockets that listen, and the ports they get."""

import pytest

from sandbox.parts import ports
from sandbox.parts.ports import LOOPBACK, listening_pair, listening_socket

OTHER = "127.0.0.2"


def test_a_pair_has_one_port_on_two_addresses():
    pair = listening_pair(OTHER)
    with pair[0] as first, pair[1] as second:
        assert first.getsockname()[0] == LOOPBACK
        assert second.getsockname() == (OTHER, first.getsockname()[1])


def test_a_port_that_is_taken_on_the_other_address_is_not_chosen(monkeypatch):
    with listening_socket(0, OTHER) as taken:
        number = taken.getsockname()[1]
        # The kernel would rarely choose that port by itself.
        choices = iter([number, number, 0])

        def choose(port=0, host=LOOPBACK):
            return listening_socket(port or next(choices), host)

        monkeypatch.setattr(ports, "listening_socket", choose)
        pair = listening_pair(OTHER)
        with pair[0] as first, pair[1] as second:
            assert first.getsockname()[1] == second.getsockname()[1] != number
        assert next(choices, None) is None
        listening_socket(number).close()  # given back


def test_an_address_of_another_machine_is_an_error():
    with pytest.raises(OSError, match="annot assign requested address"):
        listening_pair("192.0.2.1")
