"""The credential of the mail provider, which names the way in which it is rotated.

`ses`: the SMTP passwords of Amazon SES are made from the access keys of a dedicated IAM user.
`operator`: a person enters a new value as AWSPENDING, which is tested and promoted, and later
withdraws the old one at the provider. The secret of any other provider cannot be rotated.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from blocks.environment import Environment
from delivery.credentials.secret_value import text_member
from delivery.credentials.ses_password import smtp_password
from delivery.errors import SecretMalformed
from delivery.rotation.facts import (
    ENTERED_BY_HAND,
    SES_KEYS,
    OldCredential,
    SecretKind,
    SecretPolicy,
)
from delivery.rotation.record import Record
from tasks.credentials.credential import VERSION, Credential, is_given
from tasks.credentials.secrets_manager import Value, read_current, read_labels, read_value
from tasks.credentials.ses_keys import (
    create_key,
    deactivate_key,
    delete_key,
    keys_of,
    orphans_of,
    was_used_since,
)
from tasks.credentials.smtp_account import SmtpAccount, is_refused, prove_account, prove_refused
from tasks.run import ledger

PROVIDER, USER, PASSWORD, HOST, PORT = (
    *("provider", "smtp_user", "smtp_pass", "smtp_host", "smtp_port"),
)
IAM_USER, REGION = "iam_user", "region"
# AWS may record the use of a key hours later.
RECORDED_LATE = timedelta(hours=4)
CLOCKS_DIFFER_S = 60.0
_NAME = re.compile(r"[a-z][a-z-]{0,19}")
_PORT = re.compile(r"[0-9]{1,5}")
_HOST = re.compile(r"[A-Za-z0-9_:](?:[A-Za-z0-9._:-]{0,251}[A-Za-z0-9.])?")


def email_credential(environment: Environment, *, emergency: bool = False) -> Credential:
    """The credential for the provider in the current version. Raises `ConfigurationError`."""
    provider = read_current(environment, environment.rotated[SecretKind.EMAIL.value]).get(PROVIDER)
    kinds = {"ses": SesEmail, "operator": EmailByHand}
    kind = kinds.get(provider, UnknownEmail) if isinstance(provider, str) else UnknownEmail
    return kind(environment, emergency=emergency)


class UnknownEmail(Credential):
    """`kanvaro/email` of a provider whose credential cannot be rotated."""

    kind = SecretKind.EMAIL
    keys = frozenset({USER, PASSWORD, VERSION})

    @property
    def policy(self) -> SecretPolicy:
        return ENTERED_BY_HAND

    def why_not_rotated(self, current: str) -> str:
        entered = self.value(current).get(PROVIDER)
        # Only a plain name is shown: something else may have been entered there by mistake.
        is_name = isinstance(entered, str) and _NAME.fullmatch(entered)
        provider = entered if is_name else "not named"
        return f"{self.secret} cannot be rotated: no way for provider {provider}"


class EmailByHand(UnknownEmail):
    """`kanvaro/email` that a person enters; a login shows whether the old one still works."""

    @property
    def policy(self) -> SecretPolicy:
        return replace(ENTERED_BY_HAND, overlap_s=self.environment.policy.overlap_s)

    def why_not_rotated(self, current: str) -> str:
        return ""

    def check(self, current: str) -> None:
        self.account(self.value(current))

    def can_follow(self, value: Value, current: Value) -> bool:
        try:
            self.account(value)
        except SecretMalformed:
            return False
        is_new = value[PASSWORD] != current.get(PASSWORD)
        moved = [key for key in (HOST, PORT) if str(value[key]) != str(current.get(key))]
        # Without a reference to it the application would still use the old host or port.
        follows = all(is_given(self.environment, key) for key in moved)
        return is_new and follows and value.get(PROVIDER) == current.get(PROVIDER)

    def prove(self, version: str, current: str) -> None:
        prove_account(self.account(self.value(version)))

    def old(self, version: str) -> OldCredential | None:
        before = read_value(self.environment, self.secret, version)
        if before is None:
            return OldCredential.GONE
        return OldCredential.REFUSED if is_refused(self.account(before)) else OldCredential.WORKS

    def account(self, value: Value) -> SmtpAccount:
        """The server, user and password in a value. Raises `SecretMalformed`."""
        port = value.get(PORT)
        if type(port) is not int and not (isinstance(port, str) and _PORT.fullmatch(port)):
            raise SecretMalformed(f"{self.secret} has no number in {PORT}")
        if not 0 < int(port) < 65536:
            raise SecretMalformed(f"{self.secret} has no number of a port in {PORT}")
        host, user, password = (text_member(value, name) for name in (HOST, USER, PASSWORD))
        if not _HOST.fullmatch(host):
            raise SecretMalformed(
                f"{self.secret} has no name of a server in {HOST}",
                hint="Write it in ASCII, as DNS knows it (`xn--…`), then run again.",
            )
        if "\0" in user + password:
            raise SecretMalformed(f"{self.secret} has a zero byte in {USER} or {PASSWORD}")
        return SmtpAccount(host, int(port), user, password, self.environment.smtp_authorities)


class SesEmail(EmailByHand):
    """`kanvaro/email` of Amazon SES, with `region` and `iam_user`."""

    @property
    def policy(self) -> SecretPolicy:
        waits = self.environment.policy
        return replace(
            SES_KEYS,
            overlap_s=waits.overlap_s,
            drained_for_s=waits.drained_for_s,
            inactive_for_s=waits.inactive_for_s,
        )

    def check(self, current: str) -> None:
        super().check(current)
        live = self.value(current)
        smtp_password("any key", text_member(live, REGION))
        orphans_of(
            self.environment, text_member(live, IAM_USER), self._known(), self._left_since(current)
        )

    def make(self, version: str, current: str) -> Value:
        live = self.value(current)
        user, region = text_member(live, IAM_USER), text_member(live, REGION)
        key = create_key(self.environment, user, self._known(), self._left_since(current))
        login = {USER: key.id, PASSWORD: smtp_password(key.secret, region)}
        return {**live, **login, VERSION: version}

    def _known(self) -> set[str]:
        """The access keys in versions that have a label."""
        versions = read_labels(self.environment, self.secret).by_version
        values = (read_value(self.environment, self.secret, each) for each in versions)
        return {str(value.get(USER)) for value in values if value is not None}

    def _left_since(self, current: str) -> float:
        """When the first rotation began that may have left an orphan."""
        rows = ledger.read_rotations(self.environment, self.secret)
        over = max((row.began for row in rows if row.new_version == current), default=0.0)
        begun = [row.began for row in rows if row.began > over]
        return min(begun, default=float("inf")) - CLOCKS_DIFFER_S

    def connections(self, old: str) -> int:
        """1 while AWS records a recent use of the key, else 0: it does not count connections."""
        before = read_value(self.environment, self.secret, old)
        if before is None:
            return 0
        lately = RECORDED_LATE + timedelta(seconds=self.environment.policy.drained_for_s)
        key = text_member(before, USER)
        return int(was_used_since(self.environment, key, datetime.now(UTC) - lately))

    def old(self, version: str) -> OldCredential | None:
        before = read_value(self.environment, self.secret, version)
        if before is None:
            return OldCredential.GONE
        keys = keys_of(self.environment, text_member(before, IAM_USER))
        found = next((each for each in keys if each.id == before.get(USER)), None)
        if found is None:
            return OldCredential.GONE
        return OldCredential.WORKS if found.is_active else OldCredential.REFUSED

    def retire(self, old: str, current: str, *, at_once: bool) -> None:
        before = self.value(old)
        deactivate_key(self.environment, text_member(before, IAM_USER), text_member(before, USER))
        prove_refused(self.account(before))

    def delete(self, row: Record, now: float) -> None:
        before = self.value(row.old_version)
        at_once = self.emergency or row.compromised
        delete_key(
            self.environment,
            text_member(before, IAM_USER),
            text_member(before, USER),
            inactive_since=row.retired_at or now,
            now=now,
            inactive_for_s=0.0 if at_once else self.environment.policy.inactive_for_s,
        )
