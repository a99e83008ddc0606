"""A network of its own for a fresh machine, through which it reaches what this machine reaches.

Its engine makes a bridge and rules of iptables, which would otherwise be those of the engine that
runs here. Names carry the process that made them, so that what a killed one left can be removed.
"""

import ipaddress
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sandbox.host.machine import ensure

NAMESPACES = Path("/run/netns")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
OURS = re.compile(r"fresh(\d+)")
# Four addresses each; taken from a range for private networks that few use.
CANDIDATES = list(ipaddress.ip_network("10.213.64.0/20").subnets(new_prefix=30))


@contextmanager
def own_network() -> Iterator[Path]:
    """Yield the file of a network namespace that is linked to this machine's networks."""
    name = f"fresh{os.getpid()}"
    here, there = f"{name}h", f"{name}t"
    subnet = _free_subnet()
    mine, its = subnet.hosts()
    with ExitStack() as stack:
        _ip("netns", "add", name)
        # The link goes with its namespace, rules do not.
        stack.callback(_ip, "netns", "delete", name)
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        stack.callback(_remove_rules, here)
        _ip("addr", "add", f"{mine}/30", "dev", here)
        _ip("link", "set", here, "up")
        for command in (
            ("addr", "add", f"{its}/30", "dev", there),
            ("link", "set", there, "up"),
            ("link", "set", "lo", "up"),
            ("route", "add", "default", "via", str(mine)),
        ):
            _ip("-netns", name, *command)
        _let_through(stack, here, subnet)
        yield NAMESPACES / name


def _let_through(stack, here, subnet):
    if FORWARDING.read_text().strip() == "0":
        FORWARDING.write_text("1")
        stack.callback(FORWARDING.write_text, "0")
    masquerade = ("POSTROUTING", "-s", str(subnet), "!", "-o", here, "-j", "MASQUERADE")
    _iptables("-t", "nat", "-A", *masquerade)
    _iptables("-I", "FORWARD", "-i", here, "-j", "ACCEPT")
    _iptables("-I", "FORWARD", "-o", here, "-j", "ACCEPT")


def remove_left_behind() -> None:
    """Remove the networks of processes that were killed."""
    for left in NAMESPACES.glob("fresh*"):
        found = OURS.fullmatch(left.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            _ip("netns", "delete", left.name)
            _remove_rules(f"{left.name}h")


def _remove_rules(interface):
    for table in ("filter", "nat"):
        for rule in _iptables("-t", table, "-S").splitlines():
            words = rule.split()
            if interface in words and words[0] == "-A":
                _iptables("-t", table, "-D", *words[1:])


def _free_subnet():
    addresses = json.loads(_ip("-json", "-4", "addr"))
    taken = [
        ipaddress.ip_network(f"{each['local']}/{each['prefixlen']}", strict=False)
        for device in addresses
        for each in device["addr_info"]
    ]
    # Two proofs that begin at the same moment take different ones.
    first = os.getpid() % len(CANDIDATES)
    return next(
        subnet
        for subnet in CANDIDATES[first:] + CANDIDATES[:first]
        if not any(subnet.overlaps(other) for other in taken)
    )


def _ip(*arguments):
    return _run("ip", *arguments)


def _iptables(*arguments):
    # An engine may change its rules at the same moment.
    return _run(str(ensure("iptables")), "--wait", *arguments)


def _run(*argv):
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, f"{' '.join(argv)}: {ran.stderr}"
    return ran.stdout
