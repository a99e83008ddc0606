"""The policy says what a run may do in an environment, and how long it waits."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# Blocks that were saved under a field's older name still load.
OLDER_NAMES = {"turn_lease_s": "lock_lease_s", "turn_timeout_s": "lock_timeout_s"}


class Settings(BaseModel):
    """A group of settings, which refuses an unknown name."""

    model_config = ConfigDict(extra="forbid")


class Policy(Settings):
    """Limit what a run may do here, and how long it waits."""

    deploy_ref: str = Field(
        default="refs/heads/main", description="Only revisions on this ref are deployed."
    )
    forks: Literal["refuse", "ask", "run"] = Field(
        default="refuse",
        description="Whether the code of pull requests from forks is checked: never, once a person "
        "of the team has read that revision and says so, or at once.",
    )
    checks_at_once: int = Field(default=2, ge=1, description="Checks that run side by side.")
    check_memory_mb: int = Field(
        default=4096, ge=64, description="Memory of one check's container, in megabytes."
    )
    check_processors: float = Field(
        default=2, ge=0.1, description="Processors of one check's container."
    )
    check_processes: int = Field(
        default=2048, ge=16, description="Processes and threads of one check's container."
    )
    check_free_disk_mb: int = Field(
        default=2048, ge=0, description="Megabytes of the engine's disk that checks leave free."
    )
    stages: Literal["here", "on the pool"] = Field(
        default="here",
        description="Where checks run: in the run that asks, or each as a run of its own on the "
        "work pool, for which the environment names a `handover_bucket`.",
    )
    stage_wait_s: float = Field(
        default=900, gt=0, description="How long such a run waits for a worker to start it."
    )
    after_a_failure: Literal["stop", "run all"] = Field(
        default="stop", description="Whether other checks continue once a required one has failed."
    )
    passes_alone: Literal["passed", "failed", "not tried"] = Field(
        default="passed",
        description="What a check counts as that failed beside others and passed when it was "
        "repeated alone; `not tried`: none is repeated. On the pool none is: they share no folder.",
    )
    audit_level: Literal["low", "moderate", "high", "critical"] = Field(
        default="moderate", description="Lowest severity of a vulnerability that blocks."
    )
    scanners_that_may_be_absent: list[Literal["npm-audit", "snyk", "secrets"]] = Field(
        default_factory=list, description="Scanners whose missing verdict does not block."
    )
    readiness_path: str = Field(
        default="/api/health", description="Answers 200 and the revision when ready."
    )
    answers_revision: bool = Field(
        default=True,
        description="Demands that this answer names the revision; delivery.toml cannot waive it.",
    )
    healthy_answers: int = Field(
        default=5, ge=1, description="Good answers in a row that prove a deployment."
    )
    answer_interval_s: float = Field(
        default=2, gt=0, description="Seconds between two of these requests."
    )
    operation_timeout_s: float = Field(
        default=1800, gt=0, description="How long one operation of App Runner may take."
    )
    build_timeout_s: float = Field(
        default=1800, gt=0, description="How long the build of the image may take."
    )
    dockerfile_frontend: str = Field(
        default="",
        pattern=r"^[a-z0-9][A-Za-z0-9._:/@-]{0,300}$|^$",
        description="Image that reads every Dockerfile, in place of the one that its `# syntax` "
        "line names, or of the engine's own, which is as old as the engine.",
    )
    operation_interval_s: float = Field(
        default=5, gt=0, description="Seconds between two readings of an operation."
    )
    health_timeout_s: float = Field(
        default=300, gt=0, description="How long a version may take to become healthy."
    )
    shift_steps: list[int] = Field(
        default_factory=lambda: [100],
        description="Percentages of the traffic that the new version gets, one after the other.",
    )
    step_s: float = Field(
        default=120,
        ge=0,
        description="How long each step is watched: at least two periods of the metrics, or "
        "there are no figures.",
    )
    bake_s: float = Field(
        default=300,
        ge=0,
        description="How long a version with all the traffic is watched: like a step, at least two "
        "periods.",
    )
    probe_interval_s: float = Field(
        default=1, gt=0, description="Seconds between two requests while a step is watched."
    )
    metric_period_s: Literal[1, 5, 10, 30, 60] = Field(
        default=60,
        description="Seconds of one figure of App Runner's metrics: 60 on AWS, less in a sandbox.",
    )
    fewest_requests: int = Field(
        default=20, ge=0, description="Requests below which a comparison says nothing."
    )
    extensions: int = Field(
        default=2, ge=0, description="How often a step with too few requests is watched again."
    )
    if_too_few: Literal["ask", "go on", "take back"] = Field(
        default="ask", description="What to do when even then there are too few requests."
    )
    more_errors: float = Field(
        default=1.0, ge=0, description="Percentage points of 5xx more than the old version's."
    )
    slower: float = Field(
        default=1.5, ge=1, description="Times the old version's 95th percentile of latency."
    )
    slow_ms: float = Field(
        default=500, ge=0, description="Latency below which nothing counts as slow."
    )
    alarms: list[str] = Field(
        default_factory=list, description="CloudWatch alarms that must not ring during a shift."
    )
    approval: bool = Field(default=False, description="A person must agree before the shift.")
    ask_timeout_s: float = Field(
        default=3600, gt=0, description="How long a question waits; no answer means no."
    )
    warm_up_requests: int = Field(
        default=20, ge=0, description="Requests that a colour answers before it gets traffic."
    )
    public_answers: int = Field(
        default=20, ge=1, description="Requests to the public name that prove a switch."
    )
    switch_timeout_s: float = Field(
        default=120, gt=0, description="How long every edge may take to follow a switch."
    )
    drain_s: float = Field(
        default=120,
        ge=0,
        description="How long a colour may still have requests after the traffic left it; it is "
        "neither changed nor paused before.",
    )
    keep_warm_s: float = Field(
        default=3600,
        ge=0,
        description="How long the old colour runs on after a release, for an instant rollback.",
    )
    lock_lease_s: float = Field(
        default=30,
        gt=0,
        description="Lease of the deploy lock: a run without a heartbeat for so long has lost it.",
    )
    lock_timeout_s: float = Field(
        default=7200, gt=0, description="How long a run waits for the deploy lock."
    )
    overlap_s: float = Field(
        default=86400,
        ge=0,
        description="How long an old credential stays valid once every service has the new one.",
    )
    drained_for_s: float = Field(
        default=900,
        ge=0,
        description="How long an old credential must be without connections before it is retired.",
    )
    inactive_for_s: float = Field(
        default=86400,
        ge=0,
        description="How long a retired access key can be made active again before it is deleted.",
    )
    built_images: int = Field(
        default=10,
        ge=0,
        description="Images of earlier builds that stay on the engine, the newest ones.",
    )
    cache_mb: int = Field(
        default=2000,
        ge=0,
        description="Megabytes that package caches may have on the worker; what was unused for "
        "longest is removed.",
    )
    report_days: int = Field(default=30, ge=1, description="How long test reports are kept.")
    result_days: int = Field(default=30, ge=1, description="How long the pass of a check counts.")

    @model_validator(mode="before")
    @classmethod
    def _read_older_names(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        for older, name in OLDER_NAMES.items():
            if older in given and name in given:
                raise ValueError(
                    f"{older} is the older name of {name}, and both are given: leave {older} out"
                )
        return {OLDER_NAMES.get(name, name): value for name, value in given.items()}

    @field_validator("shift_steps")
    @classmethod
    def _ends_with_all(cls, steps: list[int]) -> list[int]:
        if steps != sorted(set(steps)) or not steps or steps[0] < 1 or steps[-1] != 100:
            raise ValueError("steps are percentages that grow up to 100, as in [10, 50, 100]")
        return steps


class Provisioning(Settings):
    """The parameters of the templates in deployments/aws that the environment does not have."""

    prefix: str = Field(
        default="kanvaro",
        pattern=r"^[a-z][a-z0-9-]{2,19}$",
        description="Beginning of the stacks' names.",
    )
    stack_role_arn: str = Field(
        default="",
        description="Role with which AWS creates the stacks' resources; the run's own if empty.",
    )
    permissions_boundary: str = Field(
        default="",
        pattern=r"^$|^arn:aws[a-z-]*:iam::\d{12}:policy/.+$",
        description="Policy that limits every role made by a stack; the stack role demands it.",
    )
    certificate_arn: str = Field(default="", description="Of the public name, in us-east-1.")
    web_acl_arn: str = Field(default="", description="Firewall in front of the edge.")
    alert_protocol: Literal["email", "https"] = Field(
        default="email", description="How alarms are sent."
    )
    alert_endpoint: str = Field(default="", description="Who gets the alarms.")
    log_days: Literal[7, 14, 30, 60, 90, 180, 365] = Field(
        default=30, description="How long the services' logs are kept."
    )
