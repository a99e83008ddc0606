"""Stop what `KEEP=1 make demo` or `make ci` left running: server, worker and sandbox."""

import subprocess
import sys

from deployments.processes import stop_kept
from deployments.register import ROOT

FOLDER = ROOT / ".sandbox"


def main() -> int:
    print(f"stopped {stop_kept(FOLDER)} Prefect processes")
    command = [sys.executable, "-m", "sandbox", "--stop", "--folder", str(FOLDER)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
