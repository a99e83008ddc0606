"""What is removed from a disk: the oldest first, and nothing that a run may need."""

import pytest

from delivery.maintenance.disk import BuiltImage, CachedFile, old_images, surplus

NOW = 10_000_000.0
HOUR, DAY = 3600, 86_400


def image(name, age_s, *names, by_others=False):
    return BuiltImage(name, names, by_others, NOW - age_s)


@pytest.mark.parametrize(
    ("images", "kept", "removed"),
    [
        ([image("a", HOUR), image("b", 2 * HOUR), image("c", 3 * HOUR)], 1, ["b", "c"]),
        ([image("a", HOUR), image("b", 2 * HOUR)], 2, []),
        ([image("just built", 60)], 0, []),
        ([image("being pushed", HOUR, "r/x:arriving-1")], 0, []),
        ([image("of a dead run", 3 * DAY, "kanvaro-built:1")], 0, ["of a dead run"]),
        ([image("a person's", 90 * DAY, by_others=True)], 0, []),
        ([image("a person's, too", 90 * DAY, "kanvaro-built:1", by_others=True)], 0, []),
        ([], 0, []),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_newest_images_stay_and_all_that_somebody_needs(images, kept, removed):
    assert [each.id for each in old_images(images, kept, NOW)] == removed


def test_a_cache_within_its_limit_is_left_alone():
    assert surplus([CachedFile("a", 60, 1), CachedFile("b", 40, 2)], 100) == []


def test_what_was_unused_for_longest_leaves_a_cache_that_is_too_large():
    files = [CachedFile(str(age), 10, age) for age in (5, 1, 3, 2, 4, 6)]

    assert [file.path for file in surplus(files, 50)] == ["1", "2"]
    assert len(surplus(files, 0)) == 6
