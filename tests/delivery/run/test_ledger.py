from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.errors import RequestRefused, UnknownRevision
from delivery.run.ledger import (
    Holder,
    Intent,
    LockRow,
    Proven,
    Release,
    find_target,
    in_the_way,
    is_next,
    superseded_by,
)


def digest(name):
    return f"sha256:{name * 64}"


def release(number, name, kind="deploy", migration="none"):
    return Release(
        number=number,
        revision=name * 40,
        digest=digest(name),
        colour="blue",
        since="2026-01-01T00:00:00+00:00",
        run="r",
        actor="ada",
        reason="because",
        kind=kind,
        migration=migration,
    )


def history(*steps):
    """Releases from words such as `a` (deployed) and `<a` (gone back to)."""
    return [
        release(number, step[-1], "rollback" if step[0] == "<" else "deploy")
        for number, step in enumerate(steps, start=1)
    ]


@pytest.mark.parametrize(
    ("steps", "previous"),
    [
        ("a b", "a"),
        ("a b c", "b"),
        ("a b c <b", "a"),
        ("a b c <a", None),
        ("a b <a c", "a"),
        ("a b <a c <a", None),
        ("a b b", "a"),
        ("a b a", "b"),
        ("a b a c <a", "b"),  # the second time that a was live came after b
        ("a b <a <b", "a"),
        ("a b c <a d", "a"),
        ("a", None),
    ],
)
def test_previous_is_what_served_before_and_never_what_was_taken_back(steps, previous):
    releases = history(*steps.split())
    if previous is None:
        with pytest.raises(RequestRefused, match="first version"):
            find_target("previous", releases, releases[-1])
    else:
        assert find_target("previous", releases, releases[-1]).digest == digest(previous)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8))
def test_going_back_again_and_again_ends_at_the_first_version_and_never_goes_forward(deployed):
    releases = history(*deployed)
    numbers = []
    while True:
        try:
            target = find_target("previous", releases, releases[-1])
        except RequestRefused:
            break
        assert target.digest != releases[-1].digest
        numbers.append(target.number)
        releases.append(replace(target, number=len(releases) + 1, kind="rollback"))
        assert len(numbers) <= len(deployed)
    assert releases[-1].digest == digest(deployed[0])
    assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize("asked", ["a" * 40, "a" * 7, digest("a")])
def test_a_release_is_found_by_revision_some_of_it_or_digest(asked):
    releases = history("a", "b")

    assert find_target(asked, releases, releases[-1]) == releases[0]


def test_the_newest_of_several_releases_of_one_version_is_meant():
    releases = history("a", "b", "<a", "c")

    assert find_target("a" * 40, releases, releases[-1]).number == 3


def test_a_tag_is_looked_up_by_its_revision():
    releases = history("a", "b")

    assert find_target("v1", releases, releases[-1], revision="a" * 40) == releases[0]


@pytest.mark.parametrize("asked", ["a" * 6, "c" * 40, digest("c"), "v1"])
def test_what_was_never_live_is_unknown(asked):
    releases = history("a", "b")
    with pytest.raises(UnknownRevision, match="never live here"):
        find_target(asked, releases, releases[-1])


def test_too_few_digits_are_refused_and_not_guessed():
    one, other = release(1, "a"), replace(release(2, "b"), revision="a" * 39 + "b")
    with pytest.raises(RequestRefused, match="matches several"):
        find_target("a" * 10, [one, other], other)


def test_where_nothing_is_live_there_is_no_way_back():
    with pytest.raises(RequestRefused, match="nothing is live"):
        find_target("previous", [], None)


def test_only_a_later_irreversible_migration_is_in_the_way():
    first = release(1, "a", migration="irreversible")
    second = release(2, "b", migration="reversible")
    third = release(3, "c", migration="irreversible")

    assert in_the_way(first, [first, second]) is None
    assert in_the_way(first, [first, second, third]) == third
    assert in_the_way(third, [first, second, third]) is None


def holder(run, asked, kind="deploy"):
    return Holder(run, f"title of {run}", kind, "ada", "because", asked)


@pytest.mark.parametrize(
    ("mine", "last", "waiting", "is_superseded"),
    [
        (holder("me", 10), {}, [], False),
        (holder("me", 10), {"deploy": 5}, [], False),
        (holder("me", 10), {"deploy": 11}, [], True),
        (holder("me", 10), {"rollback": 11}, [], True),
        (holder("me", 10), {}, [holder("newer", 11)], True),
        (holder("me", 10), {}, [holder("older", 9)], False),
        (holder("me", 10), {}, [holder("back", 11, "rollback")], False),
        (holder("me", 10, "rollback"), {"deploy": 11}, [], False),
        (holder("me", 10, "rollback"), {"rollback": 11}, [], True),
        (holder("me", 10, "rollback"), {}, [holder("newer", 11)], False),
        (holder("me", 10, "rollback"), {}, [holder("later", 11, "rollback")], True),
    ],
)
def test_an_older_run_gives_way_to_a_newer_one_of_its_kind(mine, last, waiting, is_superseded):
    assert bool(superseded_by(mine, LockRow(1, last=last), waiting)) is is_superseded


def test_the_reason_names_the_run_that_goes_on():
    why = superseded_by(holder("me", 1), LockRow(), [holder("b", 2), holder("c", 3)])

    assert "title of c" in why


@given(
    st.lists(
        st.tuples(st.sampled_from(["deploy", "rollback", "reconcile"]), st.integers(1, 99)),
        min_size=1,
        max_size=6,
        unique_by=lambda each: each[1],
    )
)
def test_exactly_one_of_those_who_wait_is_next_and_a_rollback_before_all_others(kinds):
    all_of_them = [holder(f"run {asked}", asked, kind) for kind, asked in kinds]
    first = [
        each for each in all_of_them if is_next(each, [o for o in all_of_them if o is not each])
    ]

    assert len(first) == 1
    if "rollback" in {kind for kind, _ in kinds}:
        assert first[0].kind == "rollback"


@pytest.mark.parametrize(
    "entry",
    [
        release(3, "a"),
        Proven("a" * 40, digest("a"), "repo", "refs/heads/main", "run", "now"),
        Intent(3, 1, "shift", "green", "run", "now", {"share": 10}),
        holder("run", 12.5),
    ],
    ids=lambda entry: type(entry).__name__,
)
def test_an_entry_reads_as_it_was_written_and_passes_over_what_it_does_not_know(entry):
    read = type(entry).read
    again = read(entry.text())

    assert again.text() == entry.text()
    assert read(entry.text().replace("{", '{"of_tomorrow":1,', 1)).text() == entry.text()
    with pytest.raises(ValueError, match="not a"):
        read("{}")


def test_putting_things_in_order_is_never_superseded():
    """Prefect makes the runs of a schedule an hour before they are due."""
    lock = LockRow(1, last={"deploy": 100.0, "rollback": 90.0})

    assert not superseded_by(replace(holder("me", 1), kind="reconcile"), lock, [holder("b", 2)])
