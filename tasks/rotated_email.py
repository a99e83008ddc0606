"""The secret of the mail provider. None of them can be rotated yet, which each run says.

What it takes is there (`tasks.ses_keys`, `tasks.smtp_account`), and is not put together.
"""

import re

from delivery.rotation_facts import ENTERED_BY_HAND, Kind, Policy
from tasks.rotated import VERSION, Rotated

_NAME = re.compile(r"[a-z][a-z-]{0,19}")


class RotatedEmail(Rotated):
    """`kanvaro/email`."""

    kind = Kind.EMAIL
    keys = frozenset({"smtp_user", "smtp_pass", VERSION})

    @property
    def policy(self) -> Policy:
        return ENTERED_BY_HAND

    def cannot(self, current: str) -> str:
        said = self.value(current).get("provider")
        # A name is shown; what else may have been entered there is not.
        provider = said if isinstance(said, str) and _NAME.fullmatch(said) else "not named"
        return f"{self.secret} cannot be rotated: no way for provider {provider}"
