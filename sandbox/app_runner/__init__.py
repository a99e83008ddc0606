"""Emulate AWS App Runner on this machine, so that boto3 cannot tell it from the real one.

    with AppRunner(instances=Containers(registry="127.0.0.1:4566")) as app_runner:
        boto3.client("apprunner", endpoint_url=app_runner.url, ...)

Requests and answers are checked against botocore's service model. States, errors and rollbacks
follow App Runner's documentation; where it is silent, the module concerned names its assumption.
The emulator was never verified against a real account. Known differences: no TLS and no DNS
(`ServiceUrl` is `127.0.0.1:<port>`), no source-code services, no VPC, no custom domains, no scaling
beyond MinSize.
"""

from sandbox.app_runner.emulator import AppRunner
from sandbox.app_runner.errors import BrokenAnswer
from sandbox.app_runner.faults import CALL_FAULTS, OUTCOME_FAULTS, CallFaults
from sandbox.app_runner.instances.containers import Containers
from sandbox.app_runner.instances.programs import Program, Programs, digest_of

__all__ = [
    "CALL_FAULTS",
    "OUTCOME_FAULTS",
    "AppRunner",
    "BrokenAnswer",
    "CallFaults",
    "Containers",
    "Program",
    "Programs",
    "digest_of",
]
