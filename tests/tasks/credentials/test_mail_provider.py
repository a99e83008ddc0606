"""Which value may follow that of the mail provider's secret."""

from types import SimpleNamespace

import pytest

from tasks.credentials.mail_provider import EmailByHand

CURRENT = {
    "provider": "operator",
    "smtp_host": "smtp.example.org",
    "smtp_port": 587,
    "smtp_user": "kanvaro",
    "smtp_pass": "canary-old",
}
NEW = {**CURRENT, "smtp_pass": "canary-new"}


def by_hand(*given):
    secrets = {key.upper(): f"arn:aws:secretsmanager:r:1:secret:mail:{key}::" for key in given}
    return EmailByHand(
        SimpleNamespace(
            rotated={"email": "mail"},
            smtp_authorities=None,
            service=SimpleNamespace(secrets=secrets),
        )
    )


@pytest.mark.parametrize(
    ("value", "may"),
    [
        (NEW, True),
        ({**NEW, "smtp_user": "another"}, True),
        ({**NEW, "smtp_port": "587"}, True),
        (CURRENT, False),
        ({**NEW, "provider": "ses"}, False),
        ({**NEW, "smtp_port": "canary"}, False),
        ({**NEW, "smtp_port": True}, False),
        ({**NEW, "smtp_host": ""}, False),
        ({**NEW, "smtp_user": 1}, False),
        ({key: NEW[key] for key in NEW if key != "smtp_pass"}, False),
        ({**NEW, "smtp_host": "smtp.example.com"}, False),
        ({**NEW, "smtp_port": 2525}, False),
    ],
)
def test_a_value_follows_that_is_whole_and_new_and_that_the_application_will_be_given(value, may):
    assert by_hand("smtp_user", "smtp_pass").can_follow(value, CURRENT) is may


def test_another_server_follows_where_the_application_is_given_its_address():
    moved = {**NEW, "smtp_host": "smtp.example.com", "smtp_port": 2525}

    assert by_hand("smtp_host", "smtp_port").can_follow(moved, CURRENT)
