"""What a hostile application tries, what it aims at, and what is looked for afterwards.

`hostile.cjs` is the script of one of its checks: it tries each attack, and says which came through.
`exhaust.cjs` is another's: it takes all that it can get of one thing.
"""

import json
import re
from pathlib import Path

from deployments import ROOT
from sandbox.parts.sample import git

HERE = Path(__file__).parent
ATTACKS = 13
CANARIES = {
    "aws": "CANARY-5f1c0e9d7b3a",
    "snyk": "CANARY-8a7d6c5b4f3e",
    "worker": "CANARY-2c4e6a8b0d1f",
}
A_KEY = "AKIAQ3EGR7N5XYZPLMKT"
HOOKED = Path("/tmp/kanvaro-hostile-hook")  # noqa: S108  the hooks that the check leaves make it
# Whether what the hostile check started still writes.
LOOK = """
const read = () => require('fs').readFileSync('/workspace/alive', 'utf8');
const before = read();
setTimeout(() => process.exit(read() === before ? 0 : 9), 500);
"""
CLEAN = 'test ! -e "$npm_config_cache/poisoned" && test ! -e .git/hooks/post-checkout'


def hostile_files(aims):
    """Return the files of an application whose checks attack; `leak.ts` is for the scanners."""
    return {
        "hostile.cjs": (HERE / "hostile.cjs").read_text(),
        "exhaust.cjs": (HERE / "exhaust.cjs").read_text(),
        "targets.json": json.dumps(aims),
        "look.cjs": LOOK,
        "leak.ts": f"export const key = '{A_KEY}';\n",
    }


class Aims:
    """The folders, ports and services of ours, with a canary in each folder that can hold one."""

    def __init__(self, operated, sandbox, service):
        self._operated = operated
        data_dir, prefect = operated.runs.environment.data_dir, operated.folder / "prefect"
        ours = [data_dir, data_dir / "mirrors", data_dir / "logs", prefect]
        # The files of remembered passes: who writes one there has forged it.
        ours.append(prefect / "storage/passes")
        for folder in ours:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "canary").write_text(CANARIES["worker"])
        others = [operated.app.sample.folder, ROOT, Path.home() / ".config/kanvaro-delivery"]
        self.folders = [*ours, *others]
        self.ports = _ports_in([operated.server.address, *vars(sandbox.addresses).values()])
        self.bridge, self.service = sandbox.addresses.bridge, service

    def told(self):
        """Return what the attacker is told: it knows all of this."""
        return {
            "folders": [str(folder) for folder in self.folders],
            "ports": self.ports,
            "bridge": self.bridge,
            "services": [self.service],
        }

    def attacks_through(self, log):
        """Return the attacks that the log of the hostile check tells, and those that came through.

        What an attack leaves outside its container counts as well.
        """
        said = [line.removeprefix("ATTACK ") for line in log.splitlines() if "ATTACK " in line]
        tried = [json.loads(line) for line in said]
        through = [attack for attack in tried if attack["through"]]
        planted = [folder for folder in self.folders if (folder / "planted").exists()]
        assert not HOOKED.exists(), "a hook that a check left was run"
        return tried, [*through, *planted]

    def objects(self):
        """Return what the mirror of the repository holds, after git has read every object of it."""
        [mirror] = (self._operated.runs.environment.data_dir / "mirrors").rglob("*.git")
        git(mirror, "fsck", "--strict")
        return set(git(mirror, "rev-list", "--all", "--objects").split())

    def logs(self, name):
        """Return what a check has written, in all runs."""
        found = (self._operated.runs.environment.data_dir / "logs").glob(f"*/{name}.log")
        return [path.read_text() for path in found]


def _ports_in(values):
    return sorted({int(port) for text in values for port in re.findall(r":(\d{4,5})\b", str(text))})
