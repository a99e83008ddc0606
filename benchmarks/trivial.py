"""Provide a trivial application: its scripts do nothing, and its image starts at once."""

import json
import subprocess
from pathlib import Path

from sandbox.parts.sample import BRANCH, Sample

SCRIPTS = (
    *("lint", "format:check", "type-check"),
    *("test:unit", "test:integration", "test:coverage", "test:e2e"),
)
_ABOUT = {"name": "trivial", "version": "1.0.0", "private": True}
_SERVER = """\
import { createServer } from 'node:http';

const answer = JSON.stringify({ status: 'ready', revision: process.env.REVISION, checks: {} });
const server = createServer((_, response) => response.end(answer)).listen(3000, '0.0.0.0');
process.once('SIGTERM', () => server.close());
"""
_DOCKERFILE = """\
FROM node:22-bookworm-slim
WORKDIR /app
COPY server.mjs ./
ARG REVISION
ENV REVISION=${REVISION}
CMD ["node", "server.mjs"]
"""


def repository(folder: Path) -> Sample:
    """Create its repository in `folder`, with one commit."""
    command = ["git", "init", "--quiet", f"--initial-branch={BRANCH}", str(folder)]
    subprocess.run(command, check=True)
    sample = Sample(folder)
    sample.commit(files(), "Do nothing")
    return sample


def files() -> dict[str, str]:
    lock = {**_ABOUT, "lockfileVersion": 3, "requires": True, "packages": {"": _ABOUT}}
    return {
        "package.json": json.dumps({**_ABOUT, "scripts": dict.fromkeys(SCRIPTS, "true")}),
        "package-lock.json": json.dumps(lock),
        "server.mjs": _SERVER,
        "Dockerfile": _DOCKERFILE,
        ".dockerignore": "**\n!server.mjs\n",
        # The report that a coverage tool would write.
        "coverage/lcov.info": "SF:server.mjs\nDA:1,1\nLF:1\nLH:1\nend_of_record\n",
    }
