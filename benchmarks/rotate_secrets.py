"""Measure the cost of rotations, and the damage of interrupted ones.

It uses the tests' stand: Redis is real, MongoDB is the stand-in, App Runner runs programs.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.report import Measurement
from blocks.clients import calls
from tests.databases import throwaway_server
from tests.delivery.credentials.test_sessions import (
    INSTANCES,
    LIVES,
    ROTATIONS,
    TOKENS,
    fleet,
    lost_sessions,
    ours,
)
from tests.flows.conftest import Application
from tests.flows.deploy.moves import Moves
from tests.flows.rotation.mailing import Mail
from tests.flows.rotation.rotation_crashes import play_singles, world
from tests.flows.rotation.rotation_world import Databases, Rotating, strict_way
from tests.flows.stand import Stand


def rotating() -> list[Measurement]:
    """Return all figures about rotations."""
    with (
        throwaway_server(),
        Stand() as stand,
        strict_way(stand) as strict,
        Databases() as databases,
        Mail(stand) as mail,
        TemporaryDirectory() as folder,
    ):
        app = Application(Path(folder) / "app")

        def moves(**policy: float) -> Any:
            return Moves(stand, app, Path(folder), **policy)

        return [
            *_cost(moves, stand, strict, databases),
            *_crashes(moves, stand, strict, databases, mail),
            *_sessions(),
        ]


def _cost(moves: Any, *parts: Any) -> list[Measurement]:
    """Measure a rotation of both secrets of two running services."""
    env = moves(healthy_answers=2)
    secrets = Rotating(*parts, env.environment)
    env.serve(env.publish(), env.publish())
    calls.clear()
    began = time.monotonic()
    secrets.ok()
    seconds = time.monotonic() - began
    most = ", ".join(f"{name.split(':')[1]} {count}" for name, count in calls.most_common(5))
    return [
        Measurement("rotation_s", seconds, "two secrets, two services restarted", unit="s"),
        Measurement("rotation_aws_calls", calls.total(), f"where they leave botocore: {most}"),
    ]


def _crashes(*parts: Any) -> list[Measurement]:
    """Kill a rotation after each of its changes, and let the next run finish it."""
    with world(*parts) as made:
        result = play_singles(made)
    how = f"killed after each of {result.changes} changes; make proof kills twice, too"
    return [
        Measurement("rotation_crash_schedules", result.schedules, how),
        Measurement("rotation_violations", len(result.violations), how, goal=0),
    ]


def _sessions() -> list[Measurement]:
    """Simulate sessions over six weekly rotations with rolling restarts, one instance at a time."""
    lives = {"access": LIVES.access_s, "refresh": LIVES.refresh_s}
    lost = sum(lost_sessions(fleet(ours), life_s, kind) for kind, life_s in lives.items())
    how = f"of {len(lives) * TOKENS}; {ROTATIONS} rotations, {INSTANCES} instances, simulated"
    return [Measurement("rotation_sessions_lost", lost, how, goal=0)]
