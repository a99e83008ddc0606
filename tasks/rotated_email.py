"""The secret of the mail provider: how it is rotated depends on who that is.

`ses`: SMTP passwords of Amazon SES are made from the access keys of a dedicated IAM user.
`operator`: a person enters a new value as AWSPENDING; it is tested and promoted, and the old one is
that person's to withdraw. For any other provider it is said that there is no way.
"""

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

from delivery.errors import SecretMalformed
from delivery.rotation_facts import ENTERED_BY_HAND, SES_KEYS, Kind, Old, Policy
from delivery.rotation_record import Record
from delivery.secret_value import text_member
from delivery.ses_password import smtp_password
from tasks.rotated import VERSION, Rotated
from tasks.secret_store import Value, read_current, read_labels, read_value
from tasks.ses_keys import create_key, deactivate_key, delete_key, keys_of, was_used_since
from tasks.smtp_account import SmtpAccount, prove_account

SES, OPERATOR = "ses", "operator"
_NAME = re.compile(r"[a-z][a-z-]{0,19}")


class RotatedEmail(Rotated):
    """`kanvaro/email`."""

    kind = Kind.EMAIL
    keys = frozenset({"smtp_user", "smtp_pass", VERSION})

    @cached_property
    def provider(self) -> str:
        """The provider's name; what else may have been entered there is not shown."""
        said = read_current(self.environment, self.secret).get("provider")
        return said if isinstance(said, str) and _NAME.fullmatch(said) else "not named"

    @property
    def policy(self) -> Policy:
        waits = self.environment.policy
        if self.provider != SES:
            return ENTERED_BY_HAND
        return replace(
            SES_KEYS,
            overlap_s=waits.overlap_s,
            drained_for_s=waits.drained_for_s,
            inactive_for_s=waits.inactive_for_s,
        )

    def cannot(self, current: str) -> str:
        if self.provider in (SES, OPERATOR):
            return ""
        return f"{self.secret} cannot be rotated: no way for provider {self.provider}"

    def check(self, current: str) -> None:
        live = self.value(current)
        self._account(live)
        if self.provider == SES:
            smtp_password("a key", text_member(live, "region"))
            keys_of(self.environment, text_member(live, "iam_user"))

    def can_follow(self, value: Value, current: Value) -> bool:
        try:
            self._account(value)
        except SecretMalformed:
            return False
        is_new = value.get("smtp_pass") != current.get("smtp_pass")
        return is_new and value.get("provider") == current.get("provider")

    def make(self, version: str, current: str) -> Value:
        live = self.value(current)
        user, region = text_member(live, "iam_user"), text_member(live, "region")
        key = create_key(self.environment, user, self._known())
        login = {"smtp_user": key.id, "smtp_pass": smtp_password(key.secret, region)}
        return {**live, **login, VERSION: version}

    def _known(self) -> set[str]:
        """The access keys that stand in a version with a label."""
        versions = read_labels(self.environment, self.secret).by_version
        values = (read_value(self.environment, self.secret, each) for each in versions)
        return {text_member(value, "smtp_user") for value in values if value is not None}

    def prove(self, version: str, current: str) -> None:
        prove_account(self._account(self.value(version)))

    def connections(self, old: str) -> int:
        """One while AWS saw the key at work lately: it counts no connections."""
        before = read_value(self.environment, self.secret, old)
        if before is None or self.provider != SES:
            return 0
        lately = timedelta(seconds=self.environment.policy.drained_for_s)
        since = datetime.now(UTC) - lately
        return int(was_used_since(self.environment, text_member(before, "smtp_user"), since))

    def old(self, version: str) -> Old | None:
        before = read_value(self.environment, self.secret, version)
        if before is None:
            return Old.GONE
        keys = keys_of(self.environment, text_member(before, "iam_user"))
        found = next((each for each in keys if each.id == before.get("smtp_user")), None)
        if found is None:
            return Old.GONE
        return Old.WORKS if found.is_active else Old.REFUSED

    def retire(self, old: str, current: str, *, at_once: bool) -> None:
        before = self.value(old)
        user, key = text_member(before, "iam_user"), text_member(before, "smtp_user")
        deactivate_key(self.environment, user, key)

    def delete(self, row: Record, now: float) -> None:
        before = self.value(row.old_version)
        waits = 0.0 if self.emergency or row.compromised else self.policy.inactive_for_s or 0.0
        delete_key(
            self.environment,
            text_member(before, "iam_user"),
            text_member(before, "smtp_user"),
            inactive_since=row.retired_at or time.time(),
            now=now,
            inactive_for_s=waits,
        )

    def _account(self, value: Value) -> SmtpAccount:
        port = value.get("smtp_port")
        if type(port) is not int and not (isinstance(port, str) and port.isdecimal()):
            raise SecretMalformed(f"{self.secret} has no port in smtp_port")
        return SmtpAccount(
            text_member(value, "smtp_host"),
            int(port),
            text_member(value, "smtp_user"),
            text_member(value, "smtp_pass"),
            self.environment.smtp_authorities,
        )
