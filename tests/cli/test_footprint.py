"""What belongs to a data folder is found by its mark, and by nothing else."""

import os
import subprocess
import sys
import time
from pathlib import Path

from upcall.cli import footprint

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def started(**environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(SLEEP, env={**os.environ, **environment})


def test_processes_of_a_folder_are_found_and_measured(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    ours = started(UPCALL_NODE_FOLDER=f"{folder}/nodes/node-1")
    neighbour = started(UPCALL_NODE_FOLDER=f"{folder}-2/nodes/node-1")
    speaker = started(UPCALL_DATA=str(folder))
    try:
        until = time.monotonic() + 30
        while ours.pid not in (found := footprint.processes(folder)) and time.monotonic() < until:
            time.sleep(0.05)
        assert found == [ours.pid]
        peak = footprint.Peak()
        peak.sample(folder)
        assert 0.5 < peak.mib < 200
    finally:
        for process in (ours, neighbour, speaker):
            process.kill()
            process.wait()
    assert footprint.processes(folder) == []
