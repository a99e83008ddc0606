"""Stop what `KEEP=1 make demo` or `make ci` left running: server, worker and sandbox."""

import subprocess
import sys

from deployments import ROOT
from deployments.demo.laptop import ENVIRONMENT, FOLDER
from deployments.server.processes import stop_kept


def main() -> int:
    stopped = stop_kept(FOLDER) + stop_kept(FOLDER / ENVIRONMENT)
    print(f"stopped {stopped} Prefect processes")
    command = [sys.executable, "-m", "sandbox", "--stop", "--folder", str(FOLDER)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
