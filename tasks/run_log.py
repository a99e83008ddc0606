"""Let nothing into a log of Prefect that a terminal would obey, whoever wrote it.

The lines of a program are only some of what is logged: names of files, answers of servers and texts
of errors come from outside, too, and the worker's terminal shows them all.
"""

import logging
from typing import Any

from delivery.printable import printable

# Prefect's loggers that a run writes to.
LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
# All of Prefect's. Others keep their records as they are: uvicorn's handlers want the arguments.
FILTERED = "prefect"
_TRACEBACKS = logging.Formatter()
_make_record = logging.getLogRecordFactory()


def filter_logs() -> None:
    """Filter each record of Prefect's in this process as it is made; harmless to repeat.

    A filter of a logger would not meet what its children log, nor one of a handler what another
    handler sends to the server.
    """
    logging.setLogRecordFactory(_printable_record)


def _printable_record(name: str, *given: Any, **more: Any) -> logging.LogRecord:
    record = _make_record(name, *given, **more)
    if name.partition(".")[0] != FILTERED:
        return record
    try:
        record.msg, record.args = printable(record.getMessage()), ()
    except (TypeError, ValueError):
        # Its arguments do not fit: the handlers say so.
        return record
    if record.exc_info:
        record.exc_text = printable(_TRACEBACKS.formatException(record.exc_info))
    return record
