"""A cluster of its own for a benchmark, in a temporary data folder, driven as a person does it: by the command line.

What the command line does not give (states to wait for) is read from the operator API. The cluster is taken down
whatever happens, and its folder goes with it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from upcall.client.blocking import Client
from upcall.cluster.folder import DataFolder
from upcall.fastdata.login import Login, kafka_client
from upcall.protocol.operator import OperationView, TaskView

T = TypeVar("T")

WAIT_S: Final = 240.0
"""A condition, not a speed: what takes longer is broken, not slow."""
LOOK_S: Final = 0.25
"""Looking costs, too: what is measured runs on the same cores."""
LOG_LINES: Final = 20


class Broken(Exception):
    """The run cannot go on: what was expected did not come."""


@dataclass(frozen=True)
class OwnCluster:
    data: Path

    def upcall(self, *words: str) -> str:
        """One command, as a person types it; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "upcall.cli", *words],
            env={**os.environ, "UPCALL_DATA": str(self.data), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=2 * WAIT_S,
            check=False,
        )
        if done.returncode:
            raise Broken(f"upcall {' '.join(words)} ended with {done.returncode}: {done.stdout}\n{done.stderr}")
        return done.stdout

    def ask(self, *words: str) -> Any:
        """The same for programs: its JSON."""
        return json.loads(self.upcall(*words, "--output", "json"))

    @property
    def client(self) -> Client:
        """A master that is killed again and again is started a little later each time, and waited for."""
        found = Client.of(DataFolder(self.data))
        found.patience_s = WAIT_S
        return found

    def until(self, what: str, look: Callable[[], T], wait_s: float = WAIT_S) -> T:
        """The first true value of ``look``."""
        end = time.monotonic() + wait_s
        while not (found := look()):
            if time.monotonic() > end:
                said = "\n".join(event.text for event in self.client.events(limit=40))
                raise Broken(f"not within {wait_s:g} s: {what}\n{said}")
            time.sleep(LOOK_S)
        return found

    def operation(self, name: str) -> OperationView:
        return self.client.operation(name)

    def kafka_client(self, service: str = "kafka") -> dict[str, str]:
        """Settings of a client of the brokers that are ready."""
        said = self.client.credentials(service, "client")
        servers = sorted(f"{task.address}:{task.ports['client']}" for task in self.ready(service))
        login = Login(said.user, said.password) if said.user else None
        return {"bootstrap.servers": ",".join(servers), **kafka_client(login)}

    def ready(self, service: str) -> list[TaskView]:
        return [task for task in self.client.tasks() if task.service == service and task.state == "ready"]


@contextmanager
def own_cluster(*, nodes: int, memory_mib_per_node: int) -> Iterator[OwnCluster]:
    # Whoever ends this run ends its cluster, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="upcall-bench-") as folder:
        cluster = OwnCluster(Path(folder) / "data")
        try:
            cluster.upcall("up", "--nodes", str(nodes), "--memory-mib-per-node", str(memory_mib_per_node))
            yield cluster
        except BaseException:
            for log in sorted((cluster.data / "logs").glob("*.log")):
                last = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
                print(f"== {log.name}\n{last}", file=sys.stderr)
            raise
        finally:
            if (cluster.data / "keeper").exists():
                cluster.upcall("down")
