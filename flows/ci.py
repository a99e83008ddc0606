"""
Take a commit through every check and, on the deploy branch, to the users.

    check out ─ plan ─ install ─┬ lint ─┬ format ──────┬ types ────┬ security ┐
                                ├ unit ─┼ integration ─┼ coverage ─┼ e2e ─────┤
                                └───────┴──────────────┴───────────┴──────────┴─ all passed ─┐
    announce ◀─ put it live, as `blue-green` does ◀─ push to ECR ◀─ build the image ◀────────┘

Nothing is changed before every check has passed, and the old version serves until the new one
is proven beside it. An ancestor of the live revision is refused: `rollback` goes back.
"""

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from blocks.parameters import Ref, Registered, Repository, Revision
from flows.blue_green import put_live
from tasks.checks.plan import as_planned, plan_checks
from tasks.checks.runner import install_unless_proven
from tasks.checks.side_by_side import run_checks
from tasks.deploy.conclusion import (
    conclude_checked,
    conclude_deployed,
    tell_failure,
    why_not_deployed,
)
from tasks.deploy.downgrade import require_no_downgrade
from tasks.deploy.smoke import checkout_of_checks
from tasks.platform.image_build import build_image
from tasks.platform.images import find_image, push_image
from tasks.platform.versions import record_proof
from tasks.run.announce import announce_checks, announce_start
from tasks.run.hooks import on_bad_end
from tasks.run.lock import deploy_lock
from tasks.workspace.repository import check_out
from tasks.workspace.workspace import open_workspace


@flow(name="ci", flow_run_name="{revision:.10} of {ref}", **on_bad_end(tell_failure))
def ci(
    revision: Revision = Field(description="Commit to check: its SHA, 7 to 40 digits."),
    ref: Ref = Field(
        default="refs/heads/main",
        description="Branch or tag the commit is on. Only the deploy branch is deployed.",
    ),
    repository: Repository = Field(
        default="",
        description="Git URL or path, without a password; empty: the environment's.",
    ),
    environment: Registered = Field(default="production", description="A registered environment."),
) -> str:
    """Check a commit; on the deploy branch also build, deploy, prove and announce it."""
    env = Environment.named(environment)
    with open_workspace(env) as workspace:
        source = check_out(env, workspace, repository, revision, ref)
        announce_start(env, source)
        plan = plan_checks(env, source)
        env = as_planned(env, plan)
        if not (why := why_not_deployed(env, source, plan)):
            require_no_downgrade(env, workspace, source)
        installed = install_unless_proven(env, source, workspace, plan)
        reports = run_checks(env, source, workspace, plan)
        if why:
            conclude_checked(env, source, plan, why)
            return f"{source.revision} passed its checks; {why}"
        announce_checks(env, source, reports)
        image = find_image(env, source)
        if image is None:
            built = build_image(env, source, workspace, plan)
            plan = built.noted_in(plan)
            image = push_image(env, source, built.id)
        version = record_proof(env, source, plan, image)
        with deploy_lock(env, "deploy", str(version), source.subject) as lock:
            require_no_downgrade(env, workspace, source)
            checkout = checkout_of_checks(env, source, workspace, plan, installed)
            live = put_live(lock, version, checkout)
    conclude_deployed(env, source, plan, live)
    return f"{source.revision} is live in {env.name} at {live.address}"
