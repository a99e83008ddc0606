"""Let nothing into the log of a run that a terminal would obey, whoever wrote it.

The lines of a program are only some of what is logged: names of files, answers of servers and texts
of errors come from outside, too, and the worker's terminal shows them all.
"""

import logging

from delivery.printable import printable

# Those of Prefect's loggers that a run writes to.
LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
_TRACEBACKS = logging.Formatter()


class PrintableLines(logging.Filter):
    """Replaces the message of each record, and the text of its exception, by what may be shown."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            record.msg, record.args = printable(record.getMessage()), ()
        except (TypeError, ValueError):
            # Its arguments do not fit: the handlers say so.
            return True
        if record.exc_info and not record.exc_text:
            record.exc_text = printable(_TRACEBACKS.formatException(record.exc_info))
        return True


def filter_run_logs() -> None:
    """Filter what runs log in this process from now on; harmless to repeat."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, PrintableLines) for each in logger.filters):
            logger.addFilter(PrintableLines())
