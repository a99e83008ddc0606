"""
Run one check on a worker of its own; the run that checks the revision asks for it.

    take over the workspace ─ plan ─ the check ─ leave the verdict for that run

`ci` and `pull-request` start it where the environment's policy has `stages: on the pool`
(docs/scaling.md); nobody has to start it by hand.
"""

from typing import Annotated

from prefect import flow
from pydantic import Field

from blocks.environment import Environment
from blocks.parameters import Registered
from tasks.checks.handover import take_over
from tasks.checks.plan import plan_checks
from tasks.checks.remote_worker import run_stage
from tasks.workspace.workspace import open_workspace

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
CheckName = Annotated[str, Field(pattern=r"^[\w.:-]{1,60}$")]
Proof = Annotated[str, Field(pattern=r"^check-[\w.:-]{1,60}-[0-9a-f]{64}$")]


@flow(name="stage", flow_run_name="{check} of {handover:.10}")
def stage(
    handover: Digest = Field(description="SHA-256 of the workspace that was handed over."),
    check: CheckName = Field(description="Name of the check."),
    proof: Proof = Field(description="Key under which the starting run remembers a pass."),
    environment: Registered = Field(default="production", description="A registered environment."),
) -> str:
    """Run one check of a workspace that another run handed over."""
    env = Environment.named(environment)
    with open_workspace(env) as workspace:
        source = take_over(env, workspace, handover)
        plan = plan_checks(env, source)
        return run_stage(env, source, workspace, plan, check, proof)
