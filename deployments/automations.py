"""What Prefect's server itself tells the people on call: what no run of ours can tell any more.

A run that fails says so in its thread. These are for runs that cannot: nobody picked them up, or
their machine went away. They are kept on the server, and speak to Slack without a worker.
"""

from collections.abc import Iterator
from datetime import timedelta

from prefect import get_client
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from slack_sdk import WebClient

from blocks.environment import Environment

ON_CALL = "kanvaro-on-call"  # name of the block that speaks to Slack
POOL = "delivery"
OURS = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.kanvaro"}
# A run says every thirty seconds that it lives (PREFECT_FLOWS_HEARTBEAT_FREQUENCY of the worker).
SILENT = timedelta(seconds=90)
WAS_SILENT = "it was silent"
ENDS = ("Completed", "Failed", "Cancelled", "Crashed")
# Prefect's names are written by people; what Slack would take for a link or a mention is text here.
_AS_TEXT = "|replace('&', '&amp;')|replace('<', '&lt;')|replace('>', '&gt;')"
RUN = "<{{ flow_run|ui_url }}|{{ flow.name" + _AS_TEXT + " }}: {{ flow_run.name" + _AS_TEXT + " }}>"


def ensure_automations(environment: Environment) -> str:
    """Save the automations with the Slack channel of `environment`; what was done, as a phrase.

    Safe to repeat: each is known by its name.
    """
    if environment.slack is None:
        return "none: there is no Slack token to tell anybody with"
    block = _ensure_block(environment, environment.slack.token.get_secret_value())
    with get_client(sync_client=True) as client:
        for wanted in _automations(block):
            held = client.read_automations_by_name(wanted.name)
            if held:
                client.update_automation(held[0].id, wanted)
            else:
                client.create_automation(wanted)
    return "saved"


def _ensure_block(environment: Environment, token: str) -> SendNotification:
    """The block that posts as our bot, and the message that it is to post."""
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
        "kanvaro: nobody picks a run up",
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
        "kanvaro: no worker is left",
        EventTrigger(
            posture=Posture.Reactive,
            expect={"prefect.work-pool.not-ready"},
            match={"prefect.resource.id": "prefect.work-pool.*", "prefect.resource.name": POOL},
        ),
        _say(
            block,
            "The pool `delivery` has no worker any more: nothing is deployed, rolled back or put "
            "in order until there is one (`make worker`).",
        ),
    )
    yield _automation(
        "kanvaro: a run went silent",
        EventTrigger(
            posture=Posture.Proactive,
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{end}" for end in ENDS)},
            for_each={"prefect.resource.id"},
            match_related=OURS,
            threshold=1,
            within=SILENT,
        ),
        # Refused if it has ended after all: events are not always processed as they came.
        ChangeFlowRunState(
            state=StateType.CRASHED,
            name="Crashed",
            message=f"{WAS_SILENT} for {SILENT.seconds} s: its worker or its machine is gone",
        ),
    )
    yield _automation(
        "kanvaro: a silent run is marked as crashed",
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


def _automation(name: str, trigger: EventTrigger, *actions: ActionTypes) -> AutomationCore:
    return AutomationCore(
        name=name,
        description="Kept by `make register`: changes by hand are overwritten.",
        trigger=trigger,
        actions=list(actions),
    )


def _say(block: SendNotification, body: str) -> SendNotification:
    return block.model_copy(update={"body": body})
