"""Choose the parameters of each template: from the environment, and from what there is now."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from blocks.environment import Environment
from delivery.aws_errors import CLOSED
from delivery.errors import ConfigurationError
from delivery.maintenance.provisioning import SECRETS, Stack, secret_parameter
from delivery.platform.route import Colour
from tasks import fact
from tasks.aws_errors import translate_aws_errors
from tasks.maintenance.stacks import DesiredStack, StackState, read_template
from tasks.platform.app_runner.state import described_services, service_of
from tasks.platform.cloudfront import default_origin

TEMPLATES = Path(__file__).parents[2] / "deployments" / "aws"
NAME = re.compile(r"[a-z][a-z0-9-]{2,39}")
SECRET = re.compile(r"arn:aws[a-z-]*:secretsmanager:[^:]+:\d+:secret:(.+)-\w{6}")
ORIGIN = "DefaultOrigin"
BOUNDARY = "PermissionsBoundary"


@fact("what should the stack {seen.name} be made of?")
def desired_stack(environment: Environment, stack: Stack, seen: StackState) -> DesiredStack:
    """Return the template of a stack and its parameters; some of the edge and the alarms are read.

    Raises `ConfigurationError` where the environment lacks a setting that the template needs.
    """
    template = template_of(stack)
    given = settings_for(environment, stack)
    if stack is Stack.EDGE:
        with translate_aws_errors("read the distribution's default origin"):
            given |= _origin(environment, seen, DesiredStack(template, given))
    if stack is Stack.GITHUB:
        # The environments of an account share this stack, each with a boundary and maybe with a
        # repository of its own: the first stays.
        for name in (BOUNDARY, "RepositoryName"):
            given[name] = seen.parameters.get(name) or given[name]
    if stack is Stack.ALARMS:
        with translate_aws_errors("read the ids of App Runner's services", CLOSED):
            given |= _service_ids(environment)
    return DesiredStack(template, given)


def template_of(stack: Stack) -> str:
    """Return the text of a template, with the function's code put into that of the edge."""
    text = (TEMPLATES / f"{stack}.yaml").read_text()
    code = (TEMPLATES / "route.js").read_text()
    return text.replace('"text of route.js"', json.dumps(code))


def settings_for(environment: Environment, stack: Stack) -> dict[str, str]:
    """Return the parameters that the environment's own settings decide."""
    given, provisioning = environment, environment.provisioning
    match stack:
        case Stack.REGISTRY:
            return {"RepositoryName": given.ecr_repository}
        case Stack.LEDGER:
            return {"TableName": given.ledger_table}
        case Stack.HANDOVER:
            return {"BucketName": given.handover_bucket}
        case Stack.SECRETS:
            return _secrets(given) | {"AdminSecret": _name_of(given.admin_secret)}
        case Stack.SERVICES:
            return {
                "Name": _name(given),
                "RepositoryName": given.ecr_repository,
                BOUNDARY: provisioning.permissions_boundary,
                **_secrets(given),
            }
        case Stack.EDGE:
            return {
                "Name": _name(given),
                # Without a certificate CloudFront answers only to its own name.
                "PublicName": _host(given) if provisioning.certificate_arn else "",
                "CertificateArn": provisioning.certificate_arn,
                "WebAclArn": provisioning.web_acl_arn,
            }
        case Stack.ALARMS:
            return {
                "Name": _name(given),
                "ServiceName": given.service.name,
                "AlertProtocol": provisioning.alert_protocol,
                "AlertEndpoint": provisioning.alert_endpoint,
            }
        case Stack.GITHUB:
            return {
                "Repository": _github(given),
                "Ref": given.policy.deploy_ref,
                "RepositoryName": given.ecr_repository,
                BOUNDARY: provisioning.permissions_boundary,
            }


def _origin(environment: Environment, seen: StackState, desired: DesiredStack) -> dict[str, str]:
    """Return the default origin that the distribution has now, so that it stays.

    Promotions set it to the live colour without the stack. If nothing else is to change, the stack
    gets the value that it got last: then it has nothing to do, and leaves the origin alone.
    """
    distribution = seen.outputs.get("DistributionId")
    if distribution is None:
        service = service_of(environment)  # there is one where colours are not used yet
        return {ORIGIN: service.address} if service and service.address else {}
    same = {**seen.parameters, **desired.parameters} == seen.parameters
    if same and read_template(environment, seen.name) == desired.template:
        return {ORIGIN: seen.parameters[ORIGIN]}
    return {ORIGIN: default_origin(environment, distribution)}


def _service_ids(environment: Environment) -> dict[str, str]:
    names = {f"{environment.service.name}-{colour}": colour for colour in Colour}
    return {
        f"{names[service.settings['ServiceName']].capitalize()}ServiceId": str(
            service.settings["ServiceId"]
        )
        for service in described_services(environment, names)
    }


def _secrets(environment: Environment) -> dict[str, str]:
    missing = SECRETS.keys() - environment.rotated.keys()
    if missing:
        raise ConfigurationError(f"`rotated` of {environment.name} names no {sorted(missing)}")
    return {
        secret_parameter(kind): _name_of(secret) for kind, secret in environment.rotated.items()
    }


def _name_of(secret: str) -> str:
    """Return the name of a secret, of which an ARN has a hyphen and six characters more."""
    arn = SECRET.fullmatch(secret)
    return arn[1] if arn else secret


def _name(environment: Environment) -> str:
    name = environment.service.name
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"service.name {name!r} cannot name roles and a store: small letters, digits and -"
        )
    return name


def _host(environment: Environment) -> str:
    host = urlsplit(environment.public_address or "").hostname
    if not host:
        raise ConfigurationError("there is a certificate_arn, and no public_address that it is for")
    return host


def _github(environment: Environment) -> str:
    if environment.github_repository is None:
        raise ConfigurationError(
            f"{environment.name} names no github_repository",
            hint="Name it, or leave `github` out of `stacks`. Nothing was changed.",
        )
    return environment.github_repository
