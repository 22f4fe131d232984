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
        until = time.monotonic() + 180
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


def test_what_is_left_is_found_without_its_mark(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "log").touch()
    prefix = f"127.{16 + os.getpid() % 200}.{os.getppid() % 250}"
    listens = (
        f"import socket, time; s = socket.create_server(({prefix + '.9'!r}, 0)); print(1, flush=True); time.sleep(60)"
    )
    holds = f"import time; f = open({str(folder / 'log')!r}); print(1, flush=True); time.sleep(60)"
    works = "import time; print(1, flush=True); time.sleep(60)"
    environment = {"PATH": os.environ["PATH"]}
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, cwd=where)
        for code, where in ((listens, tmp_path), (holds, tmp_path), (works, folder), (works, tmp_path))
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        found = {int(words.split()[0]) for words in footprint.left(folder, prefix)}
        assert found == {process.pid for process in started[:3]}
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert footprint.left(folder, prefix) == []
