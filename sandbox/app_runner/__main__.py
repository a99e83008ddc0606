"""Run the App Runner emulator as a process, until SIGINT or SIGTERM."""

import argparse
import signal
import sys
import threading

from delivery.errors import DeliveryError
from sandbox.app_runner import AppRunner, Containers


def main() -> int:
    options = _options()
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    try:
        with AppRunner(
            Containers(options.registry, options.network, options.owner),
            port=options.port,
            time_scale=options.time_scale,
            account=options.account,
            region=options.region,
            aws_endpoint=options.aws_endpoint,
        ) as app_runner:
            sys.stdout.write(f"App Runner: {app_runner.url}\n")
            sys.stdout.flush()
            ending.wait()
    except DeliveryError as error:
        sys.stderr.write(f"{error} {error.hint}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"Port {options.port} cannot be used: {error.strerror}.\n")
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.app_runner", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--registry", default="127.0.0.1:4566", help="host:port of the registry that stands for ECR"
    )
    parser.add_argument("--network", default="kanvaro-sandbox", help="Docker network, if it exists")
    parser.add_argument(
        "--owner", help="stable name; a new emulator removes an earlier one's containers"
    )
    parser.add_argument(
        "--time-scale", type=float, default=0.01, help="1.0 takes minutes, like AWS"
    )
    parser.add_argument("--account", default="000000000000")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--aws-endpoint", help="for secrets, logs and metrics")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
