"""Hold pull requests from forks back from being started, as the environment's policy says."""

from prefect import get_client
from starlette.concurrency import run_in_threadpool

from blocks.environment import Environment
from delivery.github.events import Start
from delivery.github.forks import hold
from deployments.server.server_access import client_variables, speaking_by
from tasks.github.forks import tell_hold


async def hold_back(start: Start) -> str:
    """Return why a pull request from a fork does not run, once GitHub shows it; empty if it may.

    Without the policy, or if GitHub does not take the status, it raises, and nothing is started.
    """
    return await run_in_threadpool(_held, start)


def _held(start: Start) -> str:
    if start.fork is None:
        return ""
    with speaking_by(client_variables()):
        environment = Environment.named(_environment_of(start.deployment))
        if held := hold(environment.policy.forks, start.fork):
            tell_hold(environment, start.fork, held)
            return held.said
    return ""


def _environment_of(deployment: str) -> str:
    """Return the environment in which a run of this deployment would be started."""
    with get_client(sync_client=True) as client:
        return str(client.read_deployment_by_name(deployment).parameters["environment"])
