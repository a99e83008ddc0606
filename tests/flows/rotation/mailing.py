"""Emulate a mail provider for rotations, whose accounts are IAM's access keys or made by hand."""

import secrets
from contextlib import ExitStack

from sandbox.aws.access_keys import StrictAccessKeys
from sandbox.aws.aws import REGION
from sandbox.aws.first_secrets import ses_account
from sandbox.mail.smtp import SmtpServer
from tasks.credentials.smtp_account import SmtpAccount, is_refused
from tests.tasks.account import client_at

REFERENCES = {
    "SMTP_HOST": ("email", "smtp_host"),
    "SMTP_PORT": ("email", "smtp_port"),
    "SMTP_USER": ("email", "smtp_user"),
    "SMTP_PASS": ("email", "smtp_pass"),
    "SECRET_VERSION_EMAIL": ("email", "version"),
}


class Mail:
    """One server for all environments; each has an IAM user, or an account, of its own."""

    def __init__(self, stand):
        self.smtp = SmtpServer()
        self.ways = StrictAccessKeys(stand.aws.endpoint, self.smtp)

    def __enter__(self):
        with ExitStack() as stack:
            stack.enter_context(self.smtp)
            stack.enter_context(self.ways)
            self._stack = stack.pop_all()
        self.iam = client_at(self.ways.url, "iam")
        self.server = {"smtp_host": self.smtp.host, "smtp_port": self.smtp.port}
        return self

    def __exit__(self, *args):
        return self._stack.__exit__(*args)

    def ses(self, name):
        """Return the secret's value for a new IAM user."""
        return ses_account(self.iam, name, REGION, self.server)

    def by_hand(self, user):
        """Return the value that a person would enter for a new account."""
        login = {"smtp_user": user, "smtp_pass": secrets.token_urlsafe(24)}
        self.smtp.set_account(user, login["smtp_pass"])
        return {"provider": "operator", **self.server, **login}

    def lets_in(self, value):
        user, password = value["smtp_user"], value["smtp_pass"]
        port = int(value["smtp_port"])
        return not is_refused(
            SmtpAccount(value["smtp_host"], port, user, password, self.smtp.ca_file)
        )

    def keys(self, user):
        """Return the ids of an IAM user's keys, and whether each is active."""
        found = self.iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
        return {each["AccessKeyId"]: each["Status"] == "Active" for each in found}

    def forget_uses(self):
        """Pretend that every key was used long ago."""
        self.ways._last_use.clear()
