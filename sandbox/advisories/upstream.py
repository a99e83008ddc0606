"""Fetch package documents from the registry that this machine's npm is configured with.

npm asks the audited registry for the documents of affected packages, to find out whether a fix
exists. The sandbox forwards these requests and no others.
"""

import asyncio
import os
import shutil
import ssl
from pathlib import Path

import httpx

_SECONDS = 20.0
_SYSTEM_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


async def configured_registry() -> str | None:
    """Return the registry address in npm's configuration; None without npm or without an answer."""
    npm = shutil.which("npm")
    if not npm:
        return None
    program = await asyncio.create_subprocess_exec(
        npm,
        "config",
        "get",
        "registry",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd="/",
    )
    try:
        output, _ = await asyncio.wait_for(program.communicate(), _SECONDS)
    except TimeoutError:
        program.kill()
        await program.wait()
        return None
    address = output.decode(errors="replace").strip()
    return address.rstrip("/") if address.startswith(("http://", "https://")) else None


async def package_document(registry: str, path: str, accept: str) -> httpx.Response:
    """Fetch a package's document from the registry; raises httpx.HTTPError."""
    async with httpx.AsyncClient(verify=_authorities(), timeout=_SECONDS) as client:
        return await client.get(f"{registry}/{path}", headers={"Accept": accept})


def _authorities() -> ssl.SSLContext:
    """Trust what npm trusts here: the system's authorities and those in NODE_EXTRA_CA_CERTS."""
    context = ssl.create_default_context()
    for extra in (_SYSTEM_AUTHORITIES, Path(os.environ.get("NODE_EXTRA_CA_CERTS", ""))):
        if extra.is_file():
            context.load_verify_locations(extra)
    return context
