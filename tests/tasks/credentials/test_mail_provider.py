"""Which value may follow that of the mail provider's secret."""

from types import SimpleNamespace

import pytest

from delivery.errors import SecretMalformed
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
        *(({**NEW, "smtp_port": port}, False) for port in ("٥٨٧", 0, -1, 65536, "70000", "5 87")),
        ({**NEW, "smtp_user": "mäiler", "smtp_pass": "pässwört"}, True),
        ({**NEW, "smtp_pass": "a\0b"}, False),
        ({**NEW, "smtp_host": ""}, False),
        ({**NEW, "smtp_user": 1}, False),
        ({key: NEW[key] for key in NEW if key != "smtp_pass"}, False),
        ({**NEW, "smtp_host": "smtp.example.com"}, False),
        ({**NEW, "smtp_port": 2525}, False),
    ],
)
def test_a_value_follows_that_is_whole_and_new_and_that_the_application_will_be_given(value, may):
    assert by_hand("smtp_user", "smtp_pass").can_follow(value, CURRENT) is may


@pytest.mark.parametrize("host", ["smtp.exämple.org", "a b", "-x.org", "a/b", "a\nb", "x" * 300])
def test_a_name_of_a_server_that_dns_does_not_know_is_malformed(host):
    with pytest.raises(SecretMalformed, match="no name of a server in smtp_host"):
        by_hand().account({**NEW, "smtp_host": host})


@pytest.mark.parametrize("host", ["smtp.example.org", "localhost", "10.0.0.1", "::1", "a_b.org"])
def test_a_name_or_an_address_of_a_server_is_read(host):
    assert by_hand().account({**NEW, "smtp_host": host}).host == host


def test_another_server_follows_where_the_application_is_given_its_address():
    moved = {**NEW, "smtp_host": "smtp.example.com", "smtp_port": 2525}

    assert by_hand("smtp_host", "smtp_port").can_follow(moved, CURRENT)
