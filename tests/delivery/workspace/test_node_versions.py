"""What people write when they wish for a Node version."""

import pytest

from delivery.workspace.node_versions import is_readable_range, node_is_wanted


@pytest.mark.parametrize(
    ("wanted", "have", "verdict"),
    [
        ("20", "v20.20.2", True),
        ("20", "v21.0.0", False),
        ("v20.11", "v20.11.1", True),
        ("v20.11", "v20.12.0", False),
        ("v20.11.1", "20.11.1", True),
        ("20.11.1", "20.11.2", False),
        ("20.x", "20.0.0", True),
        ("20.X", "22.0.0", False),
        ("20.*", "20.9.9", True),
        (">=20", "v24.1.0", True),
        (">= 20.9", "v20.8.0", False),
        (">=20 <23", "v22.9.0", True),
        (">=20 <23", "v23.0.0", False),
        (">=20.0.0  <=22", "v22.9.0", True),
        (">20", "v20.5.0", False),
        (">20", "v21.0.0", True),
        ("<18", "v18.0.0", False),
        ("^20.9 || >=22", "v20.10.0", True),
        ("^20.9 || >=22", "v20.8.0", False),
        ("^20.9||>=22", "v21.7.0", False),
        ("^20.9 || >=22", "v23.0.0", True),
        ("~20.1", "v20.1.9", True),
        ("~20.1", "v20.2.0", False),
        ("~20", "v20.9.0", True),
        ("18 - 22", "v22.5.0", True),
        ("18.1 - 22", "v18.0.0", False),
        ("*", "v20.0.0", True),
        ("", "v20.0.0", True),
        ("node", "v20.0.0", True),
        ("lts/*", "v20.0.0", True),
        ("lts/*", "v21.0.0", False),
        ("lts/iron", "v20.1.0", True),
        ("lts/Jod", "v20.1.0", False),
        ("=20", "v20.1.0", True),
        (">=20.0.0-rc.1", "v20.1.0", None),
        ("newest", "v20.1.0", None),
        ("20.1.2.3", "v20.1.2", None),
        ("20 or 22", "v20.1.2", None),
        ("lts/nonsense", "v20.1.2", None),
        (">=20 && <22", "v20.1.2", None),
        ("20 || what", "v20.1.2", None),
    ],
)
def test_a_wish_is_decided_or_called_unreadable(wanted, have, verdict):
    assert node_is_wanted(wanted, have) is verdict
    assert is_readable_range(wanted) is (verdict is not None)


def test_what_is_not_a_version_is_not_compared():
    with pytest.raises(ValueError, match="not a Node version"):
        node_is_wanted("20", "sh: node: not found")


@pytest.mark.parametrize(
    "wanted",
    [">=" + " " * 1_000_000 + "x", "9" * 5000, ">=20 " * 100_000, "1 " + " " * 200_000 + "-"],
)
def test_a_range_longer_than_any_is_unreadable_and_costs_nothing(wanted):
    assert not is_readable_range(wanted)
    assert node_is_wanted(wanted, "v20.11.1") is None
