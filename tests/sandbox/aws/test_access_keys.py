"""What AWS IAM does about access keys: asked of the strict way, and of the emulator behind it."""

import uuid
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.access_keys import StrictAccessKeys
from sandbox.aws.aws import Aws
from sandbox.aws.first_secrets import ses_account
from sandbox.mail.smtp import SmtpServer
from tasks.credentials.smtp_account import SmtpAccount, is_refused
from tests.tasks.account import client_at


@pytest.fixture(scope="module")
def ways():
    with Aws() as aws, StrictAccessKeys(aws.endpoint) as strict:
        yield aws, strict


def user_of(client):
    name = f"ses-{uuid.uuid4().hex[:8]}"
    client.create_user(UserName=name)
    return name


def make(client, user):
    return client.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]


def test_a_user_has_two_keys_at_most(ways):
    aws, strict = ways
    lax, client = aws.client("iam"), client_at(strict.url, "iam")
    user = user_of(client)
    first, _ = make(client, user), make(client, user)

    with pytest.raises(ClientError) as refused:
        make(client, user)

    assert refused.value.response["Error"]["Code"] == "LimitExceeded"
    client.delete_access_key(UserName=user, AccessKeyId=first)
    assert make(client, user)
    assert make(lax, user)  # ministack alone allows any number


def test_the_last_use_of_a_key_is_told(ways):
    _, strict = ways
    client = client_at(strict.url, "iam")
    key = make(client, user_of(client))
    assert (
        "LastUsedDate" not in client.get_access_key_last_used(AccessKeyId=key)["AccessKeyLastUsed"]
    )
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    strict.used(key, moment)

    last = client.get_access_key_last_used(AccessKeyId=key)["AccessKeyLastUsed"]
    assert (last["LastUsedDate"], last["ServiceName"]) == (moment, "ses")


def test_the_accounts_of_the_mail_server_are_the_active_keys(ways):
    aws, _ = ways
    with SmtpServer() as smtp, StrictAccessKeys(aws.endpoint, smtp) as strict:
        client, user = client_at(strict.url, "iam"), f"ses-{uuid.uuid4().hex[:8]}"
        value = ses_account(client, user, "us-east-1", {})
        key = value["smtp_user"]
        account = SmtpAccount(smtp.host, smtp.port, key, value["smtp_pass"], smtp.ca_file)

        assert not is_refused(account)
        assert (
            "LastUsedDate" in client.get_access_key_last_used(AccessKeyId=key)["AccessKeyLastUsed"]
        )
        client.update_access_key(UserName=user, AccessKeyId=key, Status="Inactive")
        assert is_refused(account)
        client.update_access_key(UserName=user, AccessKeyId=key, Status="Active")
        assert not is_refused(account)
        client.delete_access_key(UserName=user, AccessKeyId=key)
        assert is_refused(account)
