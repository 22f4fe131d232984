"""The shared picture: one stream, bounded memory, true again after every kind of break."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fake_master import TOKEN, FakeMaster
from upcall.client.streaming import AsyncClient
from upcall.web import live as module
from upcall.web.live import EVENTS_KEPT, Live

TIMEOUT_S = 30.0


@asynccontextmanager
async def running(master: FakeMaster) -> AsyncIterator[Live]:
    async with AsyncClient(master.url, TOKEN) as client:
        live = Live(client)
        task = asyncio.ensure_future(live.run())
        try:
            yield live
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not true():  # noqa: ASYNC110 - the picture has listeners, not conditions
            await asyncio.sleep(0.02)


async def test_an_event_makes_a_new_picture(master: FakeMaster) -> None:
    async with running(master) as live:
        await until(lambda: live.connected)
        pictures: list[str] = []
        heard: list[str] = []
        end = live.listen(lambda: pictures.append("new"), lambda events: heard.extend(one.text for one in events))
        master.nodes["node-2"].state = "draining"
        master.happens("node", "node-2", "is drained now")
        await until(lambda: "is drained now" in heard)
        await until(lambda: live.status is not None and live.status.nodes[1].state == "draining")
        assert pictures
        end()
        assert live.readers == 0
    master.nodes["node-2"].state = "up"


async def test_events_are_bounded(master: FakeMaster) -> None:
    async with running(master) as live:
        await until(lambda: live.connected)
        for number in range(EVENTS_KEPT + 50):
            master.happens("task", "many", f"number {number}")
        await until(lambda: live.events and live.events[-1].text == f"number {EVENTS_KEPT + 49}")
        assert len(live.events) == EVENTS_KEPT


async def test_it_comes_back_after_the_master_was_away(master: FakeMaster, monkeypatch) -> None:
    async def soon(_: int) -> None:
        await asyncio.sleep(0.05)

    monkeypatch.setattr(module, "backoff", soon)
    master.not_now = 3
    async with running(master) as live:
        await until(lambda: live.trouble)
        assert "recovers" in live.trouble
        await until(lambda: live.connected)
        assert live.status is not None


async def test_an_operation_that_ended_is_kept_for_a_while(master: FakeMaster) -> None:
    view = master.operation("restart", "some.member")
    async with running(master) as live:
        await until(lambda: live.status and view.id in {one.id for one in live.status.operations})
        master.end(view, "done", "it is ready again")
        await until(lambda: any(one.id == view.id for one in live.ended))
        assert live.ended[0].outcome == "it is ready again"
