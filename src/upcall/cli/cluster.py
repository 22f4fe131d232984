"""The data folder's birth: what is chosen once, at the first ``up``, and stored.

Each cluster has an id, a loopback range of its own (``127.a.b``, so that several run side by side on one machine) and
two ports on its first address: the master's and the page's. Tokens are files that only their owner may read; their
names say whose they are. Everything is written before ``cluster.json``, and that is renamed into place: a folder with
it is whole, and an ``up`` that was killed before it begins again.
"""

import fcntl
import json
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from upcall.client.folder import Cluster, DataFolder, Node
from upcall.protocol.errors import Conflict, Invalid
from upcall.protocol.versions import DATA_FOLDER

MASTER_PORT: Final = 5050
PAGE_PORT: Final = 5080
PORTS_TRIED: Final = 50
RANGES_TRIED: Final = 200
NODES_DEFAULT: Final = 3
NODES_MAX: Final = 50
ZONES: Final = "abc"
RANGE_OCTETS: Final = (16, 250)
"""Of ``127.a``: the low ones are where other software expects itself."""

Free = Callable[[str, int], bool]


def free(address: str, port: int) -> bool:
    """Whether nothing listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def choose(
    nodes: int,
    memory_mib_per_node: int,
    cpus: float,
    *,
    below: Callable[[int], int] = secrets.randbelow,
    is_free: Free = free,
) -> Cluster:
    """A new cluster: pure but for what the two functions say."""
    if not 1 <= nodes <= NODES_MAX:
        raise Invalid(f"{nodes} nodes", where="--nodes", expected=f"1 to {NODES_MAX}")
    low, high = RANGE_OCTETS
    for _ in range(RANGES_TRIED):
        prefix = f"127.{low + below(high - low)}.{below(256)}"
        ports = [_port(f"{prefix}.1", first, is_free) for first in (MASTER_PORT, PAGE_PORT)]
        if None not in ports:
            break
    else:
        raise Conflict(
            "no free ports on any loopback range",
            where=f"ports {MASTER_PORT} and {PAGE_PORT}",
            expected="that programs which listen on 0.0.0.0 leave some free",
        )
    return Cluster(
        cluster=f"upcall-{below(16**6):06x}",
        prefix=prefix,
        url=f"http://{prefix}.1:{ports[0]}",
        page_url=f"http://{prefix}.1:{ports[1]}",
        nodes=tuple(
            Node(name=f"node-{at + 1}", zone=ZONES[at % len(ZONES)], memory_mib=memory_mib_per_node, cpus=cpus)
            for at in range(nodes)
        ),
        memory_mib_per_node=memory_mib_per_node,
    )


def _port(address: str, first: int, is_free: Free) -> int | None:
    return next((port for port in range(first, first + PORTS_TRIED) if is_free(address, port)), None)


def encode(cluster: Cluster) -> dict[str, Any]:
    """As it stands in ``cluster.json``."""
    known = asdict(replace(cluster, more={}))
    del known["more"]
    return {**cluster.more, **known, "version": DATA_FOLDER, "nodes": [asdict(one) for one in cluster.nodes]}


def prepare(folder: DataFolder, cluster: Cluster) -> None:
    """Write a new data folder. What is there already (of an ``up`` that was killed) is used."""
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("operator", "host", "page", *(f"agent-{one.name}" for one in cluster.nodes)):
        path = folder.secret_file(f"{name}.token")
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32).encode())
    write_private(folder.cluster_file, json.dumps(encode(cluster), indent=2).encode() + b"\n")


def write_private(path: Path, data: bytes) -> None:
    """Whole or not at all, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def only_one(folder: DataFolder) -> Iterator[None]:
    """One ``up`` or ``down`` of a folder at a time; the kernel takes the lock back when its holder dies."""
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder.path / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "another `up` or `down` works on this data folder",
                where=str(folder.path),
                expected="that it ends first",
            ) from None
        yield


def check_ports(cluster: Cluster, is_free: Free = free) -> None:
    """Before a start: the stored addresses are free, or the error says which is not."""
    for what, url in (("master", cluster.url), ("page", cluster.page_url)):
        address, _, port = url.removeprefix("http://").partition(":")
        if not is_free(address, int(port)):
            raise Conflict(
                f"port {port} in use: something else listens where the {what} should",
                where=f"{address}:{port}",
                expected="that the other program ends (`ss -ltnp` names it)",
            )
