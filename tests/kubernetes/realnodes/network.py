"""Addresses and links of the nodes: a switch in a network namespace of its own, one link from it to this machine and
one to each node. With the last process in such a namespace its links go, also those whose other end is here.

Several clusters at a time are on networks of their own.
"""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

AT_ONCE: Final = 2
"""So many networks has the block that is for tests of networks, and nobody's else (RFC 2544)."""
START_S: Final = 60.0


@dataclass(frozen=True)
class Network:
    number: int

    @property
    def link(self) -> str:
        """To the switch, on this machine."""
        return f"upcall-lab-{self.number}"

    @property
    def host(self) -> str:
        """This machine, for nodes and pods."""
        return f"198.{18 + self.number}.0.1"

    def address(self, node: int) -> str:
        """The first node is 1."""
        return f"198.{18 + self.number}.0.{10 + node}"

    def pods(self, node: int) -> str:
        """The addresses of its pods."""
        return f"198.{18 + self.number}.{node}.0/24"

    def switch_up(self, switch: int) -> None:
        """``switch``: a process in the namespace that is to be it."""
        _until_apart(switch)
        _ip(
            None,
            f"link add {self.link} type veth peer name uplink netns {switch}",
            f"addr add {self.host}/24 dev {self.link}",
            f"link set {self.link} up",
        )
        _ip(
            switch, "link add ports type bridge", "link set ports up", "link set uplink master ports",
            "link set uplink up",
        )  # fmt: skip

    def plug(self, switch: int, process: int, node: int, count: int) -> None:
        """``process``: one in that node's namespace."""
        _until_apart(process)
        port = f"node-{node}"
        _ip(
            switch,
            f"link add {port} type veth peer name eth0 netns {process}",
            f"link set {port} master ports",
            f"link set {port} up",
        )
        others = (each for each in range(1, count + 1) if each != node)
        _ip(
            process,
            "link set lo up",
            f"addr add {self.address(node)}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {self.host}",
            *(f"route add {self.pods(each)} via {self.address(each)}" for each in others),
        )
        _ip(None, f"route replace {self.pods(node)} via {self.address(node)} dev {self.link}")

    def is_there(self) -> bool:
        return Path("/sys/class/net", self.link).exists()


def _ip(process: int | None, *commands: str) -> None:
    """In the namespace of that process; None: in ours."""
    into = ["nsenter", f"--net=/proc/{process}/ns/net"] if process else []
    lines = "".join(f"{command}\n" for command in commands)
    subprocess.run([*into, "ip", "-batch", "-"], input=lines.encode(), check=True)


def _until_apart(process: int) -> None:
    """It is begun, and goes into its namespace by itself."""
    until_s = time.monotonic() + START_S
    ours = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{process}/ns/net").readlink() == ours:
        assert time.monotonic() < until_s, f"process {process} has no network of its own after {START_S:.0f} s"
        time.sleep(0.02)
