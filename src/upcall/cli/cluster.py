"""The data folder's birth: what is chosen once, at the first ``up``, and stored.

Each cluster has an id, a loopback range of its own (``127.a.b``, so that several run side by side on one machine) and
two ports on its first address: the master's and the page's. Tokens are files that only their owner may read; their
names say whose they are. Everything is written before ``cluster.json``, and that is renamed into place: a folder with
it is whole, and an ``up`` that was killed before it begins again.
"""

import fcntl
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from upcall import __version__
from upcall.cluster import certificate
from upcall.cluster.folder import Cluster, DataFolder, Node, write_private
from upcall.cluster.processes import ALERTS, agent_name
from upcall.protocol.errors import Conflict, Invalid

MASTER_PORT: Final = 5050
PAGE_PORT: Final = 5080
PORTS_TRIED: Final = 20
"""For each; the two do not meet."""
RANGES_TRIED: Final = 200
NODES_DEFAULT: Final = 3
NODES_MAX: Final = 50
ZONES: Final = "abc"
RANGE_OCTETS: Final = (16, 250)
"""Of ``127.a``: the low ones are where other software expects itself."""

Free = Callable[[str, int], bool]
Below = Callable[[int], int]


def free(address: str, port: int) -> bool:
    """Whether nothing listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def check_count(nodes: int) -> None:
    if not 1 <= nodes <= NODES_MAX:
        raise Invalid(f"{nodes} nodes", where="--nodes", expected=f"1 to {NODES_MAX}")


def choose(
    nodes: int,
    memory_mib: int,
    cpus: float,
    disk_mib: int = 0,
    *,
    below: Below = secrets.randbelow,
    is_free: Free = free,
) -> Cluster:
    """A new cluster: pure but for what the two functions say."""
    check_count(nodes)
    low, high = RANGE_OCTETS
    for _ in range(RANGES_TRIED):
        prefix = f"127.{low + below(high - low)}.{below(256)}"
        ports = [_port(f"{prefix}.1", first, is_free) for first in (MASTER_PORT, PAGE_PORT)]
        if None not in ports:
            break
    else:
        raise Conflict(
            "no free ports on any loopback range",
            where=f"ports from {MASTER_PORT} and {PAGE_PORT} on",
            expected="that programs which listen on 0.0.0.0 leave some free",
        )
    return Cluster(
        upcall=__version__,
        cluster=f"upcall-{below(16**6):06x}",
        prefix=prefix,
        url=f"https://{prefix}.1:{ports[0]}",
        page_url=f"http://{prefix}.1:{ports[1]}",
        nodes=tuple(
            Node(
                name=f"node-{at + 1}", zone=ZONES[at % len(ZONES)], memory_mib=memory_mib, cpus=cpus, disk_mib=disk_mib
            )
            for at in range(nodes)
        ),
        memory_mib_per_node=memory_mib,
        disk_mib_per_node=disk_mib,
    )


def _port(address: str, first: int, is_free: Free) -> int | None:
    return next((port for port in range(first, first + PORTS_TRIED) if is_free(address, port)), None)


def prepare(folder: DataFolder, cluster: Cluster) -> None:
    """Write a new data folder. What is there already (of an ``up`` that was killed) is used."""
    folder.make_private()
    renew(folder, cluster)
    folder.save_cluster(cluster)


def renew(folder: DataFolder, cluster: Cluster) -> None:
    """At each ``up``, before anything runs: new tokens for all that is ours, so that one which was seen once is worth
    nothing; and a certificate that holds."""
    for name in ("operator", "host", "page", ALERTS, *(agent_name(one.name) for one in cluster.nodes)):
        write_private(folder.token_file(name), secrets.token_urlsafe(32).encode())
    certificate.ensure(folder, cluster)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


@contextmanager
def only_one(folder: DataFolder) -> Iterator[None]:
    """One ``up`` or ``down`` of a folder at a time; the kernel takes the lock back when its holder dies."""
    folder.make_private()
    with open(folder.root / "up.lock", "w", opener=_private) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "another `up` or `down` works on this data folder", where=str(folder.root), expected="that it ends"
            ) from None
        yield


def check_ports(cluster: Cluster, is_free: Free = free) -> None:
    """Before a start: the stored addresses are free, or the error says which is not."""
    for what, (address, port) in (("master", cluster.address), ("page", cluster.page_address)):
        if not is_free(address, port):
            raise Conflict(
                f"port {port} in use: something else listens where the {what} should",
                where=f"{address}:{port}",
                expected="that the other program ends (`ss -ltnp` names it)",
            )
