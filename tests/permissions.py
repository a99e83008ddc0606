"""What the flows call of AWS while they are tested, and what their roles allow."""

import json
from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import yaml
from prefect.context import TaskRunContext

from blocks.clients import Clients

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "deployments/aws/roles.yaml"
FOLDER = ROOT / ".called"
FLOWS = {
    each["entrypoint"].rpartition(":")[2].replace("_", "-")
    for each in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
}

# What policies call a service, where botocore's name for it is another.
SERVICES = {"cloudwatch-logs": "logs", "secrets-manager": "secretsmanager"}
# What an operation is called in policies, where its own name is no action: several calls are made
# of others, S3 tells a missing object from a forbidden one only to who may list, and who has a
# service act in a role must be allowed to pass it.
ACTIONS = {
    "sts:GetCallerIdentity": set(),  # nobody can be denied it
    "s3:HeadObject": {"s3:GetObject", "s3:ListBucket"},
    "s3:GetObject": {"s3:GetObject", "s3:ListBucket"},
    "s3:CreateMultipartUpload": {"s3:PutObject"},
    "s3:UploadPart": {"s3:PutObject"},
    "s3:CompleteMultipartUpload": {"s3:PutObject"},
    "apprunner:CreateService": {"apprunner:CreateService", "iam:PassRole"},
    "apprunner:UpdateService": {"apprunner:UpdateService", "iam:PassRole"},
    "cloudformation:CreateChangeSet": {"cloudformation:CreateChangeSet", "iam:PassRole"},
}
ITEMS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}


def actions_of(service, operation, params):
    """The actions that a policy must allow for a call."""
    called = f"{SERVICES.get(service, service)}:{operation}"
    if called == "dynamodb:TransactWriteItems":
        return {f"dynamodb:{ITEMS[kind]}" for item in params["TransactItems"] for kind in item}
    return ACTIONS.get(called, {called})


class Called:
    """The actions that each flow needed, and the tasks that needed them."""

    def __init__(self):
        self.by_flow = defaultdict(lambda: defaultdict(set))
        self._allowed = {flow: actions(statements) for flow, statements in roles().items()}
        self._told = set()

    @contextmanager
    def listening(self):
        """Within it, every call of a client that acts for a flow is noted, from any thread."""
        make = Clients._new_client

        def make_and_listen(clients, session, service, *, once):
            client = make(clients, session, service, once=once)
            if clients.acting:
                note = partial(self._note, clients.acting.flow)
                client.meta.events.register("before-parameter-build", note)
            return client

        with patch.object(Clients, "_new_client", make_and_listen):
            yield self

    def _note(self, flow, params, event_name, **_):
        _, service, operation = event_name.split(".", 2)
        if operation == "AssumeRole":  # which the credentials do, before there is a role
            return
        context = TaskRunContext.get()
        where = context.task.name if context else "outside of tasks"
        for action in actions_of(service, operation, params):
            self.by_flow[flow][action].add(where)

    def beyond_roles(self):
        """What a flow of ours called and its role does not allow; each is said once."""
        beyond = {
            f"{flow} called {action} in {', '.join(sorted(tasks))}"
            for flow, called in self.by_flow.items()
            if flow in self._allowed
            for action, tasks in called.items()
            if action not in self._allowed[flow]
        }
        news, self._told = beyond - self._told, self._told | beyond
        return sorted(news)

    def write(self, row):
        FOLDER.mkdir(exist_ok=True)
        plain = {
            flow: {action: sorted(tasks) for action, tasks in sorted(actions.items())}
            for flow, actions in sorted(self.by_flow.items())
        }
        (FOLDER / f"{row}.json").write_text(json.dumps(plain, indent=1) + "\n")


def roles():
    """The statements of each role of the template, by the flow (or service) that takes it."""
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
    """The last words of a role's name: those of the flow that takes it."""
    return role["RoleName"]["Sub"].removeprefix("${Name}-")


def actions(statements):
    """The actions that some statements allow."""
    return {
        action
        for statement in statements
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
    }


def listed(one_or_many):
    """What a policy gives as one or as a list, as a list."""
    return one_or_many if isinstance(one_or_many, list) else [one_or_many]


def template(path=TEMPLATE):
    """A template, that of the roles; what a function such as !Sub makes is it by its name."""
    return yaml.load(path.read_text(), Loader=Tagged)  # noqa: S506 - a safe one


class Tagged(yaml.SafeLoader):
    """Reads CloudFormation's YAML."""


def _function(loader, name, node):
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    return {name: loader.construct_sequence(node, deep=True)}


Tagged.add_multi_constructor("!", _function)
