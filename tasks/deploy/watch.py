"""The watch judges a version that has traffic by our probes, CloudWatch's figures and alarms."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

from httpx import HTTPError
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

from delivery.deploy.canary_analysis import (
    CanaryLimits,
    Judgement,
    Traffic,
    Verdict,
    bad_in_a_row,
    judge,
)
from delivery.deploy.snapshot import Snapshot
from delivery.errors import NeverBecameHealthy, RequestRefused, TimedOut, Unreachable
from delivery.patience import Patience, wait_until
from delivery.platform.health import HealthAnswer
from delivery.platform.public_share import looks_for, proves, tally
from delivery.platform.route import Route
from tasks import fact
from tasks.aws_errors import translate_aws_errors
from tasks.platform.health import ask
from tasks.platform.metrics import read_traffic, ringing
from tasks.platform.versions import Version
from tasks.run.lock import DeployLock

# App Runner's figures come by the minute: asking more often tells nothing new.
FIGURES_EVERY_S = 15
# What the old version met before the shift is what the new one is compared with.
BASELINE = timedelta(minutes=15)
VIEWER = "kanvaro-viewer"  # the cookie by which deployments/aws/route.js tells viewers apart


@fact("do {share} of 100 users of {lock.environment.name} meet {version}?")
def await_share(lock: DeployLock, version: Version, share: int) -> str:
    """Wait until the public name answers with the version as often as it should, as new viewers.

    Each look has a connection and a viewer of its own, so that it may come to another edge.
    Raises `NeverBecameHealthy` with a tally of the answers.
    """
    environment = lock.environment
    policy = environment.policy
    url = f"{public_address(lock)}{policy.readiness_path}"
    expected = version.revision if policy.answers_revision else None
    count = looks_for(share, policy.public_answers)
    answers: list[HealthAnswer] = []

    def look_often() -> str:
        lock.ensure_held()
        answers.append(ask(url, cookies={VIEWER: uuid4().hex[:16]}))
        return tally(answers[-count:])

    pause = min(policy.answer_interval_s, policy.switch_timeout_s / (4 * count))
    try:
        return wait_until(
            look_often,
            lambda _: proves(answers, expected, share, count),
            Patience(policy.switch_timeout_s, pause),
            what=f"{share} % of {version} at {url}",
        )
    except TimedOut as error:
        raise NeverBecameHealthy(str(error)) from None


@fact("do alarms of {lock.environment.name} ring already?")
def require_silent_alarms(lock: DeployLock) -> None:
    """Return if none of the policy's alarms rings; asked before users meet anything new.

    Raises `RequestRefused` where one does: nobody could tell afterwards who made it ring.
    """
    with translate_aws_errors("ask for the alarms"):
        if rings := _alarms(lock):
            raise RequestRefused(
                f"alarms ring already, before anything was shifted: {', '.join(rings)}",
                hint="Find out why, then run again. `rollback` is not held up by alarms.",
            )


@fact("is {version} well with {share} % of the traffic, for {seconds:g} s?")
def watch(
    lock: DeployLock,
    snapshot: Snapshot,
    version: Version,
    route: Route,
    share: int,
    seconds: float,
    since: datetime,
) -> Judgement:
    """Watch the new version for a while, and judge it.

    `since` is when the first period began whose figures are users'. Ends at once where it is
    certainly sick. Raises what the lock says: `AbortedByRollback`, `Fenced`.
    """
    environment = lock.environment
    policy, log = environment.policy, get_run_logger()
    colour = route.next if route.is_shifting else route.live
    limits = CanaryLimits(policy.fewest_requests, policy.more_errors, policy.slower, policy.slow_ms)
    url = f"{environment.service_scheme}://{route.hosts[colour]}{policy.readiness_path}"
    services = [snapshot.services[colour], snapshot.services[colour.other]]
    probes: list[HealthAnswer] = []

    def judged() -> Judgement:
        with translate_aws_errors("read the figures of the shift"):
            new, old = read_traffic(environment, services, [since, since - BASELINE])
            return judge(new, old, probes, _alarms(lock), limits)

    judgement = Judgement(Verdict.TOO_FEW, "nothing was seen yet")
    for figures_are_due in _ticks(policy.probe_interval_s, seconds, f"watching {share} %"):
        lock.ensure_held()
        probes.append(_as_expected(ask(url), version, policy.answers_revision))
        if figures_are_due or bad_in_a_row(probes):
            try:
                judgement = judged()
            except Unreachable as error:  # the figures must come at the end
                log.warning("no figures this time: %s", error)
                judgement = judge(Traffic(), Traffic(), probes, (), limits)
            log.info("%s", judgement)
        if judgement.verdict is Verdict.SICK:
            return judgement
    return judged()


def public_address(lock: DeployLock) -> str:
    return (lock.environment.public_address or "").rstrip("/")


def _alarms(lock: DeployLock) -> list[str]:
    """Return the alarms that ring; a rollback ignores them, since they may be its reason."""
    return [] if lock.is_rollback else ringing(lock.environment)


def _as_expected(answer: HealthAnswer, version: Version, says_revision: bool) -> HealthAnswer:
    """Return the answer, marked as bad if another revision than expected gave it."""
    if not says_revision or not answer.is_ready or answer.is_from(version.revision):
        return answer
    return HealthAnswer(0, answer.revision, answer.milliseconds, f"{answer}, not {version}")


def _ticks(interval: float, seconds: float, what: str) -> Iterator[bool]:
    """Yield once for each probe, true when CloudWatch is due, and show the progress."""
    began = time.monotonic()
    asked, shown = began, 0.0
    progress = _progress_bar(what)
    while (passed := time.monotonic() - began) < seconds:
        is_due = time.monotonic() - asked >= FIGURES_EVERY_S
        asked = time.monotonic() if is_due else asked
        yield is_due
        if passed / seconds >= shown + 0.1:
            shown = passed / seconds
            _show(progress, min(shown, 1.0))
        time.sleep(interval)
    _show(progress, 1.0)


def _progress_bar(what: str) -> UUID | None:
    """Make a progress bar; None if Prefect does not answer, which is no reason to go back."""
    try:
        return cast(UUID, create_progress_artifact(progress=0.0, description=what))
    except (HTTPError, PrefectException):
        return None


def _show(progress: UUID | None, share: float) -> None:
    if progress:
        with suppress(HTTPError, PrefectException):
            update_progress_artifact(artifact_id=progress, progress=round(100 * share, 1))
