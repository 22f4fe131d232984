"""What an agent would find on this machine, for somebody who asks before there is one: ``python -m
upcall.agent.features DATA_FOLDER`` prints it as JSON. Nothing is left behind.

It is found as an agent finds it, by trying; whoever is asked for is this process's user, in its control group: those of
the terminal from which ``upcall up`` would be typed.
"""

import json
import sys
import tempfile
from pathlib import Path

from upcall.agent import boxes, cgroups
from upcall.agent.places import Places

NODE = "doctor"


def found(data: Path) -> tuple[str, ...]:
    groups = cgroups.detect(data / "nodes" / NODE)
    groups.tidy(())
    box = boxes.detect(Places(data, NODE))
    counted = groups.count_processes or box.users is not None
    processes = "process-limits" if counted else "no-process-limits"
    return (*groups.features, *box.features, processes, "no-disk-limits")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="upcall-doctor-") as empty:
        data = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(empty)
        print(json.dumps(found(data)))


if __name__ == "__main__":
    main()
