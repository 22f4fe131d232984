"""The shared picture: one stream, bounded memory, true again after every kind of break."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from fake_master import TOKEN, FakeMaster
from upcall.client.streaming import AsyncClient
from upcall.protocol.operator import Event, OperationView
from upcall.web import live as module
from upcall.web import panels
from upcall.web.live import CHILDREN_KEPT, ENDED_KEPT, EVENTS_KEPT, Live, kept

TIMEOUT_S = 180.0


@asynccontextmanager
async def running(master: FakeMaster) -> AsyncIterator[Live]:
    async with AsyncClient(master.socket, TOKEN) as client:
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


async def test_it_comes_back_after_the_master_was_away(master: FakeMaster, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_what_happens_between_the_first_two_questions_makes_the_picture_anew(
    master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "USAGE_UNSEEN_S", 3600.0)
    view = master.operation("restart", "some.member")
    asked = AsyncClient.events

    async def events(client: AsyncClient, limit: int) -> list[Event]:
        if view.state != "done":
            master.end(view, "done", "it is ready again")
        return await asked(client, limit)

    monkeypatch.setattr(AsyncClient, "events", events)
    async with running(master) as live:
        await until(lambda: any(one.id == view.id for one in live.ended))


async def test_what_a_drain_did_before_anybody_looked_is_told_with_it(master: FakeMaster) -> None:
    """The one member that was really stopped, and not only those whose stop the end of the drain took back."""
    drain = master.operation("maintenance", "node-1")
    stopped = master.operation("stop", "kafka.broker-0", parent=drain.id)
    waiting = master.operation("stop", "kafka.broker-1", parent=drain.id)
    drain.children = [stopped.id, waiting.id, "op-of-long-ago"]
    master.end(stopped, "done", "it has ended")
    async with running(master) as live:
        await until(lambda: stopped.id in {one.id for one in live.ended})
        master.end(waiting, "withdrawn")
        master.end(drain, "lifted")
        await until(lambda: {drain.id, waiting.id} <= {one.id for one in live.ended})
        shown = next(one for one in panels.operations(live.status.operations, live.ended) if one["id"] == drain.id)  # type: ignore[union-attr]
        assert {one["id"]: one["state"] for one in shown["children"]} == {
            stopped.id: "done",
            waiting.id: "withdrawn",
        }
    asked = [path for _, path, _ in master.calls if path.endswith("op-of-long-ago")]
    assert len(asked) == 1, "what the master does not know is asked for once"


def over(number: int, parent: str = "", children: tuple[str, ...] = ()) -> OperationView:
    return OperationView(
        id=f"op-{number}", kind="stop", klass="windowed", state="done", target="x", reason="", asked_by="operator",
        parent=parent, children=list(children), ended_at=1.0,
    )  # fmt: skip


def test_what_is_over_is_bounded_and_leaves_with_what_it_belongs_to() -> None:
    drains = [over(number, children=(f"op-{number + 100}",)) for number in range(ENDED_KEPT + 10, 0, -1)]
    stops = [over(number + 100, parent=f"op-{number}") for number in range(ENDED_KEPT + 10, 0, -1)]
    known = {one.id for one in kept([*stops, *drains], [])}
    assert known == {f"op-{number + more}" for number in range(11, ENDED_KEPT + 11) for more in (0, 100)}
    many = over(1, children=tuple(f"op-{number}" for number in range(2, CHILDREN_KEPT + 12)))
    left = kept([over(number, parent="op-1") for number in range(CHILDREN_KEPT + 11, 1, -1)], [many])
    assert len(left) == CHILDREN_KEPT
    assert left[0].id == f"op-{CHILDREN_KEPT + 11}"
