"""Of several masters one leads, on a real API server: it is killed, stopped, cut off, and asked to go."""

import asyncio
import dataclasses
import functools
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.control_plane import ControlPlane
from lab.wire import wire

from upcall.keeper import linux
from upcall.kubernetes.records import leader
from upcall.kubernetes.records.store import KubernetesStore
from upcall.store.interface import Superseded
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.kinds import LEASE
from upcall.substrate.kubernetes.client.login import Login, from_kubeconfig

LIMIT_S = 200.0
WRITER = """
import logging, sys
from pathlib import Path
from upcall.kubernetes.records.store import KubernetesStore
from upcall.store.interface import Append, Put
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.login import from_kubeconfig

login = from_kubeconfig((Path(sys.argv[1]),))
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
store = KubernetesStore(lambda: Connection(login), sys.argv[2], identity=sys.argv[3])
print("leads", flush=True)
# Of a commit that was never acknowledged the beginning may be there: it is gone on from.
known = {record.key: record.version for record in store.load("number")}
last = store.get("number", "last")
number = int(last.value) if last else 0
while True:
    number += 1
    value = str(number).encode()
    keys = [f"{number:06}", "last"]
    puts = [Put("number", key, value, known.get(key, 0)) for key in keys]
    events = [Append("c", number, value)] if number > store.events_bounds("c")[1] else []
    known.update(zip(keys, store.commit([*puts, *events])))
    print(number, flush=True)
"""


class Writers:
    """Each in a process of its own: it leads, then it writes number after number, and says which are durable."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.namespace = plane, namespace
        self.running: list[subprocess.Popen[str]] = []
        self.acknowledged = 0

    def start(self, name: str, kubeconfig: Path | None = None) -> subprocess.Popen[str]:
        log = (self.plane.folder / f"{self.namespace}-{name}.log").open("wb")
        with log:
            one = subprocess.Popen(
                [sys.executable, "-c", WRITER, str(kubeconfig or self.plane.kubeconfig()), self.namespace, name],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=functools.partial(linux.die_with_parent, signal.SIGKILL),
            )
        self.running.append(one)
        return one

    def said(self, name: str) -> str:
        return (self.plane.folder / f"{self.namespace}-{name}.log").read_text()

    def until_it_stands_by(self, name: str) -> None:
        until_s = time.monotonic() + LIMIT_S
        while "standing by" not in self.said(name):
            assert time.monotonic() < until_s, self.said(name)
            time.sleep(0.05)

    def hears(self, one: subprocess.Popen[str], numbers: int) -> None:
        """Until it has said so many more."""
        assert one.stdout is not None
        for _ in range(numbers):
            line = one.stdout.readline()
            assert line, f"it ended: {one.wait()}"
            if line != "leads\n":
                self.acknowledged = int(line)

    def rest(self, one: subprocess.Popen[str]) -> None:
        """Of one that ended: what it had said is acknowledged."""
        assert one.stdout is not None
        for line in one.stdout:
            if line.endswith("\n") and line != "leads\n":
                self.acknowledged = max(self.acknowledged, int(line))
        one.wait(LIMIT_S)

    def end(self) -> None:
        for one in self.running:
            one.kill()
            one.wait()


@pytest.fixture
def writers(plane: ControlPlane, namespace: str) -> Iterator[Writers]:
    one = Writers(plane, namespace)
    yield one
    one.end()


def whole(plane: ControlPlane, namespace: str, acknowledged: int) -> None:
    """All that was acknowledged is there, once, and at most one more."""
    login = from_kubeconfig((plane.kubeconfig(),))
    store = KubernetesStore(lambda: Connection(login), namespace)
    numbers = [int(record.value) for record in store.load("number") if record.key != "last"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert acknowledged <= len(numbers) <= acknowledged + 1, (acknowledged, len(numbers))
    last = store.get("number", "last")
    assert last is not None
    assert len(numbers) - 1 <= int(last.value) <= len(numbers)
    assert acknowledged <= store.events_bounds("c")[1] <= len(numbers)
    store.close()


async def test_a_leader_that_is_killed_is_followed_and_nothing_acknowledged_is_lost(
    writers: Writers, plane: ControlPlane, namespace: str
) -> None:
    def run() -> float:
        first, second = writers.start("first"), None
        writers.hears(first, 4)
        second = writers.start("second")
        writers.until_it_stands_by("second")
        writers.hears(first, 2)
        killed = time.monotonic()
        first.kill()
        writers.rest(first)
        writers.hears(second, 2)
        took_s = time.monotonic() - killed
        writers.hears(second, 2)
        second.kill()
        writers.rest(second)
        return took_s

    took_s = await asyncio.to_thread(run)
    print(f"\nfailover {took_s:.1f} s")
    await asyncio.to_thread(whole, plane, namespace, writers.acknowledged)


async def test_a_leader_that_is_stopped_and_goes_on_after_another_took_over_writes_nothing_more(
    writers: Writers, plane: ControlPlane, namespace: str
) -> None:
    def run() -> str:
        first = writers.start("first")
        writers.hears(first, 3)
        second = writers.start("second")
        writers.until_it_stands_by("second")
        first.send_signal(signal.SIGSTOP)
        writers.hears(second, 3)
        first.send_signal(signal.SIGCONT)
        writers.rest(first)
        assert first.returncode == 1
        writers.hears(second, 2)
        second.kill()
        writers.rest(second)
        return writers.said("first")

    assert "Superseded" in await asyncio.to_thread(run)
    await asyncio.to_thread(whole, plane, namespace, writers.acknowledged)


@pytest.mark.parametrize("next_writes", [False, True], ids=["the next rests", "the next writes"])
async def test_what_is_on_its_way_while_another_takes_over_arrives_and_does_not_count(
    plane: ControlPlane, namespace: str, next_writes: bool
) -> None:
    """Its wire falls silent just as it writes, and carries on when another leads."""
    login = from_kubeconfig((plane.kubeconfig(),))
    async with wire(plane.api_port) as line:
        far = dataclasses.replace(login, server=f"https://127.0.0.1:{line.port}")
        first = await opened(far, namespace, "first")
        version = await asyncio.to_thread(first.put, "k", "a", b"1")
        line.falls_silent()
        late = asyncio.create_task(asyncio.to_thread(first.put, "k", "a", b"late", version))
        async with asyncio.timeout(LIMIT_S):
            second = await opened(login, namespace, "second")
        assert [r.value for r in second.load("k")] == [b"1"]
        if next_writes:
            await asyncio.to_thread(second.put, "k", "a", b"2", version)
        assert not late.done()
        line.mend()
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(Superseded):
                await late
        if not next_writes:
            await asyncio.to_thread(second.put, "k", "a", b"2", version)
        third = await asyncio.to_thread(KubernetesStore, lambda: Connection(login), namespace)
        assert [r.value for r in third.load("k")] == [b"2"]
        for store in (third, second, first):
            await asyncio.to_thread(store.close)


async def test_a_leader_that_is_cut_off_gives_nothing_up_until_it_hears_that_another_leads(
    plane: ControlPlane, namespace: str
) -> None:
    login = from_kubeconfig((plane.kubeconfig(),))
    async with wire(plane.api_port) as line:
        far = dataclasses.replace(login, server=f"https://127.0.0.1:{line.port}")
        first = await opened(far, namespace, "first")
        version = await asyncio.to_thread(first.put, "k", "a", b"1")
        # For a while: nobody else is there.
        line.cut()
        waits = asyncio.create_task(asyncio.to_thread(first.put, "k", "a", b"2", version))
        await asyncio.sleep(leader.LEASE_S + 2)
        assert not waits.done()
        assert not first.leads()
        line.mend()
        async with asyncio.timeout(LIMIT_S):
            version = await waits
        # For good.
        line.cut()
        waits = asyncio.create_task(asyncio.to_thread(first.put, "k", "a", b"late", version))
        async with asyncio.timeout(LIMIT_S):
            second = await opened(login, namespace, "second")
        await asyncio.to_thread(second.put, "k", "a", b"3", version)
        assert not waits.done()
        line.mend()
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(Superseded):
                await waits
        assert [r.value for r in second.load("k")] == [b"3"]
        for store in (second, first):
            await asyncio.to_thread(store.close)


async def opened(login: Login, namespace: str, identity: str) -> KubernetesStore:
    return await asyncio.to_thread(lambda: KubernetesStore(lambda: Connection(login), namespace, identity=identity))


async def test_a_leader_that_is_asked_to_go_is_followed_at_once(
    plane: ControlPlane, api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "LEASE_S", 10_000)
    login = from_kubeconfig((plane.kubeconfig(),))

    first = await opened(login, namespace, "first")
    version = await asyncio.to_thread(first.put, "k", "a", b"1")
    waiting = asyncio.create_task(opened(login, namespace, "second"))
    await asyncio.sleep(1)
    assert not waiting.done()
    await asyncio.to_thread(first.close)
    async with asyncio.timeout(LIMIT_S):
        second = await waiting
    assert await asyncio.to_thread(second.put, "k", "a", b"2", version) > version
    lease = (await api.get(LEASE, leader.NAME, namespace))["spec"]
    assert (lease["holderIdentity"], lease["leaseTransitions"]) == ("second", 1)
    await asyncio.to_thread(second.close)


async def test_a_leader_whose_lease_was_taken_is_told_and_holds_nothing_more(
    plane: ControlPlane, api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "RENEW_S", 0.5)
    login = from_kubeconfig((plane.kubeconfig(),))
    store = await opened(login, namespace, "first")
    starts, told = store.starts(), asyncio.Event()
    assert starts is not None
    asyncio.get_running_loop().add_reader(starts.descriptor, told.set)
    await api.merge(LEASE, leader.NAME, {"spec": {"holderIdentity": "another"}}, namespace)
    async with asyncio.timeout(LIMIT_S):
        await told.wait()
    asyncio.get_running_loop().remove_reader(starts.descriptor)
    starts.close()
    assert await asyncio.to_thread(store.newest_start) > store.start
    with pytest.raises(Superseded, match="another leads now"):
        await asyncio.to_thread(store.put, "k", "a", b"1")
    await asyncio.to_thread(store.close)
