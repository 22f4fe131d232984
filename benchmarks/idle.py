"""What the platform itself takes while nothing happens: a cluster with Kafka and a small web service, and nobody asks.

    python -m benchmarks.idle            five minutes, writes build/idle.json (SECONDS_MEASURED=60 for less)

Counted is every process of the cluster that is not a service's task: keeper, master, agents with their launchers and
shims, the host of services, the page. Processor time is read from the kernel at both ends, with that of children that
ended meanwhile; memory is the proportional set size at the end. Before it, how long `upcall --help` takes, from its
call to its end: the median of 21.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.cluster import OwnCluster, own_cluster
from upcall.cli.figures import Promise, Report
from upcall.cli.footprint import memory_mib, processes

SECONDS: Final = float(os.environ.get("SECONDS_MEASURED", "300"))
SETTLE_S: Final = 30.0
"""After the last member was ready: class loading, first looks."""
MEMORY_MIB_MAX: Final = 250.0
CORE_PERCENT_MAX: Final = 2.0
HELP_MS_MAX: Final = 100.0
HELPS: Final = 21
PROMISES: Final = (
    Promise("memory_mib", f"at most {MEMORY_MIB_MAX:g} MiB", lambda v: v <= MEMORY_MIB_MAX, "reference"),
    Promise("core_percent", f"at most {CORE_PERCENT_MAX:g} % of a core", lambda v: v <= CORE_PERCENT_MAX, "reference"),
    Promise("processes_ended", "0", lambda v: v == 0),
    Promise("help_ms", f"at most {HELP_MS_MAX:g} ms", lambda v: v <= HELP_MS_MAX, "reference"),
)
OURS: Final = (b"upcall.keeper", b"upcall.master", b"upcall.agent", b"upcall.service.host", b"upcall.web")
"""What the command line of a process of ours names. A shim is forked from its launcher and keeps that one's."""
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
UTIME, CSTIME = 11, 15
"""Of ``/proc/PID/stat``, behind the name: user and system time, its own and that of children that have ended."""


def ours(data: Path) -> list[int]:
    return [pid for pid in processes(data) if any(name in _read(pid, "cmdline") for name in OURS)]


def cpu_s(pid: int) -> float:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return sum(int(ticks) for ticks in fields[UTIME : CSTIME + 1]) / TICKS_PER_S if fields else 0.0


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def help_ms() -> float:
    command = [str(Path(sys.executable).with_name("upcall")), "--help"]
    took = []
    for _ in range(HELPS):
        began = time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        took.append(time.monotonic() - began)
    return statistics.median(took) * 1000


def measure(cluster: OwnCluster, report: Report) -> None:
    pids = ours(cluster.data)
    before = {pid: cpu_s(pid) for pid in pids}
    begin = time.monotonic()
    time.sleep(SECONDS)
    passed = time.monotonic() - begin
    stayed = [pid for pid in pids if _read(pid, "stat")]
    used = sum(cpu_s(pid) - before[pid] for pid in stayed)
    report.figures.update(
        idle_s=round(passed, 1),
        processes=len(pids),
        processes_ended=len(pids) - len(stayed),
        memory_mib=round(memory_mib(ours(cluster.data))),
        core_percent=round(100 * used / passed, 2),
    )


def main() -> int:
    report = Report("idle", PROMISES)
    report.figures["help_ms"] = round(help_ms(), 1)
    with own_cluster(nodes=3, memory_mib_per_node=1024) as cluster:
        cluster.upcall("install", "kafka", "--set", "brokers=3")
        cluster.upcall("install", "examples/hello.py")
        cluster.until("all members are ready", lambda: len(cluster.ready("kafka")) == 3 and cluster.ready("hello"))
        time.sleep(SETTLE_S)
        measure(cluster, report)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
