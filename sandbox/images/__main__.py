"""Have images on this machine's engine before tests need them: `python -m sandbox.images IMAGE …`.

Rows of tests run side by side; each would find the images missing and build them on its own.
"""

import sys

from sandbox.host.engine import docker_engine
from sandbox.host.machine import exit_code, say
from sandbox.images.base_images import ensure_check_images


def main() -> int:
    """Ensure the images that the command line names; return 1 if one cannot be had."""

    def ensure_all() -> None:
        client = docker_engine().client()
        try:
            ensure_check_images(client, sys.argv[1:], say)
        finally:
            client.close()

    return exit_code(ensure_all)


if __name__ == "__main__":
    sys.exit(main())
