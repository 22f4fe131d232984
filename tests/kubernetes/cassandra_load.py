"""Writes to Cassandra and reads from it until it is told to end, then reads all of it back: a client that knows its
nodes by their names.

``python cassandra_load.py DATA SERVICE``: the data folder of the cluster's master. Says one line of JSON.
"""

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.cql import Requests, create_table, logged_in, read_all
from cassandra import OperationTimedOut
from cassandra.cluster import NoHostAvailable

from upcall.client.blocking import Client
from upcall.cluster.folder import DataFolder

RATE_HZ: Final = 2
"""Writes, and as many reads."""
DEADLINE_S: Final = 300.0
"""A condition, not a speed."""
TRIES: Final = 10


def main(data: Path, service: str) -> None:
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    with logged_in(Client.of(DataFolder(data)), service=service, asks_others=True) as session:
        for left in reversed(range(TRIES)):
            try:
                create_table(session)
                break
            except (OperationTimedOut, NoHostAvailable):  # A ring that has just come together; asked again it is there.
                if not left:
                    raise
                time.sleep(1)
        with Requests(session, rate_hz=RATE_HZ, deadline_s=DEADLINE_S) as load:
            print("begins", flush=True)
            stopping.wait()
        found = read_all(session)
    said = {
        "asked": load.due, "failed": load.failed, "errors": load.errors, "unread": len(load.unread),
        "written": len(load.acknowledged), "lost": sum(found[number] != 1 for number in load.acknowledged),
        "slowest_s": round(max(load.in_time, default=0.0), 2),
    }  # fmt: skip
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
