"""Who follows a member's log reads on when it is started again, and when agent or master is."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_cluster import Cluster

TEXT = '''"""A service whose member counts the days of its life."""

import upcall.service as up

COUNTS = """
import itertools, time
for n in itertools.count():
    print("line", n, flush=True)
    time.sleep(0.1)
"""


class Count(up.Service):
    def pods(self) -> list[up.Pod]:
        return [up.Pod("member", count=1)]

    def task(self, member: up.Member) -> up.Declaration:
        return up.Declaration(command=("{{python}}", "-c", up.literal(COUNTS)))
'''


class Followed:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[int] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            word, _, number = line.partition(" ")
            if word == "line":
                self.lines.append(int(number))

    def comes(self, cluster: Cluster, more: int) -> None:
        at = len(self.lines)
        cluster.until("it reads on", lambda: len(self.lines) >= at + more or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()[1]


@pytest.fixture
def followed(cluster: Cluster, tmp_path: Path) -> Iterator[Followed]:
    own = tmp_path / "count.py"
    own.write_text(TEXT)
    cluster.upcall("install", str(own))
    found = Followed(cluster.begin("logs", "count.member-0", "-f"))
    yield found
    found.process.kill()
    found.process.wait()


def test_who_follows_a_log_reads_on_over_every_restart(cluster: Cluster, followed: Followed) -> None:
    followed.comes(cluster, 5)
    for name in ("master", f"agent-{cluster.task('count.member-0').node}"):
        before = cluster.kill(name)
        cluster.until_restarted(name, before)
        followed.comes(cluster, 20)
    assert followed.lines == list(range(len(followed.lines))), "each line once, and in its order"

    cluster.upcall("task", "restart", "count.member-0")
    cluster.until("the next one's first line", lambda: followed.lines.count(0) == 2)
    followed.comes(cluster, 5)
    assert followed.process.poll() is None
    followed.process.send_signal(signal.SIGINT)
    assert followed.process.wait(60) == 130
