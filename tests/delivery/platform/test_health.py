from delivery.platform.health import HealthAnswer, good_in_a_row

NEW, OLD = "b" * 40, "a" * 40


def answers(*seen):
    return [HealthAnswer(status, revision, 1.0) for status, revision in seen]


def test_only_ready_answers_of_the_revision_count():
    assert good_in_a_row(answers((200, NEW), (200, NEW)), NEW) == 2
    assert good_in_a_row(answers((200, OLD), (200, OLD)), NEW) == 0
    assert good_in_a_row(answers((503, NEW)), NEW) == 0
    assert good_in_a_row(answers((200, None)), NEW) == 0
    assert good_in_a_row([], NEW) == 0


def test_one_answer_of_the_old_version_starts_the_count_anew():
    assert good_in_a_row(answers((200, NEW), (200, OLD), (200, NEW)), NEW) == 1


def test_an_answer_says_what_it_was():
    assert str(HealthAnswer(200, NEW, 1)) == "200 from revision bbbbbbbbbb"
    assert str(HealthAnswer(0, None, 1, "ConnectError")) == "no answer (ConnectError)"
    assert str(HealthAnswer(503, None, 1, "not ready: redis")) == (
        "503 from revision unknown (not ready: redis)"
    )
