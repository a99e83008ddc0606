"""Whatever a run logs, no terminal obeys it: neither the worker's nor that of `make ci`."""

import io
import logging

import pytest

from tasks.run_log import LOGGERS, filter_logs

BUILD = "Step 1/2 : RUN \x1b]52;c;cm0gLXJmIH4=\x07\x1b[2J\x1b[Hprintf\r✓ deployed"


@pytest.fixture(params=[*LOGGERS, "prefect.events.utilities"])
def run_log(request):
    """A logger of runs, and what a terminal is sent of it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger(request.param)
    logger.addHandler(handler)
    yield logger, stream
    logger.removeHandler(handler)


def test_what_docker_build_prints_reaches_a_terminal_as_words(run_log):
    logger, stream = run_log

    logger.warning("%s", BUILD)

    assert stream.getvalue() == "Step 1/2 : RUN printf✓ deployed\n"


def test_a_traceback_is_filtered_too(run_log):
    logger, stream = run_log
    try:
        raise ValueError(BUILD)
    except ValueError:
        logger.exception("Encountered exception during execution")

    assert "ValueError: Step 1/2 : RUN printf✓ deployed" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_percent_sign_of_a_program_is_no_format(run_log):
    logger, stream = run_log

    logger.warning("100 %% of %s", "50 %d")
    logger.warning("100 %d")

    assert stream.getvalue() == "100 % of 50 %d\n100 %d\n"


def test_records_of_others_keep_their_arguments():
    """The handlers of uvicorn want them."""
    filter_logs()
    filter_logs()
    make = logging.getLogRecordFactory()

    other = make("uvicorn.access", logging.INFO, "x.py", 1, "%s\x07", ("a",), None)
    ours = make("prefect.events.utilities", logging.INFO, "x.py", 1, "%s\x07", ("a",), None)

    assert (other.msg, other.args) == ("%s\x07", ("a",))
    assert (ours.msg, ours.args) == ("a", ())
