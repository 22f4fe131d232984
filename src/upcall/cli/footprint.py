"""What a cluster's processes take on this machine: found by the mark in their environment, measured by the kernel.

Memory is the proportional set size: a page that several processes share (a runtime's libraries, class archives)
counts once in all, not once in each.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from upcall.keeper.processes import FOLDER_MARK

MARK: Final = FOLDER_MARK.encode() + b"="
"""The keeper has it, and every process that it starts inherits it: the data folder, or a node's folder below it."""
SAMPLE_S: Final = 2.0


def processes(folder: Path, proc: Path = Path("/proc")) -> list[int]:
    """Process ids of everything that belongs to this data folder."""
    home = os.fsencode(folder)
    found = []
    for entry in proc.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        environment = _read(entry / "environ")
        at = environment.find(MARK)
        if at < 0:
            continue
        value = environment[at + len(MARK) :].partition(b"\0")[0]
        if value == home or value.startswith(home + b"/"):
            found.append(int(entry.name))
    return found


def left(folder: Path, prefix: str) -> list[str]:
    """What of a cluster that is down is still there, in words. Its end goes by the mark, so here the mark is not
    trusted: whoever works in its folder, holds a file of it open or listens in its range ``127.a.b`` counts too."""
    import psutil

    marked, home = set(processes(folder)), str(folder)
    listening = {
        one.pid
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.ip.startswith(f"{prefix}.")
    }
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            held = [process.cwd(), *(file.path for file in process.open_files())]
            if process.pid in marked | listening or any(path == home or path.startswith(f"{home}/") for path in held):
                found.append(f"{process.pid} {process.name()}")
        except psutil.Error:
            continue  # it ended meanwhile, or is somebody else's
    return found


def memory_mib(pids: list[int], proc: Path = Path("/proc")) -> float:
    """Proportional set size of them all."""
    total_kib = 0
    for pid in pids:
        for line in _read(proc / str(pid) / "smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                total_kib += int(line.split()[1])
    return total_kib / 1024


class Peak:
    """The most memory seen so far."""

    def __init__(self) -> None:
        self.mib = 0.0

    def sample(self, folder: Path) -> None:
        self.mib = max(self.mib, memory_mib(processes(folder)))


@contextmanager
def watched(folder: Path, peak: Peak) -> Iterator[None]:
    """Sampled in a thread for as long as the block lasts."""
    over = threading.Event()

    def loop() -> None:
        ended = False
        while not ended:
            peak.sample(folder)
            ended = over.wait(SAMPLE_S)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
