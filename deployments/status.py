"""Print what is live, whether it is healthy and how to roll back, without starting a run.

    make status [ENVIRONMENT=production]

The exit code is 0 if all is well, 1 if something needs attention, 2 if it could not be read.
"""

import os
import sys

from blocks.environment import Environment
from delivery.maintenance.status import as_text
from deployments.server.server_access import at_the_server, command
from tasks.maintenance.status import collect_status


def show() -> int:
    """Print the status; raises `DeliveryError` if it could not be read."""
    name = os.environ.get("ENVIRONMENT") or "production"
    with at_the_server():
        seen = collect_status(Environment.named(name).act_for("status", "by-hand"))
    print(as_text(seen))
    return 0 if seen.is_well else 1


if __name__ == "__main__":
    sys.exit(command("status", show))
