"""SMTP logins against a real SMTP server with STARTTLS, whose accounts change and lag."""

import smtplib
import ssl
from dataclasses import replace
from email.message import EmailMessage

import pytest

from delivery.errors import ConfigurationError, CredentialUnfit, StillAccepted
from delivery.patience import Patience
from sandbox.mail.smtp import SmtpServer
from sandbox.parts.certificates import write_certificate
from tasks.credentials.smtp_account import SmtpAccount, is_refused, prove_account, prove_refused

CANARY = "canary/pa+ss word="
QUICK = Patience(timeout=8, interval=0.05, longest=0.2)
HASTY = Patience(timeout=0.3, interval=0.05)


@pytest.fixture
def server():
    with SmtpServer() as part:
        part.set_account("AKIA1", CANARY)
        yield part


@pytest.fixture
def account(server):
    return SmtpAccount(server.host, server.port, "AKIA1", CANARY, server.ca_file)


def test_a_good_login_is_proven_three_times_on_connections_of_its_own(server, account):
    prove_account(account, QUICK)

    assert server.logins == [("AKIA1", True)] * 3
    assert not server.mails


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_a_login_outside_ascii_is_sent_as_utf_8(server, account, mechanism):
    """As nodemailer sends it; case of python/cpython#73936."""
    server.set_account("mäiler", "pässwört€")
    server.offer(mechanism)
    other = replace(account, user="mäiler", password="pässwört€")

    prove_account(other, QUICK)

    assert server.logins == [("mäiler", True)] * 3
    assert is_refused(replace(other, password="pässwörter€"))
    server.remove_account("mäiler")
    prove_refused(other, QUICK)


def test_a_server_that_offers_no_way_to_log_in_is_said_to(server, account):
    server.offer("XOAUTH2")

    with pytest.raises(ConfigurationError, match="neither PLAIN, LOGIN nor CRAM-MD5"):
        prove_account(account, QUICK)


def test_a_new_login_is_waited_for_until_it_has_reached_the_server(server, account):
    server.set_account("AKIA2", "new", after_s=0.5)

    prove_account(replace(account, user="AKIA2", password="new"), QUICK)

    outcomes = [good for _, good in server.logins]
    assert outcomes[-3:] == [True] * 3
    assert False in outcomes


def test_one_refusal_in_between_begins_the_row_anew(server, account):
    server.answer_logins_with("454 4.7.0 Try again later", times=2, after=2)

    prove_account(account, QUICK)

    outcomes = [good for _, good in server.logins]
    assert outcomes == [True, True, False, False, True, True, True]


def test_a_login_that_stays_wrong_is_unfit_and_not_quoted(server, account):
    with pytest.raises(CredentialUnfit, match="refused with 535") as raised:
        prove_account(replace(account, password=CANARY + "x"), HASTY)

    assert CANARY not in f"{raised.value} {raised.value.hint} {raised.value.__context__!r}"
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("line", ["534 5.7.9 Use a stronger mechanism", "554 5.7.1 Suspended"])
def test_another_refusal_stops_at_once(server, account, line):
    server.answer_logins_with(line, times=9)

    with pytest.raises(ConfigurationError, match=line[:3]):
        prove_account(account, QUICK)

    assert len(server.logins) == 1


def test_a_removed_login_is_seen_refused_once_that_has_reached_the_server(server, account):
    server.remove_account("AKIA1", after_s=0.4)

    prove_refused(account, QUICK)

    assert server.logins[0] == ("AKIA1", True)
    assert server.logins[-1] == ("AKIA1", False)


def test_a_login_that_should_be_refused_and_is_not_is_told(account):
    with pytest.raises(StillAccepted, match="last seen: accepted"):
        prove_refused(account, HASTY)


def test_a_temporary_refusal_is_no_proof_that_a_login_is_wrong(server, account):
    server.answer_logins_with("454 4.7.0 Try again later", times=99)

    with pytest.raises(StillAccepted, match="refused with 454"):
        prove_refused(account, HASTY)


def test_a_certificate_that_is_not_trusted_ends_it_before_the_password_is_sent(
    server, account, tmp_path
):
    other, _ = write_certificate(tmp_path)
    for ca_file in (None, other):
        with pytest.raises(ConfigurationError, match=r"certificate of 127\.0\.0\.1 is not valid"):
            prove_account(replace(account, ca_file=ca_file), QUICK)

    assert not server.logins


def test_a_file_without_certificates_is_named(account, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.touch()

    with pytest.raises(ConfigurationError, match=r"empty\.pem holds no certificates"):
        prove_account(replace(account, ca_file=empty), QUICK)


def test_a_server_that_is_down_is_unfit_after_the_wait(server, account):
    closed = replace(account, port=1)

    with pytest.raises(CredentialUnfit, match="no answer: ConnectionRefusedError"):
        prove_account(closed, HASTY)


def test_the_server_of_the_sandbox_keeps_mails_of_who_logged_in_and_of_nobody_else(server):
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", "Žluť"
    mail.set_content("hello")
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        with pytest.raises(smtplib.SMTPNotSupportedError):
            client.login("AKIA1", CANARY)
        client.starttls(context=ssl.create_default_context(cafile=server.ca_file))
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.send_message(mail)
        client.login("AKIA1", CANARY)
        client.send_message(mail)

    [kept] = server.mails
    assert (kept.user, kept.sender, kept.recipients) == (
        "AKIA1",
        "a@example.org",
        ("b@example.org",),
    )
    assert kept.message["Subject"] == "Žluť"
