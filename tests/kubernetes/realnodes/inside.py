"""``python -m realnodes.inside FOLDER``: the first process of a node, which sees to containerd and the kubelet.

Everything that these two keep in fixed places lies in file systems of this node alone, so nothing of this machine is
touched. It reads commands, each answered with a line: ``begin``, then ``start NAME`` and ``stop NAME`` (SIGKILL). What
these are stands in ``node.json``.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from realnodes import groups

OURS: Final = ("/run", "/var/lib", "/var/log")
"""In them are things whose place nobody can choose."""
TUNED: Final = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
                "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes")  # fmt: skip
"""Settings of the whole kernel that a kubelet changes. It is given files to write to instead."""


class Inside:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs: dict[str, Any] = json.loads((folder / "node.json").read_text())
        self._running: dict[str, int] = {}

    def do(self, what: str, name: str) -> str:
        match what:
            case "start":
                self.start(name)
            case "stop":
                # It may have ended by itself, or never begun.
                if (number := self._running.pop(name, None)) is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
                    while Path("/proc", str(number)).exists():
                        time.sleep(0.05)
            case _:
                return f"{what} is not known"
        return "done"

    def start(self, name: str) -> None:
        program = self._programs[name]
        with (self._folder / f"{name}.log").open("ab") as log:
            # Who reaps it is the first process, whatever it is.
            self._running[name] = subprocess.Popen(
                program["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **program["environment"]}, start_new_session=True,
            ).pid  # fmt: skip

    def stand(self) -> None:
        socket.sethostname(self._folder.name)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        hierarchies = groups.hierarchies()
        for folder in OURS:
            _mount("-t", "tmpfs", "own", folder)
        for setting in TUNED:
            path, file = Path("/proc/sys", setting), Path("/run/tuned", setting)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(path.read_text())
            _mount("--bind", str(file), str(path))
        _mount("-t", "tmpfs", "groups", "/sys/fs/cgroup")
        for words in hierarchies:
            point = Path("/sys/fs/cgroup", words.removeprefix("name="))
            point.mkdir()
            _mount("-t", "cgroup", "-o", f"none,{words}" if "=" in words else words, "cgroup", str(point))
        _mount("--make-rshared", "/")


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def main(folder: str) -> None:
    inside = Inside(Path(folder))

    def read() -> None:
        for line in sys.stdin:
            what, _, name = line.strip().partition(" ")
            print(inside.do(what, name), flush=True)

    # Before anything runs here that others could leave to us: whoever mounts wants to hear how that ended.
    assert sys.stdin.readline().strip() == "begin"
    inside.stand()
    print("done", flush=True)
    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(0.5)


if __name__ == "__main__":
    main(*sys.argv[1:])
