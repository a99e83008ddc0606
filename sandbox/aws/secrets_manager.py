"""Correct the emulated Secrets Manager, where ministack's answers differ from AWS.

Measured with ministack 1.5.33 (`tests/sandbox/aws/test_secrets_manager.py` measures it each time):

* PutSecretValue with a known ClientRequestToken and another value overwrites that version, and
  with the same value removes its labels, even AWSCURRENT; AWS answers the first with
  ResourceExistsException and ignores the second.
* PutSecretValue leaves a label on its old version too; on AWS a label is on one version.
* RotateSecret knows no "in progress" and promotes at once; AWS creates an AWSPENDING version, which
  is empty until the rotation function fills it, and refuses while another one is pending.
* GetSecretValue of an empty version answers without a value, and ignores a VersionStage that the
  given VersionId does not have; AWS refuses both.
* AWSCURRENT can be removed without being moved, and a token may have any length (AWS: 32 to 64).

Correct, and therefore forwarded: GetSecretValue without a stage returns AWSCURRENT, moving
AWSCURRENT needs the RemoveFromVersionId that has it, and AWSPREVIOUS follows by itself. There is no
rotation function here, so RotateSecret has the effect of a function that died at once. Source: API
reference of AWS Secrets Manager.
"""

import json
import uuid
from typing import Any

from aiohttp import web

from sandbox.aws.proxy import AwsProxy, Call, JsonRefusal, body_of, with_json

CURRENT, PENDING = "AWSCURRENT", "AWSPENDING"
_TOKEN_LENGTHS = range(32, 65)

Requested = dict[str, Any]


class StrictSecretsManager(AwsProxy):
    """Serves AWS Secrets Manager over the account at `endpoint`; `url` is for boto3."""

    async def answer(self, call: Call) -> web.Response:
        ways = {
            "PutSecretValue": self._put,
            "GetSecretValue": self._get,
            "UpdateSecretVersionStage": self._move,
            "RotateSecret": self._rotate,
        }
        if call.operation not in ways:
            return await self.passed_on(call)
        requested = json.loads(call.body)
        try:
            _require_token_length(requested.get("ClientRequestToken"))
            return await ways[call.operation](call, requested)
        except JsonRefusal as refusal:
            return refusal.response()

    async def _put(self, call: Call, requested: Requested) -> web.Response:
        token = requested.get("ClientRequestToken", str(uuid.uuid4()))
        secret, labels = requested["SecretId"], requested.get("VersionStages", [CURRENT])
        known = await self._version(call, secret, token)
        if known and _has_value(known):
            if _value(known) != _value(requested):
                raise JsonRefusal(
                    "ResourceExistsException",
                    "You can't use ClientRequestToken for a version that has another value.",
                )
            names = ("ARN", "Name", "VersionId", "VersionStages")
            return web.json_response({name: known[name] for name in names})
        answer = await self.passed_on(
            with_json(call, "PutSecretValue", {**requested, "ClientRequestToken": token})
        )
        if answer.status == 200:
            await self._take_from_others(call, secret, token, labels)
        return answer

    async def _take_from_others(
        self, call: Call, secret: str, version: str, labels: list[str]
    ) -> None:
        for other, theirs in (await self._labels(call, secret)).items():
            for label in set(theirs) & set(labels) - {CURRENT}:
                if other != version:
                    requested = {
                        "SecretId": secret,
                        "VersionStage": label,
                        "RemoveFromVersionId": other,
                    }
                    await self._result(call, "UpdateSecretVersionStage", requested)

    async def _get(self, call: Call, requested: Requested) -> web.Response:
        answer = await self.passed_on(call)
        found = json.loads(body_of(answer))
        if answer.status != 200:
            return answer
        stage = requested.get("VersionStage")
        if stage and stage not in found["VersionStages"]:
            raise JsonRefusal(
                "InvalidRequestException",
                "You provided a VersionStage that is not associated to the provided VersionId.",
            )
        if not _has_value(found):
            raise _absent(f"the specified secret value for VersionId: {found['VersionId']}")
        return answer

    async def _move(self, call: Call, requested: Requested) -> web.Response:
        if requested.get("VersionStage") == CURRENT and not requested.get("MoveToVersionId"):
            raise JsonRefusal(
                "InvalidParameterException",
                f"You can only move staging label {CURRENT} to a different secret version. "
                "It can't be completely removed.",
            )
        return await self.passed_on(call)

    async def _rotate(self, call: Call, requested: Requested) -> web.Response:
        secret, token = (
            requested["SecretId"],
            requested.get("ClientRequestToken", str(uuid.uuid4())),
        )
        labels = await self._labels(call, secret)
        if any(PENDING in theirs and CURRENT not in theirs for theirs in labels.values()):
            raise JsonRefusal(
                "InvalidRequestException",
                "A previous rotation isn't complete. That rotation will be reattempted.",
            )
        made = await self._result(
            call,
            "PutSecretValue",
            {"SecretId": secret, "ClientRequestToken": token, "VersionStages": [PENDING]},
        )
        await self._take_from_others(call, secret, token, [PENDING])
        return web.json_response({name: made[name] for name in ("ARN", "Name", "VersionId")})

    async def _version(self, call: Call, secret: str, version: str) -> Requested | None:
        requested = {"SecretId": secret, "VersionId": version}
        answer = await self.passed_on(with_json(call, "GetSecretValue", requested))
        found: Requested = json.loads(body_of(answer))
        return found if answer.status == 200 else None

    async def _labels(self, call: Call, secret: str) -> dict[str, list[str]]:
        found = await self._result(call, "DescribeSecret", {"SecretId": secret})
        labels: dict[str, list[str]] = found["VersionIdsToStages"]
        return labels

    async def _result(self, call: Call, operation: str, requested: Requested) -> Requested:
        """Send ministack another operation and return its answer; raises JsonRefusal."""
        answer = await self.passed_on(with_json(call, operation, requested))
        result: Requested = json.loads(body_of(answer))
        if answer.status != 200:
            raise JsonRefusal(result["__type"], result.get("message", ""))
        return result


def _require_token_length(token: str | None) -> None:
    if token is not None and len(token) not in _TOKEN_LENGTHS:
        raise JsonRefusal(
            "InvalidParameterException", "ClientRequestToken must have 32 to 64 characters."
        )


def _absent(what: str) -> JsonRefusal:
    return JsonRefusal("ResourceNotFoundException", f"Secrets Manager can't find {what}.")


def _value(version: Requested) -> tuple[Any, Any]:
    return version.get("SecretString"), version.get("SecretBinary")


def _has_value(version: Requested) -> bool:
    return _value(version) != (None, None)
