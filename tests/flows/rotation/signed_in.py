"""Emulate what the sample application does for signed-in users, by programs of the stand.

Each request that needs a database logs in again, which the application does not do: its open
connections would hide a mistake.
"""

import asyncio
import json
import time

import jwt
from aiohttp import web

from tasks.credentials import mongodb_account
from tests.flows.rotation.rotation_world import redis_lets_in

LIFE_S = 900
DATABASES = {
    "/api/presence": (redis_lets_in, "REDIS_URL"),
    "/api/projects": (mongodb_account.logs_in, "MONGODB_URI"),
}


async def signed_in(request, given):
    """Answer as an instance that was `given` these variables."""
    ring = json.loads(given["JWT_RING"])["access"]
    if request.method == "POST" and request.rel_url.path == "/api/session":
        return _signed(ring["current"], (await request.json())["name"])
    try:
        name = _verified(ring, request.headers["Authorization"].removeprefix("Bearer "))
    except (KeyError, jwt.InvalidTokenError):
        return web.json_response({}, status=401)
    lets_in, variable = DATABASES.get(request.rel_url.path, (bool, "JWT_RING"))
    is_in = await asyncio.to_thread(lets_in, given[variable])
    return web.json_response({"name": name}, status=200 if is_in else 500)


def _signed(key, name):
    claims = {"sub": name, "exp": int(time.time()) + LIFE_S}
    token = jwt.encode(claims, key["k"], "HS256", headers={"kid": key["kid"]})
    return web.json_response({"accessToken": token}, status=201)


def _verified(ring, token):
    good = [ring["current"], ring["next"]]
    good += [key for key in ring["previous"] if key["not_after"] > time.time()]
    keys = {key["kid"]: key["k"] for key in good}
    kid = jwt.get_unverified_header(token)["kid"]
    return jwt.decode(token, keys[kid], ["HS256"])["sub"]
