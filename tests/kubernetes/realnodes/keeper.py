"""``python -m realnodes.keeper FOLDER COUNT``: holds the switch and the nodes, and takes all of it away at its end.

It ends when nobody holds the other end of its input any more, however that came: so nothing is left of nodes whose
tests were killed. Of processes, mounts, namespaces and links the kernel sees to that, and control groups are removed.
While it lives it reads commands and answers each with a line: ``start node-1`` (with the number of its first process),
``cut node-1`` (as a power cut), and ``tell node-1 WORDS`` (:mod:`realnodes.inside`). Two of them at a time can be on a
machine; a third waits.
"""

import fcntl
import functools
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from realnodes import groups, limits
from realnodes.network import AT_ONCE, Network
from upcall.artifacts.cache import default_root
from upcall.keeper import linux

END_S: Final = 60.0
APART: Final = ("--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup")


@dataclass
class Node:
    process: subprocess.Popen[bytes]
    groups: list[Path]


class Keeper:
    def __init__(self, network: Network, folder: Path, count: int) -> None:
        self._network, self._folder, self._count = network, folder, count
        self._nodes: dict[str, Node] = {}
        self._switch = subprocess.Popen(
            ["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL, preexec_fn=_ends_with_us
        )

    def begin(self) -> None:
        groups.remove(groups.left_behind())
        self._network.switch_up(self._switch.pid)

    def do(self, line: str) -> str:
        what, name, *words = line.split()
        match what:
            case "start":
                return self._start(name)
            case "cut":
                self._cut(name)
                return "done"
            case "tell":
                return self._tell(name, " ".join(words))
            case _:
                return f"{what} is not known"

    def end(self) -> None:
        for name in list(self._nodes):
            self._cut(name)
        self._switch.kill()
        self._switch.wait()
        until_s = time.monotonic() + END_S
        while self._network.is_there():
            assert time.monotonic() < until_s, f"{self._network.link} is still there"
            time.sleep(0.05)

    def _start(self, name: str) -> str:
        made = groups.make(name)
        folder, number = self._folder / name, int(name.rpartition("-")[2])

        def before() -> None:
            _ends_with_us()
            groups.join(made)

        with (folder / "inside.log").open("ab") as log:
            process = subprocess.Popen(
                ["unshare", *APART, "--fork", "--kill-child", "--mount-proc", "--propagation=private",
                 sys.executable, "-m", "realnodes.inside", str(folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, preexec_fn=before,
            )  # fmt: skip
        self._nodes[name] = Node(process, made)
        self._network.plug(self._switch.pid, process.pid, number, self._count)
        if (said := self._tell(name, "begin")) != "done":
            return said
        return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()

    def _cut(self, name: str) -> None:
        node = self._nodes.pop(name)
        node.process.kill()
        node.process.wait()
        groups.remove(node.groups)

    def _tell(self, name: str, words: str) -> str:
        node = self._nodes[name].process
        assert node.stdin is not None
        assert node.stdout is not None
        node.stdin.write(f"{words}\n".encode())
        node.stdin.flush()
        return node.stdout.readline().decode().strip() or f"{name} ended: {self._folder / name / 'inside.log'}"


def _ends_with_us() -> None:
    linux.die_with_parent(signal.SIGKILL)
    os.setsid()


def free_network() -> tuple[Network, IO[str]]:
    """It is ours until that file is closed."""
    folder = default_root() / "kubernetes"
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for number in range(AT_ONCE):
            lock = (folder / f"nodes-{number}.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
            else:
                return Network(number), lock
        time.sleep(1.0)


def main(folder: str, count: str) -> None:
    # Whoever interrupts the tests in a terminal interrupts us too; what ends us is the end of our input.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    say = functools.partial(print, flush=True)
    network, ours = free_network()
    with ours, limits.more():
        keeper = Keeper(network, Path(folder), int(count))
        try:
            keeper.begin()
            say(network.number)
            for line in sys.stdin:
                say(keeper.do(line))
        finally:
            keeper.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
