"""A start that hangs: it is told, ended by a cure that its service was asked about, and the next one is well. Meanwhile
its service says what is wrong with it."""

import re
from pathlib import Path

from real_cluster import Cluster

TEXT = '''"""A service of one member whose second start hangs."""

import upcall.service as up

PROGRAM = """
import http.server, os, pathlib, sys, time
starts = pathlib.Path(sys.argv[1], "starts")
number = len(starts.read_text()) if starts.exists() else 0
starts.write_text("x" * (number + 1))
if number == 1:
    print("waits for a lock that nobody gives back", flush=True)
    time.sleep(3600)
http.server.ThreadingHTTPServer((sys.argv[2], 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


class Stuck(up.Service):
    """Its second start hangs."""

    health_every_s = 1.0

    def pods(self) -> list[up.Pod]:
        return [up.Pod("member", count=1)]

    def task(self, member: up.Member) -> up.Declaration:
        return up.Declaration(
            command=("{{python}}", "-c", PROGRAM, "{{volume.data}}", "{{address}}"),
            volumes=(up.Volume(name="data", size_mib=1),),
            ports=(up.Port(name="http", number=8080),),
            ready=up.Check(tcp="http"),
            start_timeout_s=4.0,
        )

    async def health(self) -> list[up.Degraded]:
        return [
            up.Degraded(f"{each} does not serve", doing=f"it is {each.state}", member=each.name)
            for each in self.members
            if not each.ready
        ]
'''


def test_a_start_that_hangs_is_told_cured_by_a_restart_that_is_asked_about_and_over_then(
    cluster: Cluster, tmp_path: Path
) -> None:
    own = tmp_path / "stuck.py"
    own.write_text(TEXT)
    cluster.upcall("install", str(own))
    (first,) = cluster.until_ready("stuck.member-0")
    cluster.upcall("task", "restart", first.member, "--reason", "a test wants it", "--no-wait")
    (wrong,) = cluster.until("it is told", lambda: cluster.client.service("stuck").degraded)
    assert wrong.what == "member-0 does not serve"
    said = cluster.upcall("why", "stuck").stdout
    assert "stuck: degraded for " in said
    assert re.search("member-0 does not serve; (it is|restart of|cure of) ", said), said

    def third() -> bool:
        return (task := cluster.task(first.member)).incarnation == 3 and task.state == "ready"

    cluster.until("it is cured", third)
    cluster.until("nothing is wrong", lambda: not cluster.client.service("stuck").degraded)
    told = [event.text for event in cluster.client.events(limit=200)]
    assert any("not ready within 4 s" in text for text in told), told
    health = [event.text for event in cluster.client.events(limit=200) if event.kind == "health"]
    assert [text.partition(":")[0] for text in health] == ["degraded", "over"]
    assert not cluster.client.service("stuck").degraded
