"""Real nodes of the test cluster: what they are, and that nothing of them is left."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from evicting import LIMIT_S
from lab import building
from lab.control_plane import processes
from realnodes import groups
from realnodes.cluster import RealNodes, missing
from realnodes.settings import PAUSE
from realnodes.volumes import folder_of

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import CLAIM, NODE, POD, Object

BUSYBOX = "/bin/busybox"


def pod(name: str, node: str) -> Object:
    """It sleeps, has a name in the cluster, and a volume of its own."""
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": name}}
    container = {"name": "main", "image": PAUSE, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    return {
        "metadata": {"name": name},
        "spec": {
            "hostname": name,
            "subdomain": "many",
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "volumes": [volume],
        },
    }


async def test_three_nodes_are_ready_and_are_what_they_say(real: RealNodes, api: Api) -> None:
    found = {node["metadata"]["name"]: node["status"] for node in (await api.list(NODE)).objects}
    assert sorted(found) == ["node-1", "node-2", "node-3"]
    for number, (_, status) in enumerate(sorted(found.items()), 1):
        assert status["nodeInfo"]["kubeletVersion"] == f"v{building.version()}"
        assert status["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
        assert {"type": "InternalIP", "address": real.network.address(number)} in status["addresses"]


async def test_containers_reach_each_other_by_name_over_nodes_and_keep_what_is_in_their_volume(
    real: RealNodes, api: Api, namespace: str
) -> None:
    for name, node in (("one", "node-1"), ("two", "node-2")):
        spec = {"accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": "1Mi"}}}
        await api.create(CLAIM, {"metadata": {"name": name}, "spec": spec}, namespace)
        await api.create(POD, pod(name, node), namespace)
    async with asyncio.timeout(LIMIT_S):
        while any(one["status"].get("phase") != "Running" for one in (await api.list(POD, namespace)).objects):  # noqa: ASYNC110
            await asyncio.sleep(0.5)

    def inside(name: str, *words: str) -> str:
        command = real.plane.kubectl("-n", namespace, "exec", name, "--", BUSYBOX, *words)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    async with asyncio.timeout(LIMIT_S):
        while "1 packets received" not in inside("two", "ping", "-c", "1", f"one.many.{namespace}.svc"):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    inside("one", "sh", "-c", "echo kept >/data/file")
    claim = await api.get(CLAIM, "one", namespace)
    assert (folder_of(real.folder, "node-1", claim) / "file").read_text() == "kept\n"


@pytest.mark.parametrize("how", ["ended", "killed"])
def test_nothing_is_left(possible: None, tmp_path: Path, how: str) -> None:
    """When the tests are over, and when they are killed; the folder is the test runner's, which clears it later."""
    program = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from realnodes.cluster import real_nodes
        with real_nodes(Path({str(tmp_path)!r}), 1) as nodes:
            print(nodes.keeper.pid, nodes.first["node-1"], nodes.network.link, flush=True)
            sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stdout is not None
        keeper, first, link = tests.stdout.readline().split()
        # Namespaces have no names, and their numbers come again: they are there as long as a process is in them.
        theirs = {(number, began(number)) for number in inside(keeper)}
        assert int(first) in dict(theirs)
        assert Path("/sys/class/net", link).exists()
        assert groups.of_nodes(keeper)
        assert processes(tmp_path)
        if how == "killed":
            os.kill(tests.pid, signal.SIGKILL)
        else:
            assert tests.stdin is not None
            tests.stdin.close()
            assert tests.wait() == 0
    until_s = time.monotonic() + LIMIT_S
    while left := [
        *processes(tmp_path), *(one for one in theirs if began(one[0]) == one[1]), *groups.of_nodes(keeper),
        *mounts(tmp_path), *Path("/sys/class/net").glob(link),
    ]:  # fmt: skip
        assert time.monotonic() < until_s, left
        time.sleep(0.1)


def test_without_root_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert missing() == "real nodes need root, who makes their namespaces, links and control groups"


def inside(keeper: str) -> list[int]:
    """All processes of its nodes."""
    files = (Path(folder, "cgroup.procs") for group in groups.of_nodes(keeper) for folder, _, _ in os.walk(group))
    return sorted({int(line) for file in files for line in file.read_text().split()})


def began(number: int) -> str:
    """When the process did; empty: there is none."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def mounts(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line]
