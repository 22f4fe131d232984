"""A watch tells all that changes, whatever becomes of the connection and of the server."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from lab.control_plane import ControlPlane, control_plane
from lab.wire import Wire, wire
from objects import settings

from upcall.substrate.kubernetes.client import watching
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.connection import Connection
from upcall.substrate.kubernetes.client.kinds import CONFIG_MAP, DEFINITION, Kind, Object
from upcall.substrate.kubernetes.client.login import from_kubeconfig
from upcall.substrate.kubernetes.client.watching import Away, Back, Changed, Event, Listed, Removed, watch

LIMIT_S = 300.0
OURS = "of=test"


def ours(name: str, **data: str) -> dict[str, Any]:
    return settings(name, **data) | {"metadata": {"name": name, "labels": {"of": "test"}}}


class Told:
    """What a watch tells, one after the other."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._events = events
        self.lists = 0

    async def __call__(self) -> str:
        async with asyncio.timeout(LIMIT_S):
            match await anext(self._events):
                case Listed(objects=objects):
                    self.lists += 1
                    return " ".join(["all:", *sorted(each["metadata"]["name"] for each in objects)])
                case Changed(obj):
                    return f"{obj['metadata']['name']} {obj.get('data', {}).get('is', '')}".strip()
                case Removed(obj):
                    return f"{obj['metadata']['name']} gone"
                case Away():
                    return "away"
                case Back():
                    return "back"

    async def until(self, said: str) -> list[str]:
        """All that is told until this is."""
        heard = [await self()]
        while heard[-1] != said:
            heard.append(await self())
        return heard


@contextlib.asynccontextmanager
async def following(api: Api, namespace: str, stream_s: float | None = None) -> AsyncIterator[Told]:
    async with contextlib.aclosing(watch(api, CONFIG_MAP, namespace, labels=OURS, stream_s=stream_s)) as events:
        yield Told(events)


@contextlib.asynccontextmanager
async def over_a_wire(plane: ControlPlane) -> AsyncIterator[tuple[Api, Wire]]:
    async with wire(plane.api_port) as carrying:
        login = from_kubeconfig((plane.kubeconfig(),))
        login = dataclasses.replace(login, server=f"https://127.0.0.1:{carrying.port}")
        async with Connection(login) as connection:
            yield Api(connection), carrying


async def test_first_all_that_is_there_then_each_change(api: Api, namespace: str) -> None:
    await api.create(CONFIG_MAP, ours("one"), namespace)
    async with following(api, namespace) as told:
        assert await told() == "all: one"
        await api.create(CONFIG_MAP, ours("two", **{"is": "new"}), namespace)
        assert await told() == "two new"
        await api.create(CONFIG_MAP, settings("not-ours"), namespace)
        await api.merge(CONFIG_MAP, "one", {"data": {"is": "changed"}}, namespace)
        assert await told() == "one changed"
        await api.delete(CONFIG_MAP, "two", namespace)
        assert await told() == "two gone"


async def test_a_stream_that_the_server_ends_is_gone_on_with_and_nothing_is_listed_again(
    api: Api, namespace: str
) -> None:
    async with following(api, namespace, stream_s=1) as told:
        assert await told() == "all:"
        for number in range(8):
            await asyncio.sleep(0.5)
            await api.create(CONFIG_MAP, ours(f"one-{number}"), namespace)
        assert await told.until("one-7") == [f"one-{number}" for number in range(8)]
        assert told.lists == 1


async def test_what_changes_while_the_wire_is_cut_is_told_when_it_is_mended(
    plane: ControlPlane, api: Api, namespace: str
) -> None:
    await api.create(CONFIG_MAP, ours("one"), namespace)
    async with over_a_wire(plane) as (far, line), following(far, namespace) as told:
        assert await told() == "all: one"
        line.cut()
        assert await told() == "away"
        await api.delete(CONFIG_MAP, "one", namespace)
        await api.create(CONFIG_MAP, ours("two"), namespace)
        line.mend()
        assert await told.until("two") == ["back", "one gone", "two"]
        assert told.lists == 1


async def test_a_wire_that_fell_silent_is_noticed(
    plane: ControlPlane, api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SILENT_S", 3.0)
    async with over_a_wire(plane) as (far, line), following(far, namespace) as told:
        assert await told() == "all:"
        opened = line.opened
        line.falls_silent()
        await api.create(CONFIG_MAP, ours("one"), namespace)
        hearing = asyncio.create_task(told.until("one"))
        async with asyncio.timeout(LIMIT_S):
            while line.opened == opened:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        line.mend()
        assert set(await hearing) <= {"away", "back", "one"}
        assert told.lists == 1


async def test_bookmarks_keep_a_quiet_watch_young(api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it goes on from is newer than all that it was told."""
    begun: list[int] = []
    stream = watching._stream

    def noting(api: Api, kind: Kind, namespace: str, version: str, *rest: Any) -> AsyncIterator[dict[str, Any] | None]:
        begun.append(int(version))
        return stream(api, kind, namespace, version, *rest)

    monkeypatch.setattr(watching, "_stream", noting)
    async with following(api, namespace, stream_s=6) as told:
        assert await told() == "all:"
        hearing = asyncio.create_task(told())
        async with asyncio.timeout(LIMIT_S):
            while len(begun) < 2:
                await api.apply(CONFIG_MAP, settings("not-ours", count=str(len(begun))), namespace)
                await api.merge(
                    CONFIG_MAP, "not-ours", {"data": {"x": str(asyncio.get_running_loop().time())}}, namespace
                )
                await asyncio.sleep(0.5)
        assert begun[1] > begun[0]
        hearing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hearing


async def test_a_version_that_the_server_has_forgotten_means_a_new_list(parts: Path, tmp_path: Path) -> None:
    """The server is begun anew, so that it knows nothing of before; what vanished meanwhile is not in the list."""
    with control_plane(tmp_path) as plane:
        login = from_kubeconfig((plane.kubeconfig(),))
        async with over_a_wire(plane) as (far, line), following(far, "default") as told:
            async with Connection(login) as near:
                assert await told() == "all:"
                await Api(near).create(CONFIG_MAP, ours("one"), "default")
                await Api(near).create(CONFIG_MAP, ours("two"), "default")
                assert [await told(), await told()] == ["one", "two"]
                line.cut()
                assert await told() == "away"
                await Api(near).delete(CONFIG_MAP, "one", "default")
            plane.kill("kube-apiserver")
            plane.start("kube-apiserver")
            async with Connection(login) as near:
                await Api(near).create(CONFIG_MAP, ours("three"), "default")
                line.mend()
                assert await told.until("all: three two") == ["back", "all: three two"]
                await Api(near).create(CONFIG_MAP, ours("four"), "default")
                assert await told() == "four"


async def test_a_kind_that_is_not_there_yet_is_waited_for(api: Api) -> None:
    kind = Kind("test.upcall.example", "v1", "Thing", "things", namespaced=False)
    async with contextlib.aclosing(watch(api, kind)) as events:
        told = Told(events)
        assert await told() == "away"
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        definition: Object = {
            "metadata": {"name": f"{kind.plural}.{kind.group}"},
            "spec": {
                "group": kind.group,
                "scope": "Cluster",
                "names": {"kind": kind.name, "plural": kind.plural, "singular": "thing"},
                "versions": [
                    {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}},
                ],
            },
        }
        await api.apply(DEFINITION, definition)
        try:
            assert [await told(), await told()] == ["back", "all:"]
        finally:
            await api.delete(DEFINITION, definition["metadata"]["name"])
