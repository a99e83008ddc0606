"""Let Prefect's server notify the people on call when a run cannot do so itself.

A run that fails reports it in its thread. These automations are for runs that cannot: no worker
started them, their machine disappeared, or Slack did not answer. The server keeps and runs them, so
they need no worker.
"""

from collections.abc import Iterator
from datetime import timedelta

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from slack_sdk import WebClient

from blocks.environment import Environment
from deployments.server.work_pools import POOL
from tasks.run.outcome import TOLD

# The queue of all deployments for which prefect.yaml names none, and the queue that it names.
QUEUE_OF_RUNS, QUEUE_OF_CHECKS = "default", "stages"
ON_CALL = "kanvaro-on-call"  # name of the block that posts to Slack
OURS = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.kanvaro"}
# A run sends a heartbeat every thirty seconds (PREFECT_FLOWS_HEARTBEAT_FREQUENCY of the worker).
SILENT = timedelta(seconds=90)
WAS_SILENT = "it was silent"
# A hook looks at what is live, and waits for a busy Slack.
TIME_TO_TELL = timedelta(seconds=90)
# Workers poll every two seconds, and a server that comes back has much to catch up with.
TIME_TO_COME_BACK = timedelta(seconds=30)
BY_US = "kanvaro: "
NO_WORKER_FOR_CHECKS = f"{BY_US}no worker is left for checks"
BAD_ENDS = ("Failed", "Crashed", "TimedOut")
ENDS = ("Completed", "Cancelled", *BAD_ENDS)
# People choose names in Prefect: what Slack would read as a link or a mention is shown as text.
_AS_TEXT = "|replace('&', '&amp;')|replace('<', '&lt;')|replace('>', '&gt;')"
RUN = "<{{ flow_run|ui_url }}|{{ flow.name" + _AS_TEXT + " }}: {{ flow_run.name" + _AS_TEXT + " }}>"


def ensure_automations(environment: Environment, *others: Environment) -> str:
    """Save the automations with the Slack channel of `environment`; return a phrase about it.

    It saves those that `environment` and the `others` need. Safe to repeat: each is known by its
    name, and one of ours that is no longer needed is deleted.
    """
    if environment.slack is None:
        return "none: there is no Slack token"
    block = _ensure_block(environment, environment.slack.token.get_secret_value())
    wanted = {each.name: each for each in _automations(block)}
    if all(each.policy.stages != "on the pool" for each in (environment, *others)):
        del wanted[NO_WORKER_FOR_CHECKS]
    with get_client(sync_client=True) as client:
        held = {each.name: each.id for each in _all_automations(client)}
        for name, automation in wanted.items():
            if name in held:
                client.update_automation(held[name], automation)
            else:
                client.create_automation(automation)
        for name in held.keys() - wanted.keys():
            if name.startswith(BY_US):
                client.delete_automation(held[name])
    return "saved"


def _all_automations(client: SyncPrefectClient) -> Iterator[Automation]:
    """Read page by page: a server may hold more automations than it returns at once."""
    offset = 0
    while page := client.read_automations(offset=offset):
        yield from page
        offset += len(page)


def _ensure_block(environment: Environment, token: str) -> SendNotification:
    """Return the block that posts as our bot, with an empty message."""
    base = (environment.slack_address or WebClient.BASE_URL).rstrip("/")
    block = CustomWebhookNotificationBlock(
        name=ON_CALL,
        url=f"{base}/chat.postMessage",
        headers={"Authorization": "Bearer {{token}}"},
        json_data={"channel": environment.slack_channel, "text": "🔴 {{body}}"},
        secrets={"token": token},
    )
    return SendNotification(block_document_id=block.save(ON_CALL, overwrite=True), body="")


def _automations(block: SendNotification) -> Iterator[AutomationCore]:
    yield _automation(
        f"{BY_US}no worker picks a run up",
        EventTrigger(
            posture=Posture.Reactive,
            expect={"prefect.flow-run.Late"},
            match_related=OURS,
        ),
        _say(
            block,
            f"Nobody has picked up {RUN}. Is a worker of the pool `delivery` running? It begins "
            "by itself once there is one (`make worker`).",
        ),
    )
    yield _automation(
        f"{BY_US}no worker is left",
        _nobody_asks(QUEUE_OF_RUNS),
        _say(
            block,
            "Nobody asks for runs any more: the queue `default` of the pool `delivery` has no "
            "worker. Nothing is deployed, rolled back or put in order until there is one "
            "(`make worker`).",
        ),
    )
    yield _automation(
        f"{BY_US}a run went silent",
        EventTrigger(
            posture=Posture.Proactive,
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{end}" for end in ENDS)},
            for_each={"prefect.resource.id"},
            match_related=OURS,
            threshold=1,
            within=SILENT,
        ),
        # Prefect refuses this if the run has ended after all: events may arrive out of order.
        ChangeFlowRunState(
            state=StateType.CRASHED,
            name="Crashed",
            message=f"{WAS_SILENT} for {SILENT.seconds} s: its worker or its machine is gone",
        ),
    )
    yield _automation(
        f"{BY_US}a silent run is marked as crashed",
        EventTrigger(
            posture=Posture.Reactive,
            expect={"prefect.flow-run.Crashed"},
            match={
                "prefect.resource.id": "prefect.flow-run.*",
                "prefect.state-message": f"{WAS_SILENT}*",
            },
            match_related=OURS,
        ),
        _say(
            block,
            f"{RUN} is silent: its worker or its machine is gone. `reconcile` puts back what it "
            "left within ten minutes, once a worker is there. Then run it again.",
        ),
    )
    yield _automation(
        f"{BY_US}a run ended badly without a report",
        EventTrigger(
            posture=Posture.Proactive,
            after={f"prefect.flow-run.{end}" for end in BAD_ENDS},
            expect={TOLD},
            for_each={"prefect.resource.id"},
            # The automation above reports those that went silent.
            match={
                "prefect.resource.id": "prefect.flow-run.*",
                "prefect.state-message": f"!{WAS_SILENT}*",
            },
            match_related=OURS,
            threshold=1,
            within=TIME_TO_TELL,
        ),
        _say(
            block,
            f"{RUN} ended as {{{{ flow_run.state.name{_AS_TEXT} }}}}, and could not say why. "
            "Its page has its logs; `make status` says what is live and whether it is well.",
        ),
    )
    yield _automation(
        NO_WORKER_FOR_CHECKS,
        _nobody_asks(QUEUE_OF_CHECKS),
        _say(
            block,
            "Nobody asks for checks any more: the queue `stages` of the pool `delivery` has no "
            "worker. Runs wait for their checks, and say so in the end, until there is one "
            "(`QUEUE=stages make worker`).",
        ),
    )


def _nobody_asks(queue: str) -> EventTrigger:
    """Trigger when no worker has polled one of our queues for a minute and a half.

    Not when the pool has no worker: it has one as long as any of its queues does.
    """
    return EventTrigger(
        posture=Posture.Proactive,
        after={"prefect.work-queue.not-ready"},
        # After an outage the server calls every queue not ready until its workers have found it
        # again.
        expect={"prefect.work-queue.ready"},
        for_each={"prefect.resource.id"},
        threshold=1,
        within=TIME_TO_COME_BACK,
        match={"prefect.resource.id": "prefect.work-queue.*", "prefect.resource.name": queue},
        match_related={"prefect.resource.role": "work-pool", "prefect.resource.name": POOL},
    )


def _automation(name: str, trigger: EventTrigger, *actions: ActionTypes) -> AutomationCore:
    return AutomationCore(
        name=name,
        description="Kept by `make register`: changes by hand are overwritten.",
        trigger=trigger,
        actions=list(actions),
    )


def _say(block: SendNotification, body: str) -> SendNotification:
    return block.model_copy(update={"body": body})
