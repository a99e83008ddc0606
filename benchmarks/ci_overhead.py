"""Measure what the flow adds to the commands it runs.

`ci_wall_s` is the life of the flow run's process, from its start by the worker until it is gone:
imports, loading the environment, every step and message, and the clean-up. It excludes the time
until the worker finds the run. `plain_wall_s` is the life of `make -j2 --file plain.mk`.

Both have warm npm packages and image layers; neither has a cached result or a build of its
revision. Each deploys, by an update, to a service that already runs the trivial application. The
flow goes first, so that whatever is still cold counts against it.

The fixed part is what the flow adds on a trivial application, whose checks take no time: its wall
time minus that of make on the same application, so that starting npm and containers, which make
does as well, does not count.
"""

from statistics import median
from uuid import uuid4

from benchmarks.flow_runs import CI, Timed, timed_run
from benchmarks.plain import timed_plain
from benchmarks.report import Measurement
from benchmarks.stage import SAMPLE, TRIVIAL, Stage
from sandbox.parts.sample import Sample

TIMES = 3


def fixed_overhead(stage: Stage) -> tuple[float, list[Measurement]]:
    """Return the fixed part in seconds; each run has a new revision without cached results."""
    ours, theirs = [], []
    for number in range(TIMES):
        _new_revision(stage.trivial)
        ours.append(ci(stage, TRIVIAL).seconds)
        _new_revision(stage.trivial)
        theirs.append(timed_plain(stage, stage.trivial, f"trivial-{number}"))
    fixed = max(median(ours) - median(theirs), 0.0)
    how = f"trivial application, medians of {TIMES}: ci {median(ours):.1f} s, "
    how += f"make {median(theirs):.1f} s; the difference"
    return fixed, [Measurement("ci_fixed_overhead_s", fixed, how, goal=5.0, unit="s")]


def overhead(stage: Stage, fixed: float) -> tuple[Timed, list[Measurement]]:
    """Run the sample application; return the first run, and the figures of it and of make."""
    _new_revision(stage.sample)
    run = ci(stage, SAMPLE)
    rerun = ci(stage, SAMPLE)
    _new_revision(stage.sample)
    plain = timed_plain(stage, stage.sample, "sample")
    return run, [
        Measurement(
            "ci_overhead_ratio",
            (run.seconds - fixed) / plain,
            "(ci_wall_s - ci_fixed_overhead_s) / plain_wall_s",
            goal=1.05,
        ),
        Measurement(
            "ci_wall_s",
            run.seconds,
            "sample application, first run: life of the flow run's process",
            unit="s",
        ),
        Measurement(
            "plain_wall_s", plain, "the same commands by `make -j2 --file plain.mk`", unit="s"
        ),
        Measurement(
            "unchanged_rerun_ratio",
            rerun.seconds / run.seconds,
            f"the same revision again, {rerun.seconds:.1f} s, over ci_wall_s",
            goal=0.10,
        ),
    ]


def ci(stage: Stage, environment: str) -> Timed:
    """Run the flow on the newest revision of the environment's application."""
    application = stage.trivial if environment == TRIVIAL else stage.sample
    parameters = {"revision": application.revision, "environment": environment}
    return timed_run(stage.client, CI, parameters)


def _new_revision(application: Sample) -> None:
    """Commit a revision that was never built on this machine, since the engine caches builds."""
    application.commit({"README.md": f"# Revision {uuid4()}\n"}, "Say which revision it is")
