"""What a machine may lose: all space on its disk, all of its network. Nothing acknowledged goes with it.

Both are made for real, which takes root: a file system of its own that is filled to the last byte, and a network
namespace of its own whose only interface is taken down.
"""

import ctypes
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_cluster import Cluster

from upcall.cli import keeping
from upcall.client.blocking import Unreachable
from upcall.client.folder import cluster_of
from upcall.cluster.folder import DataFolder
from upcall.protocol.errors import NotNow
from upcall.protocol.operator import Drain, Install, TaskView

pytestmark = pytest.mark.root

HELLO = str(Path(__file__).parents[2] / "examples" / "hello.py")
MEMBERS = ("hello.web-0", "hello.web-1")
DISK_MIB = 640
OUTAGE_S = 20.0
"""Longer than an agent may be silent before its node is called so."""
CLONE_NEWNET = 0x40000000


def served(task: TaskView) -> int:
    with urllib.request.urlopen(f"http://{task.address}:{task.ports['http']}/", timeout=60) as response:
        return int(response.status)


def answers(cluster: Cluster) -> bool:
    try:
        cluster.client.status()
    except Unreachable:
        return False
    return True


def identities(cluster: Cluster) -> dict[str, str]:
    return {task.member: task.task for task in cluster.until_ready(*MEMBERS)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a file system of its own cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    if keeping.running(DataFolder(disk / "data")):
        keeping.end(DataFolder(disk / "data"))
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(path: Path) -> None:
    """Every byte that is left."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def test_a_full_disk_refuses_what_it_cannot_record_and_loses_nothing_else(small_disk: Path) -> None:
    cluster = Cluster(small_disk / "data")
    cluster.up()
    cluster.upcall("install", HELLO)
    before = identities(cluster)
    drain = cluster.client.operation_of("/v1/nodes/node-3/drain", Drain(window_s=600))
    fill(small_disk / "fill")
    said = cluster.refused("install", "hello", "--name", "second", "--no-wait")
    assert "could not be recorded" in said
    assert "full" in said
    with pytest.raises(NotNow, match=r"could not be recorded|reads its records anew"):
        cluster.client.post("/v1/services", Install(package="hello", name="third"))
    # Started again, they find the disk full too, until it is not.
    for name in ("master", "agent-node-1", "host"):
        cluster.kill(name)
    (small_disk / "fill").unlink()
    cluster.until("the master is back", lambda: answers(cluster))
    assert identities(cluster) == before, "its tasks ran on"
    assert {served(task) for task in cluster.until_ready(*MEMBERS)} == {200}
    assert [one.name for one in cluster.client.services()] == ["hello"]
    assert cluster.client.operation(drain.id).kind == "maintenance"
    cluster.until("its code is connected", lambda: cluster.client.service("hello").state == "running")
    cluster.until("node-3 is back", lambda: [one.name for one in cluster.client.nodes() if one.state == "drained"])
    cluster.upcall("node", "undrain", "node-3")
    cluster.upcall("install", "hello", "--name", "second")
    cluster.down()
    cluster.until_no_process()


@pytest.fixture
def own_network() -> Iterator[None]:
    """This thread, and whatever it starts, in a network namespace with nothing but its loopback."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if shutil.which("ip") is None or libc.unshare(CLONE_NEWNET) != 0:
            pytest.skip(f"no network namespace can be made here: {os.strerror(ctypes.get_errno()) or 'no `ip`'}")
        set_loopback("up")
        yield
        set_loopback("up")
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)


def set_loopback(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


@pytest.mark.usefixtures("own_network")
def test_a_lost_network_stops_nothing_and_all_is_known_when_it_is_back(own_cluster: Cluster) -> None:
    own_cluster.up()
    own_cluster.upcall("install", HELLO)
    before = identities(own_cluster)
    pids = sorted(own_cluster.all_processes())
    drain = own_cluster.client.operation_of("/v1/nodes/node-3/drain", Drain(window_s=600))
    set_loopback("down")
    time.sleep(OUTAGE_S)
    with pytest.raises(OSError):
        urllib.request.urlopen(cluster_of(DataFolder(own_cluster.data)).url, timeout=3)
    assert sorted(own_cluster.all_processes()) == pids, "no process ends for it"
    set_loopback("up")
    own_cluster.until(
        "all nodes are heard again",
        lambda: (
            {one.name: one.state for one in own_cluster.client.nodes()}
            == {"node-1": "up", "node-2": "up", "node-3": "drained"}
        ),
    )
    own_cluster.until("its code is connected", lambda: own_cluster.client.service("hello").state == "running")
    assert identities(own_cluster) == before
    assert {served(task) for task in own_cluster.until_ready(*MEMBERS)} == {200}
    assert own_cluster.client.operation(drain.id).kind == "maintenance"
    own_cluster.upcall("node", "undrain", "node-3")
    own_cluster.down()
    own_cluster.until_no_process()
