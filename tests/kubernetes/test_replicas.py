"""Two masters of one cluster, with its records in a real API server: one leads, the other takes over."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from evicting import LIMIT_S
from installed import Installed
from lab.control_plane import ControlPlane
from lab.nodes import PlayedNodes

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import POD, WEBHOOK
from upcall.substrate.kubernetes.evictions.objects import NAME

Note = Callable[[str, object], None]
CAREFUL = Path(__file__).with_name("careful.py")
REASON = "6 parts would have a single copy"


@pytest.fixture
async def two(
    tmp_path: Path, plane: ControlPlane, api: Api, namespace: str, nodes: PlayedNodes
) -> AsyncIterator[tuple[Installed, Installed]]:
    """The first leads, the second stands by."""
    first = Installed(tmp_path / "first", plane.kubeconfig(), namespace, records="kubernetes")
    second = Installed(tmp_path / "second", plane.kubeconfig(), namespace, of=first)
    try:
        await first.start("master")
        await first.until(first.folder.master_socket.exists, "the first leads")
        await first.start("host")
        await second.start("master")
        await second.start("host")
        await second.until(lambda: "standing by" in second.logs(), "the second stands by")
        yield first, second
    finally:
        first.end()
        second.end()
    with contextlib.suppress(NotFound):
        await api.delete(WEBHOOK, NAME)
    for each in (await api.list(POD, namespace)).objects:
        with contextlib.suppress(NotFound):
            await api.merge(POD, each["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)


async def test_a_master_that_is_killed_is_followed_by_the_other_which_goes_on_with_the_same_operation(
    two: tuple[Installed, Installed], api: Api, namespace: str, tmp_path: Path, record_property: Note
) -> None:
    first, second = two
    busy = tmp_path / "busy"
    busy.touch()
    await first.upcall("install", str(CAREFUL), "--set", f"busy={busy}", "--set", "count=2")
    one = await first.task("careful.part-0", lambda one: one.state == "ready", "it is ready")
    await first.task("careful.part-1", lambda one: one.state == "ready", "the other is ready")
    pods = {pod["metadata"]["uid"] for pod in (await api.list(POD, namespace)).objects}
    said = await first.upcall("node", "drain", one.node, "--no-wait")
    await first.until(lambda: waits(first), f"it waits: {said}")
    operation = next(each.id for each in first.client.operations() if each.kind == "maintenance")

    killed = time.monotonic()
    await first.kill("master")
    await second.until(second.folder.master_socket.exists, "the second leads")
    led_s = time.monotonic() - killed
    record_property("failover_s_killed", round(led_s, 1))
    await first.kill("host")
    await second.until(lambda: waits(second), "it waits for the same")
    print(
        f"\nanother master after {led_s:.1f} s, the service's own reason again after {time.monotonic() - killed:.1f} s"
    )

    assert {pod["metadata"]["uid"] for pod in (await api.list(POD, namespace)).objects} == pods
    assert [each.id for each in second.client.operations() if each.kind == "maintenance"] == [operation]
    busy.unlink()
    await second.until(lambda: ended(second, operation), "the drain is done")
    await second.upcall("node", "undrain", one.node)
    back = await second.task("careful.part-0", lambda one: one.state == "ready" and one.incarnation == 2, "it is back")
    assert back.incarnation == 2
    other = await second.task("careful.part-1", lambda one: one.state == "ready", "the other was not touched")
    assert other.incarnation == 1


async def test_a_master_that_was_stopped_ends_when_it_goes_on_and_finds_another(
    two: tuple[Installed, Installed], api: Api, namespace: str, tmp_path: Path, record_property: Note
) -> None:
    first, second = two
    await first.upcall("install", str(CAREFUL), "--set", "count=1")
    await first.task("careful.part-0", lambda one: one.state == "ready", "it is ready")
    first.running["master"].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    await second.until(second.folder.master_socket.exists, "the second leads")
    record_property("failover_s_stopped", round(time.monotonic() - stopped, 1))
    await second.upcall("scale", "careful", "2")
    await second.task("careful.part-1", lambda one: one.state == "ready", "one more is ready")
    first.running["master"].send_signal(signal.SIGCONT)
    async with asyncio.timeout(LIMIT_S):
        assert await first.running["master"].wait() == 1
    assert "another master has taken over" in first.logs()
    tasks = sorted((one.member, one.incarnation, one.state) for one in second.client.tasks())
    assert tasks == [("careful.part-0", 1, "ready"), ("careful.part-1", 1, "ready")]
    pods = (await api.list(POD, namespace)).objects
    assert len(pods) == 2


def waits(one: Installed) -> bool:
    """The service's own reason is said of an operation."""
    return any(REASON in each.waits_for for each in one.client.operations())


def ended(one: Installed, operation: str) -> bool:
    return any(each.id == operation and each.state == "done" for each in one.client.operations(ended=True))
