"""Run fifty pipelines at once: on their own, or each as a flow run whose steps are task runs.

    python -m benchmarks.fifty plain | prefect      prints the seconds from the first to the last

A pipeline is five steps, one after the other; a step is a program that takes four seconds and no
processor time, like a check that waits for a database or a browser. So everything beyond twenty
seconds is overhead. Both ways run all fifty in one process; the start of an interpreter for each
run is not included (`flow_start_ratio` measures it).
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from prefect import flow, task

PIPELINES = 50
STEPS = 5
SECONDS_OF_A_STEP = 4


async def step() -> None:
    """Run the program and wait for it."""
    program = await asyncio.create_subprocess_exec("sleep", str(SECONDS_OF_A_STEP))
    if await program.wait():
        raise RuntimeError("a step failed")


async def plain_pipeline() -> None:
    for _ in range(STEPS):
        await step()


@task(name="step")
async def run_step() -> None:
    await step()


@flow(name="fifty")
async def pipeline() -> None:
    for _ in range(STEPS):
        await run_step()


async def timed(run: Callable[[], Awaitable[None]]) -> float:
    began = time.monotonic()
    # A failure does not end the others; the server is asked how many completed.
    await asyncio.gather(*(run() for _ in range(PIPELINES)), return_exceptions=True)
    return time.monotonic() - began


if __name__ == "__main__":
    print(asyncio.run(timed(pipeline if sys.argv[1] == "prefect" else plain_pipeline)))
