"""Create what an account has in CloudFront before its first deployment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from sandbox.aws.aws import Aws

NAME = "kanvaro"
FUNCTION_FILE = Path(__file__).parents[2] / "deployments" / "aws" / "route.js"
# Nothing listens there, so the public name answers 502 until a colour is promoted.
NOWHERE = ("127.0.0.1", 1)
_CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
_ALL_VIEWER_EXCEPT_HOST_HEADER = "b689b0a8-53d0-40ab-baf2-68738e2966ac"


@dataclass(frozen=True)
class Distribution:
    """The ids of the route store and the distribution."""

    store_arn: str
    id: str


def ensure_distribution(aws: Aws) -> Distribution:
    """Create the route store, the route function and the distribution; safe to repeat.

    The function is `deployments/aws/route.js`, published and associated with both viewer events.
    The only origin is named `live`; an existing distribution is not changed.
    """
    cloudfront = aws.client("cloudfront")
    store = _ensure_store(cloudfront)
    function = _ensure_function(cloudfront, store)
    # For a CallerReference that it knows, ministack returns the existing distribution.
    made = cloudfront.create_distribution(DistributionConfig=_configuration(function))
    return Distribution(store, made["Distribution"]["Id"])


def _ensure_store(cloudfront: Any) -> str:
    try:
        made = cloudfront.create_key_value_store(Name=NAME)
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityAlreadyExists":
            raise
        made = cloudfront.describe_key_value_store(Name=NAME)
    arn: str = made["KeyValueStore"]["ARN"]
    return arn


def _ensure_function(cloudfront: Any, store: str) -> str:
    name = f"{NAME}-route"
    wanted = {
        "Name": name,
        "FunctionConfig": {
            "Comment": "which colour answers a viewer",
            "Runtime": "cloudfront-js-2.0",
            "KeyValueStoreAssociations": {"Quantity": 1, "Items": [{"KeyValueStoreARN": store}]},
        },
        "FunctionCode": FUNCTION_FILE.read_bytes(),
    }

    def etag() -> str:
        found: str = cloudfront.describe_function(Name=name, Stage="DEVELOPMENT")["ETag"]
        return found

    try:
        cloudfront.create_function(**wanted)
    except ClientError as error:
        if error.response["Error"]["Code"] != "FunctionAlreadyExists":
            raise
        cloudfront.update_function(**wanted, IfMatch=etag())
    published = cloudfront.publish_function(Name=name, IfMatch=etag())
    arn: str = published["FunctionSummary"]["FunctionMetadata"]["FunctionARN"]
    return arn


def _configuration(function: str) -> dict[str, Any]:
    host, port = NOWHERE
    events = ("viewer-request", "viewer-response")
    return {
        "CallerReference": NAME,
        "Comment": NAME,
        "Enabled": True,
        "Origins": {
            "Quantity": 1,
            "Items": [
                {
                    "Id": "live",
                    "DomainName": host,
                    "CustomOriginConfig": {
                        "HTTPPort": port,
                        "HTTPSPort": 443,
                        "OriginProtocolPolicy": "http-only",
                    },
                }
            ],
        },
        "DefaultCacheBehavior": {
            "TargetOriginId": "live",
            "ViewerProtocolPolicy": "allow-all",
            "CachePolicyId": _CACHING_DISABLED,
            "OriginRequestPolicyId": _ALL_VIEWER_EXCEPT_HOST_HEADER,
            "FunctionAssociations": {
                "Quantity": len(events),
                "Items": [{"FunctionARN": function, "EventType": event} for event in events],
            },
        },
    }
