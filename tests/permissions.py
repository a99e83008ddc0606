"""Record what the flows call in AWS during the tests, and compare it with their roles.

A role belongs to an environment: its resources are those that the environment names. So each call
is compared with the template of the roles, filled in with the names of the environment under test;
and with the same template with other names, which must not allow it.
"""

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import yaml
from prefect.context import TaskRunContext

from blocks.clients import Clients
from blocks.environment import Environment
from delivery.maintenance.provisioning import Stack, stack_name
from delivery.platform.route import Colour
from sandbox.aws.aws import ACCOUNT
from tests.needs import Need, needs_of

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "deployments/aws/roles.yaml"
FOLDER = ROOT / ".called"
FLOWS = {
    each["entrypoint"].rpartition(":")[2].replace("_", "-")
    for each in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
}
# Those of every stack, as the template spells them; a registry may be of one environment or of all.
STACK_NAMES = {
    stack_name("${Prefix}", "${Environment}", each, repository)
    for each in Stack
    for repository in ("kanvaro", "kanvaro/${Environment}")
}
# The IAM user of each environment's mail, which only the value of its secret names.
MAIL_USERS: dict[str, str] = {}


def names_of(environment):
    """Return an environment's names, by the template's parameters and AWS's own.

    A name that it lacks is missing, and so are the resources of that name.
    """
    router = environment.router
    said = {
        "AWS::Partition": "aws",
        "AWS::Region": environment.region,
        "AWS::AccountId": ACCOUNT,
        "Name": environment.service.name,
        "Prefix": environment.provisioning.prefix,
        "Environment": environment.name,
        "TableName": environment.ledger_table,
        "RepositoryName": environment.ecr_repository,
        "AdminSecret": environment.admin_secret,
        "MailUser": MAIL_USERS.get(environment.name),
        "HandoverBucket": environment.handover_bucket,
        "RouteStoreId": router and router.route_store.rpartition("/")[2],
        "DistributionId": router and router.distribution,
        **{f"{kind.title()}Secret": name for kind, name in environment.rotated.items()},
    }
    return {parameter: name for parameter, name in said.items() if name}


def others(names):
    """Return the names of another environment in the same account, which shares nothing."""
    return {
        parameter: name if parameter.startswith("AWS::") else "another"
        for parameter, name in names.items()
    }


# What acts on a table or in a bucket that environments share, and so on a part of it.
DIVIDED = ("dynamodb:", "s3:GetObject", "s3:PutObject")


def sharing(names):
    """Return the names of another environment that shares everything but its rows and objects."""
    return {**names, "Environment": "another", "RepositoryName": "another"}


class Grant(NamedTuple):
    """An action that is allowed on a resource; `pattern` is as in the template.

    So is `partition`, the only partition key whose rows it allows; None allows all.
    """

    action: str
    pattern: str
    passed_to: str | None
    partition: str | None = None

    def covers(self, need, names, rows_of=None):
        """Return whether it covers a need in an environment of those names.

        The rows are those of an environment of the names `rows_of`, if they are given.
        """
        return (
            need.action == self.action
            and self.passed_to in (None, need.passed_to)
            and self._has_rows(need.partition, rows_of or names)
            and _expression(_filled(self.pattern, names)).fullmatch(need.resource) is not None
        )

    def _has_rows(self, partition, names):
        return self.partition is None or _filled(self.partition, names) == partition


def _filled(pattern, names):
    # A placeholder without a name stays, and so matches no existing resource.
    return re.sub(r"\$\{([\w:]+)\}", lambda found: names.get(found[1], found[0]), pattern)


@cache
def _expression(pattern):
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(each) or re.escape(each) for each in pattern), re.DOTALL)


def is_allowed(grants, need, names, rows_of=None):
    """Return whether one of the grants covers the need."""
    return any(grant.covers(need, names, rows_of) for grant in grants)


@dataclass
class Seen:
    """A recorded need, in an environment of those names, and the tasks that needed it.

    Of needs that the same grants cover, only the first is kept.
    """

    need: Need
    names: dict[str, str]
    tasks: set[str] = field(default_factory=set)


class Called:
    """The permissions that each flow needed."""

    def __init__(self, grants=None):
        self._grants = grants or {flow: grants_of(roles()[flow]) for flow in FLOWS}
        self._seen: dict[tuple, Seen] = {}
        self._rows: dict[tuple, Seen] = {}
        self._owners: dict[str, str] = {}
        self._told: set[tuple] = set()

    @contextmanager
    def listening(self):
        """Record every call of a client that acts for a flow, from any thread, in the block."""
        make, make_all = Clients._new_client, Environment._new_clients

        def make_and_name(environment):
            made = make_all(environment)
            made.names = names_of(environment)
            return made

        def make_and_listen(clients, session, service, *, once):
            client = make(clients, session, service, once=once)
            if clients.acting and clients.acting.flow in self._grants:
                note = partial(self._note, clients.acting.flow, clients.names)
                client.meta.events.register("before-parameter-build", note)
                client.meta.events.register("after-call.iam", self._learn)
            return client

        with (
            patch.object(Environment, "_new_clients", make_and_name),
            patch.object(Clients, "_new_client", make_and_listen),
        ):
            yield self

    def _note(self, flow, names, params, event_name, **_):
        _, service, operation = event_name.split(".", 2)
        if operation == "AssumeRole":  # the credentials' own call, before there is a role
            return
        context = TaskRunContext.get()
        task = context.task.name if context else "outside of tasks"
        region = names["AWS::Region"]
        for need in needs_of(service, operation, params, region, self._owners):
            self._see(flow, need, names).tasks.add(task)

    def _see(self, flow, need, names):
        asked = (flow, need, tuple(names.items()))
        if asked not in self._seen:
            grants = tuple(each for each in self._grants[flow] if each.covers(need, names))
            row = (flow, need.action, grants or asked)
            self._seen[asked] = self._rows.setdefault(row, Seen(need, names))
        return self._seen[asked]

    def _learn(self, parsed, **_):
        """Learn whose access key it is: AWS tells that in calls that list or create keys."""
        made = [parsed["AccessKey"]] if "AccessKey" in parsed else []
        for each in [*parsed.get("AccessKeyMetadata", []), *made]:
            self._owners[each["AccessKeyId"]] = each["UserName"]

    def beyond_roles(self):
        """Yield calls that a flow's role does not allow, or that it allows to others, once each."""
        found = {
            (flow, seen.need): wrong
            for (flow, *_), seen in list(self._rows.items())
            if (wrong := wrong_with(flow, seen, self._grants[flow]))
        }
        news = {what: wrong for what, wrong in found.items() if what not in self._told}
        self._told |= news.keys()
        return sorted(news.values())

    def write(self, row):
        FOLDER.mkdir(exist_ok=True)
        plain = [
            {"flow": flow, "need": seen.need, "names": seen.names, "tasks": sorted(seen.tasks)}
            for (flow, *_), seen in self._rows.items()
        ]
        (FOLDER / f"{row}.json").write_text(json.dumps(plain, indent=1) + "\n")


def read(row):
    """Return what a row of tests has recorded, by flow."""
    read = {}
    for each in json.loads((FOLDER / f"{row}.json").read_text()):
        seen = Seen(Need(*each["need"]), each["names"], set(each["tasks"]))
        read.setdefault(each["flow"], []).append(seen)
    return read


def wrong_with(flow, seen, grants):
    """Return what is wrong with the grants of a flow; empty if nothing is."""
    need = seen.need
    what = f"{flow} called {need.action} on {need.resource} in {', '.join(sorted(seen.tasks))}"
    if not is_allowed(grants, need, seen.names):
        return f"{what}, which its role does not allow"
    is_wide = is_allowed(grants, need, others(seen.names), seen.names) or (
        need.action.startswith(DIVIDED) and is_allowed(grants, need, sharing(seen.names))
    )
    if need.resource != "*" and is_wide:
        return f"{what}, which is allowed by the role of an environment with other names, too"
    return ""


def idle(grants, seen):
    """Return the grants without which everything recorded would still be allowed."""
    return [grant for grant in grants if not _is_needed(grant, grants, seen)]


def _is_needed(grant, grants, seen):
    left = [each for each in grants if each.action == grant.action and each != grant]
    return any(
        grant.covers(each.need, each.names) and not is_allowed(left, each.need, each.names)
        for each in seen
        if each.need.action == grant.action
    )


def grants_of(statements):
    """Return the grants of some statements, action by action and resource by resource."""
    return [
        Grant(action, pattern_of(resource), passed_to, partition)
        for each in statements
        if each["Effect"] == "Allow"
        for action in listed(each["Action"])
        for resource in listed(each["Resource"])
        for passed_to, partition in conditions_of(each.get("Condition"))
    ]


def pattern_of(resource):
    """Return a statement's resource as text that still contains the template's parameters."""
    match resource:
        case {"Sub": text}:
            return text
        case {"GetAtt": attribute}:  # of another role
            name = template()["Resources"][attribute.removesuffix(".Arn")]["Properties"]["RoleName"]
            return f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{name['Sub']}"
    return resource


def twins_of(pattern):
    """Return the same grant of both colours, or of every stack; any other is its own twin."""
    before, is_stack, _ = pattern.partition(":stack/")
    if is_stack:
        return {f"{before}:stack/{name}/*" for name in STACK_NAMES}
    other = {f"-{each}/": f"-{each.other}/" for each in Colour}
    return {pattern, re.sub("|".join(other), lambda found: other[found[0]], pattern)}


def conditions_of(condition):
    """Yield the service that may use a passed role, and each partition whose rows are allowed."""
    match condition:
        case None:
            yield None, None
        case {"StringEquals": {"iam:PassedToService": service, **more}} if not more:
            yield service, None
        case {
            # Without the second one AWS would allow a request that names no partition, as a scan.
            "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": partitions},
            "Null": {"dynamodb:LeadingKeys": "false"},
        }:
            for each in partitions:
                yield None, each.get("Sub") or f"${{{each['Ref']}}}"
        case _:
            raise AssertionError(f"not known here: {condition}")


def roles():
    """Return the statements of each role of the template, by the flow (or service) that uses it."""
    resources = template()["Resources"]
    return {
        name_of(role): [
            *(s for each in role.get("Policies", []) for s in each["PolicyDocument"]["Statement"]),
            *(
                statement
                for reference in role.get("ManagedPolicyArns", [])
                for statement in resources[reference["Ref"]]["Properties"]["PolicyDocument"][
                    "Statement"
                ]
            ),
        ]
        for role in (
            each["Properties"] for each in resources.values() if each["Type"] == "AWS::IAM::Role"
        )
    }


def name_of(role):
    """Return the last words of a role's name: those of its flow."""
    return role["RoleName"]["Sub"].removeprefix("${Name}-")


def actions(statements):
    """Return the actions that some statements allow."""
    return {
        action
        for statement in statements
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
    }


def listed(one_or_many):
    """Return a list, for what a policy gives as one value or as a list."""
    return one_or_many if isinstance(one_or_many, list) else [one_or_many]


def template(path=TEMPLATE):
    """Read a template, by default that of the roles; !Sub and others stay as tagged values."""
    return yaml.load(path.read_text(), Loader=Tagged)  # noqa: S506 - a safe one


class Tagged(yaml.SafeLoader):
    """Reads CloudFormation's YAML."""


def _function(loader, name, node):
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    return {name: loader.construct_sequence(node, deep=True)}


Tagged.add_multi_constructor("!", _function)
