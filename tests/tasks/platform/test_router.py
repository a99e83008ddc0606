"""The route is written exactly once, or it is said what stands there instead."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from delivery.errors import ConfigurationError, Fenced, OutcomeUnknown
from delivery.platform.route import Colour, first_route, promoted, put_back, shifted, swapped
from tasks.platform.cloudfront import ROUTE_KEY
from tasks.platform.routing import router_of, write_route
from tests.tasks.account import environment_in, lose_answers, refuse

STORE = "cloudfront-keyvaluestore"


@pytest.fixture
def environment(aws, distribution):
    return environment_in(aws, distribution)


@pytest.fixture
def router(environment):
    return router_of(environment)


@pytest.fixture
def seen(environment, router):
    return write_route(environment, router.read(), first_route(Colour.BLUE, "blue.example", 1))


def test_where_nothing_was_live_there_is_no_route(router):
    assert router.read().route is None


def test_what_is_written_is_read(environment, router, seen):
    wanted = shifted(seen.route, 10, "green.example", 2)

    now = write_route(environment, seen, wanted)

    assert now.route == wanted
    assert router.read() == now


def test_a_lost_answer_is_one_write(environment, router, seen):
    wanted = swapped(seen.route, "green.example", 2)
    lose_answers(environment.sending_once(STORE), "PutKey")

    now = write_route(environment, seen, wanted)

    assert now == router.read()
    assert now.route == wanted


def test_a_request_that_never_arrived_is_sent_again(environment, router, seen):
    wanted = swapped(seen.route, "green.example", 2)
    left = [2]

    def lose(request, **_):
        if left[0]:
            left[0] -= 1
            raise EndpointConnectionError(endpoint_url=request.url)

    environment.sending_once(STORE).meta.events.register_first(f"before-send.{STORE}.PutKey", lose)

    assert write_route(environment, seen, wanted).route == wanted
    assert not left[0]


def test_a_change_of_another_key_in_the_store_is_no_conflict(environment, seen, aws):
    """One ETag stands for the whole store, which other environments may share."""
    client = aws.client(STORE)
    client.put_key(
        KvsARN=environment.router.route_store,
        Key="another",
        Value="x",
        IfMatch=client.describe_key_value_store(KvsARN=environment.router.route_store)["ETag"],
    )
    wanted = swapped(seen.route, "green.example", 2)

    assert write_route(environment, seen, wanted).route == wanted


def test_a_route_that_a_later_lock_wrote_is_left_alone(environment, router, seen):
    theirs = write_route(environment, seen, swapped(seen.route, "green.example", 5))

    with pytest.raises(Fenced, match="lock 5, and ours is 2"):
        write_route(environment, seen, put_back(seen.route, 2))

    assert router.read() == theirs


def test_a_route_that_somebody_else_wrote_is_not_written_over(environment, router, seen):
    by_hand = write_route(environment, seen, swapped(seen.route, "green.example", 1))

    with pytest.raises(OutcomeUnknown, match="it says “all on green”"):
        write_route(environment, seen, shifted(seen.route, 10, "green.example", 2))

    assert router.read() == by_hand


def test_what_is_never_accepted_ends_with_what_was_said_last(environment, router, seen):
    gone = EndpointConnectionError(endpoint_url="http://nowhere")
    refuse(environment.sending_once(STORE), "PutKey", gone)

    with pytest.raises(OutcomeUnknown, match="nowhere") as raised:
        write_route(environment, seen, swapped(seen.route, "green.example", 2))

    assert "Run again" in raised.value.hint
    assert router.read() == seen


STALE = [
    ("ConflictException", "the store has changed"),
    ("ValidationException", "Pre-Condition failed"),
    ("ValidationException", "PreconditionFailed: the ETag is another"),
]


def refused_once(environment, code, message):
    """Let the next write be refused with this error; return the list of those that were."""
    refused = []

    def refuse_it(request, **_):
        if not refused:
            refused.append(code)
            answer = {"Error": {"Code": code, "Message": message}}
            raise ClientError({**answer, "ResponseMetadata": {"HTTPStatusCode": 400}}, "PutKey")

    client = environment.sending_once(STORE)
    client.meta.events.register_first(f"before-send.{STORE}.PutKey", refuse_it)
    return refused


@pytest.mark.parametrize(("code", "message"), STALE)
def test_an_etag_that_is_stale_is_read_again_whatever_aws_calls_it(
    environment, seen, code, message
):
    refused = refused_once(environment, code, message)
    wanted = swapped(seen.route, "green.example", 2)

    assert write_route(environment, seen, wanted).route == wanted
    assert refused == [code]


def test_a_document_that_is_not_valid_is_no_stale_etag(environment, router, seen):
    refused_once(environment, "ValidationException", "The value is too long.")

    with pytest.raises(ClientError):
        write_route(environment, seen, swapped(seen.route, "green.example", 2))

    assert router.read() == seen


def test_a_refusal_is_not_repeated(environment, router, seen):
    asked = []

    def deny(request, **_):
        asked.append(request)
        said = {"Error": {"Code": "AccessDeniedException"}}
        raise ClientError({**said, "ResponseMetadata": {"HTTPStatusCode": 403}}, "PutKey")

    environment.sending_once(STORE).meta.events.register_first(f"before-send.{STORE}.PutKey", deny)
    with pytest.raises(ClientError):
        write_route(environment, seen, swapped(seen.route, "green.example", 2))

    assert len(asked) == 1
    assert router.read() == seen


def test_a_document_that_is_not_ours_is_not_taken_for_an_empty_store(environment, router, aws):
    client = aws.client(STORE)
    store = environment.router.route_store
    client.put_key(
        KvsARN=store,
        Key=ROUTE_KEY,
        Value="all to blue, please",
        IfMatch=client.describe_key_value_store(KvsARN=store)["ETag"],
    )

    with pytest.raises(ConfigurationError, match="this pipeline did not write the route document"):
        router.read()


def test_the_default_origin_follows_and_is_written_only_if_it_differs(environment, router, aws):
    def origin():
        client = aws.client("cloudfront")
        found = client.get_distribution_config(Id=environment.router.distribution)
        configuration = found["DistributionConfig"]
        wanted = configuration["DefaultCacheBehavior"]["TargetOriginId"]
        [one] = [each for each in configuration["Origins"]["Items"] if each["Id"] == wanted]
        return one, found["ETag"]

    assert router.set_default_origin("green.example:8080", lambda: None)
    one, etag = origin()
    assert one["DomainName"] == "green.example"
    assert one["CustomOriginConfig"]["HTTPPort"] == 8080

    assert not router.set_default_origin("green.example:8080", lambda: None)

    assert origin()[1] == etag


def test_whoever_lost_its_lock_does_not_lead_the_default_origin_back(environment, router, aws):
    """A run that was taken for dead wakes up between reading and writing."""

    def lost():
        raise Fenced("we lost the deploy lock")

    router.set_default_origin("green.example:8080", lambda: None)
    with pytest.raises(Fenced):
        router.set_default_origin("blue.example:8080", lost)

    assert not router.set_default_origin("green.example:8080", lambda: None)


def test_an_environment_without_a_router_has_no_colours(aws):
    with pytest.raises(ConfigurationError, match="no router"):
        router_of(environment_in(aws))


def test_a_route_of_a_later_lock_is_never_written_over_however_fresh_it_was_read(
    environment, router, seen
):
    """A run that was taken for dead and wakes up reads the newest ETag like anybody else."""
    later = write_route(environment, seen, shifted(seen.route, 100, "green.example", 6))

    with pytest.raises(Fenced):
        write_route(environment, later, put_back(later.route, 5))

    assert router.read() == later


def test_when_the_traffic_moved_is_on_record_and_a_promotion_moves_none(environment, router, seen):
    moved = write_route(environment, seen, shifted(seen.route, 100, "green.example", 1)).route.moved

    live = write_route(environment, router.read(), promoted(router.read().route, 1))

    assert moved > seen.route.moved > 0
    assert router.read().route.moved == live.route.moved == moved
