"""Send load from a terminal and print a report: python -m sandbox.load URL --seconds 10.

The exit code is 1 if a request failed. Ctrl-C ends it early.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence

from sandbox.load.generator import Generator
from sandbox.load.load_profile import LoadProfile
from sandbox.load.report import Report


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    if chosen.driven:
        asyncio.run(_driven(LoadProfile(**json.loads(chosen.url))))
        return 0
    try:
        profile = LoadProfile(
            chosen.url,
            rate=chosen.rate,
            seconds=chosen.seconds,
            fresh_share=chosen.fresh_share,
            viewers=chosen.viewers,
            patience_s=chosen.patience,
            revision_field=chosen.revision_field,
            revision_header=chosen.revision_header,
            stream=chosen.stream,
            stream_end=chosen.stream_end,
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    report = asyncio.run(_alone(profile))
    print(json.dumps(report.written()) if chosen.json else report)
    return 1 if report.failed else 0


def _parser() -> argparse.ArgumentParser:
    usual = LoadProfile("")
    parser = argparse.ArgumentParser(prog="python -m sandbox.load", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=usual.rate, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument(
        "--fresh-share",
        type=float,
        default=usual.fresh_share,
        help="share of new connections, 0 to 1",
    )
    parser.add_argument(
        "--viewers", type=int, default=usual.viewers, help="number of different browsers"
    )
    parser.add_argument(
        "--patience", type=float, default=usual.patience_s, help="seconds a request may take"
    )
    parser.add_argument(
        "--revision-field",
        default=usual.revision_field,
        help="field of the JSON body with the revision",
    )
    parser.add_argument(
        "--revision-header", default="", help="header with the revision, instead of the field"
    )
    parser.add_argument("--stream", default="", help="URL of a long answer to read repeatedly")
    parser.add_argument("--stream-end", default="", help="text that it must end with")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--driven", action="store_true", help=argparse.SUPPRESS)
    return parser


async def _alone(profile: LoadProfile) -> Report:
    stop, generator = asyncio.Event(), Generator(profile)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await generator.run(stop)
    return generator.report()


async def _driven(profile: LoadProfile) -> None:
    """Print a report at the start, for each line of standard input, and after the load."""
    stop, generator = asyncio.Event(), Generator(profile)

    def print_report() -> None:
        print(json.dumps(generator.report().written()), flush=True)

    async def listen() -> None:
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while await lines.readline():
            print_report()
        stop.set()

    listening = asyncio.create_task(listen())
    await generator.run(stop, started=print_report)
    # The load may have ended long before the last report is requested.
    await listening
    print_report()


if __name__ == "__main__":
    sys.exit(main())
