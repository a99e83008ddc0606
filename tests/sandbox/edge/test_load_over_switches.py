"""Real load over the public name while the traffic moves back and forth."""

import time

from sandbox.load import Load


def test_no_request_and_no_stream_fails_while_the_traffic_moves(edge, routes):
    stream = f"{edge.url}/stream/60/0.02"
    with Load(f"{edge.url}/api/health", 100, fresh_share=0.2, stream=stream) as load:
        for number in range(1, 7):
            colour = ("blue", "green")[number % 2]
            moved = time.time()
            routes.put(live=colour, next=colour)
            load.wait_until(
                lambda report, new=colour, since=moved: (
                    new in report.revisions and report.revisions[new].last > since + 0.2
                )
            )
    report = load.report
    assert report.failed == 0, report
    assert report.answered == report.due
    assert report.streams >= 1
    assert set(report.revisions) == {"blue", "green"}


def test_a_shift_by_share_reaches_some_viewers_and_leaves_the_others(edge, routes):
    routes.put(share=30)
    with Load(f"{edge.url}/api/health", 200, viewers=200) as load:
        load.wait_until(lambda report: report.answered >= 400)
    moved = load.report.revisions["green"].count / load.report.answered
    assert 0.15 < moved < 0.45
    assert load.report.failed == 0
