"""The keys that sign the application's tokens: a ring that each rotation moves on by one key.

Only the application checks them, so no other system is changed, and an old key expires.
"""

import json
import time
from dataclasses import replace

from delivery.credentials.key_ring import (
    KeyRings,
    TokenLifetimes,
    bootstrap,
    emergency_rings,
    legacy_pair,
    random_pair,
    read_rings,
    rotate_rings,
)
from delivery.credentials.key_ring_checks import why_not_promoted
from delivery.errors import CredentialUnfit, RequestRefused, SecretMalformed
from delivery.rotation.facts import KEY_RINGS, SecretKind, SecretPolicy
from tasks.credentials.credential import VERSION, Credential, is_given
from tasks.credentials.secrets_manager import Value

RING = "ring"
LIVES = TokenLifetimes()


class KeyRingCredential(Credential):
    """`kanvaro/jwt`."""

    kind = SecretKind.JWT
    keys = frozenset({"jwt_secret", "refresh_secret", VERSION})

    @property
    def policy(self) -> SecretPolicy:
        return replace(KEY_RINGS, overlap_s=0.0, drained_for_s=0.0)

    def check(self, current: str) -> None:
        text = json.dumps(self.value(current))
        if read_rings(text) is None:
            legacy_pair(text)
        if not self.emergency and not is_given(self.environment, RING):
            raise RequestRefused(
                f"the application is not given the key ring of {self.secret}, so other keys "
                "would log everybody out",
                hint="Give it the key `ring` (docs/rotation.md), or set force_logout with a "
                "reason. Nothing was changed.",
            )

    def can_follow(self, value: Value, current: Value) -> bool:
        try:
            return not self._reasons_against(value, current)
        except SecretMalformed:
            return False

    def make(self, version: str, current: str) -> Value:
        live = self.value(current)
        return {**live, **self._new_rings(json.dumps(live)).value(version)}

    def prove(self, version: str, current: str) -> None:
        if reasons := self._reasons_against(self.value(version), self.value(current)):
            raise CredentialUnfit(
                f"the new keys of {self.secret} are not fit: {'; '.join(reasons)}"
            )

    def _reasons_against(self, value: Value, current: Value) -> list[str]:
        before, after = json.dumps(current), json.dumps(value)
        return why_not_promoted(before, after, int(time.time()), LIVES, compromised=self.emergency)

    def _new_rings(self, text: str) -> KeyRings:
        if self.emergency:
            return emergency_rings(random_pair(), random_pair())
        rings = read_rings(text)
        if rings is None:
            return bootstrap(legacy_pair(text), random_pair())
        return rotate_rings(rings, random_pair(), int(time.time()), LIVES)
