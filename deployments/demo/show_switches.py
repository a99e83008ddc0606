"""Move the traffic in the demonstration, forth and back, while users send requests."""

import json
import time

import httpx

from delivery.errors import RolloutFailed
from deployments.demo.chapters import begin
from deployments.demo.command_line import CommandLine
from sandbox.addresses import Addresses
from sandbox.load import Load, Sessions
from sandbox.parts.sample import Sample

# Requests per second, and seconds that one may take: two processors also check, build and deploy.
RATE, PATIENCE_S = 20.0, 30.0


def _without_long_checks(why: str) -> str:
    """Return a delivery.toml that skips the checks that need npm packages, for the reason `why`."""
    checks = ("lint", "format", "types", "unit", "integration", "coverage", "e2e")
    return "".join(f'[checks.{name}]\nskip = "{why}"\n\n' for name in checks)


# The previous version has shown these checks, which take minutes on two processors.
NEWER = {
    "public/humans.txt": "Ada Sample\n",
    "delivery.toml": _without_long_checks("the demonstration has just shown it"),
}
HEALTH = "src/app/api/health/route.ts"
# It starts and answers, but as not ready, so only the health check can notice.
BAD = {
    HEALTH: """import { REVISION } from '@/server/revision';

export const dynamic = 'force-dynamic';

export function GET(): Response {
  return Response.json({ status: 'not ready', revision: REVISION }, { status: 503 });
}
""",
    "delivery.toml": _without_long_checks("we are in a hurry"),
}


def show_switches(line: CommandLine, sample: Sample, addresses: Addresses) -> tuple[str, str]:
    """Deploy a bad version and its repair, roll that back and rotate, while users send requests.

    Return the figures, and the version that was rolled back.
    """
    good = sample.revision
    print(f"from here on {RATE:g} users per second visit {addresses.public}\n")
    url = f"{addresses.public}/api/health/live"
    with Load(url, rate=RATE, patience_s=PATIENCE_S) as load:
        begin("a bad version")
        healthy = (sample.folder / HEALTH).read_text()
        bad = sample.commit(BAD, "Answer as not ready")
        line.run("ci/kanvaro", expected="Failed", revision=bad)
        show_live(good, addresses)
        begin("its repair, and back again")
        newer = sample.commit({HEALTH: healthy, **NEWER}, "Answer again; the team signs its work")
        line.run("ci/kanvaro", revision=newer)
        show_live(newer, addresses)
        started = time.time()
        line.run("rollback/production", reason="The demonstration goes back", target_version=good)
        show_live(good, addresses)
        seen = load.report.revisions
        seconds = max(seen[newer].last - started, 0)
        print(
            f"all users were back on {good[:10]} after {seconds:.1f} s, "
            "including the start of the run\n"
        )
        begin("secrets are rotated")
        rotated = show_rotation(line, addresses)
    report = load.report
    print(f"{report}\n")
    if report.failed or bad in report.revisions:
        raise RolloutFailed(f"{report.failed} requests failed, or users met {bad[:10]}")
    figures = (
        f"back from {newer[:10]} in {seconds:.1f} s; no user met {bad[:10]}; "
        f"{report.failed} of {report.due} requests failed; {rotated}"
    )
    return figures, newer


def show_rotation(line: CommandLine, addresses: Addresses) -> str:
    """Rotate the secrets of the running services while signed-in users keep working."""
    with Sessions(addresses.public) as sessions:
        signed_in = sessions.users
        line.run("rotate-secrets/production", reason="The demonstration rotates")
        sessions.wait_for(
            sessions.users
        )  # one more request from each of them, with the new secrets
    answer = httpx.get(f"{addresses.public}/api/health", timeout=10).json()
    print(f"secrets in use now: {json.dumps(answer['secrets'])}")
    refusals = (
        f"{sum(sessions.refused.values())} of {sessions.requests} requests of signed-in users "
        "refused while secrets were rotated"
    )
    print(
        f"{signed_in} users had signed in before, {sessions.users - signed_in} since; {refusals}\n"
    )
    if sessions.refused:
        raise RolloutFailed(f"{refusals}: {dict(sessions.refused)}")
    return refusals


def show_live(revision: str, addresses: Addresses) -> str:
    """Check by its public name which revision is live; raises `RolloutFailed` if another is."""
    url = f"{addresses.public}/api/health"
    answer = httpx.get(url, timeout=10).json()
    if answer.get("revision") != revision:
        raise RolloutFailed(f"{url} answers {answer}, not {revision}")
    print(f"live now: {url} answers {json.dumps(answer)}\n")
    return f"revision {revision[:10]} live"
