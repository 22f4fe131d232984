"""A data folder with its supervisor and real children, for the tests of this folder."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from upcall.keeper import begin, processes, sockets, start
from upcall.keeper.identity import Identity

PATIENCE_S = 180.0


def eventually(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"never happened: {what}")


def process(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "argv": ["sh", "-c", script], **more}


class Kept:
    """A data folder with its supervisor."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def write_spec(self, *listed: dict[str, Any]) -> None:
        (self.data / "keeper").mkdir(parents=True, exist_ok=True)
        (self.data / "keeper" / "spec.json").write_text(json.dumps({"version": 1, "processes": listed}))

    def up(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "upcall.keeper", str(self.data)]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        return start.ask(str(self.data), do, PATIENCE_S, **more)

    def supervisor(self) -> Identity:
        return Identity.from_json(self.ask("status")["supervisor"])

    def child(self, name: str) -> dict[str, Any]:
        child: dict[str, Any] = next(one for one in self.ask("status")["processes"] if one["name"] == name)
        return child

    def running(self, name: str) -> Identity:
        found = eventually(lambda: self.child(name)["identity"], f"{name} runs")
        return Identity.from_json(found)

    def log(self, name: str) -> str:
        path = self.data / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def down(self) -> None:
        supervisor = self.supervisor()
        self.ask("shutdown")
        eventually(lambda: not supervisor.alive(), "the supervisor ended")


K = TypeVar("K", bound=Kept)


@contextmanager
def kept_in(kept: K) -> Iterator[K]:
    """Nothing of it is left afterwards."""
    kept.data.mkdir(exist_ok=True)
    yield kept
    if start.runs(str(kept.data)):
        kept.down()
    assert processes.marked(str(kept.data)) == []


def start_task(kept: Kept, node: str, task: str, script: str) -> tuple[Identity, Identity]:
    """A task with its shim and launcher, as an agent would have started it."""
    folder = kept.data.resolve() / "nodes" / node
    (folder / "tasks" / task).mkdir(parents=True)
    begin.start_launcher(str(folder), str(kept.data.resolve()))
    env = {"PATH": os.environ["PATH"], processes.FOLDER_MARK: str(folder), processes.TASK_MARK: task}
    request = {
        "do": "start", "folder": str(folder / "tasks" / task), "name": task,
        "argv": ["sh", "-c", script], "env": env, "cwd": "/",
    }  # fmt: skip
    running = sockets.ask(begin.socket_of(str(folder)), request)["running"]
    return Identity.from_json(running["shim"]), Identity.from_json(running["task"])
