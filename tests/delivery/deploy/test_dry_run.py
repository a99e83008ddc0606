import pytest

from delivery.deploy.dry_run import as_markdown, as_text, differences, dry_run
from delivery.deploy.snapshot import Snapshot
from delivery.platform.route import Colour, Route
from delivery.platform.service import Service

BLUE, GREEN = Colour.BLUE, Colour.GREEN
ROUTE = Route(7, 3, BLUE, BLUE, 0, 5, {BLUE: "blue.example"})


def settings(digest="new", **variables):
    return {
        "SourceConfiguration": {
            "ImageRepository": {
                "ImageIdentifier": f"registry/app@sha256:{digest}",
                "ImageConfiguration": {"RuntimeEnvironmentVariables": variables},
            }
        },
        "InstanceConfiguration": {"Cpu": "1 vCPU"},
    }


def service(status="RUNNING", **wanted):
    seen = settings(**wanted)
    image = seen["SourceConfiguration"]["ImageRepository"]["ImageIdentifier"]
    return Service("arn", status, "x.example", image, seen)


def calls(snapshot, steps=(100,), keep_warm_s=60, wanted=None):
    changes = dry_run(snapshot, wanted or settings(), steps, "a" * 40, keep_warm_s)
    told = [change.call for change in changes]
    assert told[:3] == (LEDGER if told else [])
    return [call.partition(":")[2] for call in told[3:]]


LEDGER = ["dynamodb:UpdateItem", "dynamodb:PutItem", "dynamodb:TransactWriteItems"]
SPLIT = Route(8, 3, BLUE, GREEN, 10, 8, {BLUE: "blue.example", GREEN: "green.example"})
SWITCH = ["PutKey", "PutKey", "UpdateDistribution", "PutItem", "PauseService"]


@pytest.mark.parametrize(
    ("route", "blue", "green", "expected"),
    [
        (None, None, None, ["CreateService", "PutKey", "UpdateDistribution", "PutItem"]),
        (ROUTE, service(digest="old"), None, ["CreateService", *SWITCH]),
        (ROUTE, service(digest="old"), service(digest="older"), ["UpdateService", *SWITCH]),
        (ROUTE, service(digest="old"), service(), SWITCH),
        (
            ROUTE,
            service(digest="old"),
            service("PAUSED", digest="older"),
            ["ResumeService", "UpdateService", *SWITCH],
        ),
        (ROUTE, service(digest="old"), service("PAUSED"), ["ResumeService", *SWITCH]),
        (ROUTE, service(), None, []),
        (
            None,
            service("RUNNING", digest="old"),
            None,
            ["UpdateService", "PutKey", "UpdateDistribution", "PutItem"],
        ),
    ],
    ids=[
        "nothing yet",
        "one colour",
        "an old version on the other",
        "brought up already",
        "paused",
        "paused with the very version",
        "live already",
        "never live, but there is a service",
    ],
)
def test_every_call_that_would_change_something_is_named_in_its_order(route, blue, green, expected):
    assert calls(Snapshot(route, {BLUE: blue, GREEN: green})) == expected


def test_each_step_is_a_write_with_before_and_after():
    snapshot = Snapshot(ROUTE, {BLUE: service(digest="old"), GREEN: None})
    changes = dry_run(snapshot, settings(), [10, 100], "a" * 40, 0)

    assert [(c.before, c.after) for c in changes if c.call.endswith("PutKey")] == [
        ("all on blue", "90 % on blue, 10 % on green"),
        ("90 % on blue, 10 % on green", "0 % on blue, 100 % on green"),
        ("0 % on blue, 100 % on green", "green is live"),
    ]
    assert changes[-1].target == "blue, at once"


def test_a_shift_that_was_left_half_done_is_put_back_first_unless_it_is_to_the_very_version():
    half_done = {BLUE: service(digest="old"), GREEN: service(digest="older")}
    assert calls(Snapshot(SPLIT, half_done)) == ["PutKey", "UpdateService", *SWITCH]

    assert calls(Snapshot(SPLIT, {BLUE: service(digest="old"), GREEN: service()})) == SWITCH


def test_without_a_distribution_no_default_origin_is_changed():
    snapshot = Snapshot(ROUTE, {BLUE: service(digest="old"), GREEN: None})
    changes = dry_run(snapshot, settings(), [100], "a" * 40, 0, has_default_origin=False)

    assert not [c for c in changes if c.call == "cloudfront:UpdateDistribution"]


def test_the_first_version_gets_all_the_traffic_at_once():
    snapshot = Snapshot(None, {BLUE: None, GREEN: None})

    assert calls(snapshot, steps=(10, 50, 100)).count("PutKey") == 1


def test_only_what_differs_is_named_and_a_variable_too_many_is_a_difference():
    seen, wanted = settings(A="1", B="2"), settings(A="3")

    found = differences(seen, wanted)

    place = "SourceConfiguration.ImageRepository.ImageConfiguration.RuntimeEnvironmentVariables"
    assert found == [(f"{place}.A", "1", "3"), (f"{place}.B", "2", "nothing")]
    assert differences(wanted, wanted) == []


def test_a_setting_that_differs_is_one_call_with_a_line_for_each():
    snapshot = Snapshot(ROUTE, {BLUE: service(digest="old"), GREEN: service(A="1")})
    changes = dry_run(snapshot, settings(A="2", B="3"), [100], "a" * 40, 60)

    assert [c.target.rpartition(".")[2] for c in changes if c.call.endswith("UpdateService")] == [
        "A",
        "B",
    ]


def test_a_forecast_is_shown_as_text_and_as_a_table():
    changes = dry_run(Snapshot(None, {BLUE: None, GREEN: None}), settings(), [100], "a" * 40, 60)

    assert "\napprunner:CreateService  blue\n    no service\n  → " in as_text(changes)
    assert as_markdown(changes).count("\n| apprunner:CreateService |") == 1
    assert as_text([]) == "nothing would be changed: it is live as it is"
    assert as_markdown([]).startswith("Nothing would be changed")
