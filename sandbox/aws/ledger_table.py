"""Create the DynamoDB table of the ledger, which an account has before its first deployment."""

from botocore.exceptions import ClientError

from sandbox.aws.aws import Aws

NAME = "kanvaro-delivery"


def ensure_ledger_table(aws: Aws) -> str:
    """Create the table and return its name; safe to repeat."""
    client = aws.client("dynamodb")
    try:
        client.create_table(
            TableName=NAME,
            KeySchema=[
                {"AttributeName": "environment", "KeyType": "HASH"},
                {"AttributeName": "entry", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "environment", "AttributeType": "S"},
                {"AttributeName": "entry", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUseException":
            raise
    return NAME
