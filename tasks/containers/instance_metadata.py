"""Refuse to run the application's code where the machine's own credentials answer a container.

On EC2 whatever reaches the instance metadata may act in the role of the machine. A container is one
hop further away than the machine, so that a hop limit of 1 keeps the token of version 2 from it:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html
"""

import hashlib
import time
from pathlib import Path

from docker import DockerClient

from blocks.environment import Environment
from delivery.errors import ConfigurationError
from tasks.containers.captured_output import ProgramOutcome

# A worker looks once; a machine that is changed meanwhile is noticed a day later.
LOOK_AGAIN_S = 86_400
TIMEOUT_MS = 1500
TIMEOUT_S = 60
ANSWERS = 7
# Version 2 gives a token for a PUT; version 1 answers a GET without any.
PROBE = f"""
const ask = (method, path, headers) => fetch(process.argv[1] + path, {{
  method, headers, redirect: 'manual', signal: AbortSignal.timeout({TIMEOUT_MS}),
}}).then((answer) => answer.status === 200, () => false);
Promise.all([
  ask('PUT', '/latest/api/token', {{ 'X-aws-ec2-metadata-token-ttl-seconds': '60' }}),
  ask('GET', '/latest/meta-data/', {{}}),
]).then((answers) => process.exit(answers.includes(true) ? {ANSWERS} : 0));
"""


def argv_of_probe(address: str) -> tuple[str, ...]:
    """Return the command line that ends with `ANSWERS` where metadata answers at `address`."""
    return ("node", "-e", PROBE, address)


def looked_lately(environment: Environment, client: DockerClient) -> bool:
    """Return whether this worker has looked within a day, and found that nothing answers."""
    mark = _mark(environment, client)
    return mark.exists() and 0 <= time.time() - mark.stat().st_mtime < LOOK_AGAIN_S


def require_no_answer(
    environment: Environment, client: DockerClient, probed: ProgramOutcome
) -> None:
    """Remember that nothing answered. Raises `ConfigurationError` if something did or may have."""
    if probed.exit_code == ANSWERS:
        raise ConfigurationError(
            f"the instance metadata at {environment.metadata_address} answers a container, so that "
            "any check could act in the role of this machine",
            hint="Close it: `aws ec2 modify-instance-metadata-options --http-tokens required "
            "--http-put-response-hop-limit 1 --instance-id …`; then run again.",
        )
    if not probed.passed:
        last = probed.last_lines[-1] if probed.last_lines else f"exit code {probed.exit_code}"
        raise ConfigurationError(
            f"whether instance metadata answers a container was not seen: {last[:200]}",
            hint="The image of the checks needs `node`; look at the engine, then run again.",
        )
    _mark(environment, client).touch(mode=0o600)


def _mark(environment: Environment, client: DockerClient) -> Path:
    """Return the file that remembers a look, of this engine and this address."""
    about = f"{client.api.base_url} {environment.metadata_address}"
    name = hashlib.sha256(about.encode()).hexdigest()[:16]
    return environment.data_dir / f"no-metadata-{name}"
