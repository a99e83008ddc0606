"""Remove what a run has in the engine when the run's process dies, however it dies.

The run starts it as `python -I reaper.py RUN`. Standard input is a lifeline: one line of JSON says
how the engine is reached, then nothing follows until a full stop, which the run writes once it has
removed everything itself. If the input ends without it, the run's process is gone.

It imports little before that: every run waits until it is started.
"""

import sys
from pathlib import Path


def main() -> None:
    run, lifeline = sys.argv[1], sys.stdin.buffer
    first = lifeline.readline()
    if not first or lifeline.read(1) == b".":
        return
    # Wherever the code lies: this interpreter is isolated, and reads no variable that says so.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from prefect_docker import DockerHost

    from delivery.json_reader import read_json
    from tasks.containers.run_engine import remove_of_run

    client = DockerHost(**read_json(first)).get_client()
    # What the run was about to make when it died may come a moment later.
    remove_of_run(client, run)
    remove_of_run(client, run)


if __name__ == "__main__":
    main()
