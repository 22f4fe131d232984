"""A service that scales itself: with its load, within its bounds, not at every swing, and every decision explained. In
virtual time, on both kinds of cluster."""

import asyncio
import math
from typing import Any

import pytest
from sample_services import Plain

from upcall.protocol import service as wire
from upcall.protocol.errors import Closed, Forbidden
from upcall.service import (
    Annotated,
    Declaration,
    Field,
    Member,
    Operation,
    Pod,
    ServiceOptions,
    Size,
    Update,
    Verdict,
    decline,
    size,
)
from upcall.service.deciding import Deciding
from upcall.service.scaling import Autoscale, size_option
from upcall.testing import Life

Live = Any

DAY_S = 86_400.0
BOUNDS = Autoscale(min=2, max=6, hold_s=60, hold_in_s=600, cool_down_s=120)


class Queue(Plain):
    """Each member does 100 a second."""

    class Options(ServiceOptions):
        count: Annotated[int, size("web")] = Field(2, ge=1, le=9)

    options: Options  # type: ignore[assignment]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.load = 150.0

    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.count)]

    def task(self, member: Member) -> Declaration:
        return Declaration(command=("serve", member.name))

    async def desired_size(self) -> Size | None:
        return Size(math.ceil(self.load / 100), f"{self.load:g} a second, 100 for each member")


def at(life: Life) -> str:
    life.master.catch_up()
    seconds = int(life.master.world.wall_s) % 86_400
    return f"{seconds // 3600:02}:{seconds % 3600 // 60:02}"


def sizes(life: Life) -> list[tuple[int, str, str]]:
    """Every revision: its size, who asked for it, and why."""
    found = sorted(life.master.known.revisions.items())
    return [(each.options.get("count", 2), each.asked_by, each.reason) for _, each in found]


def decided(counts: list[tuple[float, int]], has: int = 2) -> tuple[Deciding, int | None, str]:
    state = Deciding()
    for at_s, count in counts:
        state, decision = state.look(at_s, has, Size(count, "so"), BOUNDS)
    return state, decision.to, decision.words


def test_it_follows_a_load_that_rises_and_falls_and_says_why(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await life.master.until(lambda: life.plan_state("scale") == "done")
        assert "2 are right (150 a second, 100 for each member: 2 wanted)" in life.master.plans["scale"].reason
        for load in range(200, 501, 100):  # it rises, for ten minutes
            life.code.load = float(load)
            await asyncio.sleep(150)
        await life.master.until(lambda: len(life.master.members) == 5, within_s=1200)
        await asyncio.sleep(1200)
        for load in (400, 300, 200, 150):
            life.code.load = float(load)
            await asyncio.sleep(150)
        await life.master.until(lambda: len(life.master.members) == 2, within_s=7200)
        await asyncio.sleep(3600)
        history = sizes(life)
        grown = [count for count, who, _ in history if who == "queue itself"]
        assert grown == sorted(grown[: grown.index(5) + 1]) + sorted(grown[grown.index(5) + 1 :], reverse=True)
        assert len(grown) <= 7, "not at every swing"
        assert all("a second, 100 for each member" in why for _, who, why in history if who == "queue itself")

    live(Queue, script, cluster={"nodes": 6}, autoscale={"min": 2, "max": 6})


def test_what_its_own_code_would_decline_is_asked_of_nobody_and_said(live: Live) -> None:
    class Guarded(Queue):
        async def may_update(self, update: Update, why: Operation) -> Verdict:
            return decline("its queue is being moved")

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.load = 350.0
        wanted = "which it would refuse itself: its queue is being moved"
        await life.master.until(
            lambda: "scale" in life.master.plans and wanted in life.master.plans["scale"].reason, within_s=1800
        )
        assert [who for _, who, _ in sizes(life) if who == "guarded itself"] == []
        assert not life.master.operations

    live(Guarded, script, cluster={"nodes": 6}, autoscale={"min": 2, "max": 6})


def test_what_failed_does_not_go_along_and_it_says_that_it_waits_for_a_person(live: Live) -> None:
    class Gated(Queue):
        class Options(Queue.Options):
            heap: int = 64

        def task(self, member: Member) -> Declaration:
            return Declaration(command=("serve", str(self.options.heap)))  # type: ignore[attr-defined]

        async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
            return decline("too small")

    async def script(life: Life) -> None:
        await life.until_deployed()
        failing = life.master.change(heap=1)
        await life.master.until(lambda: life.master.operations[failing].state == "failed", within_s=900)
        life.code.load = 450.0
        await life.master.until(lambda: "would take along what it was to bring: heap=1" in reason(life), within_s=3000)
        assert life.code.options.count == 2

    def reason(life: Life) -> str:
        return life.master.plans["scale"].reason if "scale" in life.master.plans else ""

    live(Gated, script, cluster={"nodes": 6}, autoscale={"min": 2, "max": 6})


def test_outside_its_windows_it_waits_and_says_so_and_asks_for_what_it_needs_by_then(live: Live) -> None:
    """Every world begins on a Tuesday at 22:13, in UTC."""

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.load = 350.0

        def said() -> str:
            return life.master.plans["scale"].reason if "scale" in life.master.plans else ""

        await life.master.until(lambda: "waits for its window" in said(), within_s=1800)
        assert "350 a second, 100 for each member: 4 wanted" in said()
        assert "next Wed 2023-11-15 02:00 UTC" in said()
        assert life.plan_state("scale") == "waiting"
        assert not life.master.operations, "nothing is in anybody's way meanwhile"
        with pytest.raises(Closed, match="waits for its window"):
            await life.runner.link.rescale(wire.Rescale(option="count", size=4, reason="now", made_from=1))
        life.code.load = 250.0
        await life.master.until(lambda: len(life.master.members) == 3, within_s=5 * 3600)
        assert at(life) == "02:00"
        assert [count for count, who, _ in sizes(life) if who == "queue itself"] == [3]
        life.code.load = 150.0
        await asyncio.sleep(12 * 3600)
        assert len(life.master.members) == 3, "the window was over before that had held for long enough"
        life.master.change(windows=[])
        await life.master.until(lambda: len(life.master.members) == 2, within_s=1800)

    live(
        Queue,
        script,
        cluster={"nodes": 6},
        autoscale={"min": 2, "max": 6},
        windows=["02:00-02:05"],
    )


def test_what_began_in_a_window_and_has_steps_left_goes_on_in_the_next(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.load = 250.0
        life.master.slow("web-2")
        await life.master.until(lambda: life.master.operations, within_s=5 * 3600)
        (asked,) = life.master.operations
        record = life.master.world.state.ledger.operation(asked)
        assert record is not None
        assert record.in_window
        await life.master.until(lambda: life.master.operations[asked].state == "executing", within_s=DAY_S)
        assert at(life) == "02:00"
        await asyncio.sleep(900)
        life.master.make_ready("web-2")
        await life.master.until(lambda: life.master.state("web-2") == "ready", within_s=2 * DAY_S)
        await life.master.until(lambda: life.master.operations[asked].state == "done", within_s=2 * DAY_S)
        assert len(life.master.members) == 3

    live(Queue, script, cluster={"nodes": 6}, autoscale={"min": 2, "max": 6}, windows=["02:00-02:05"])


def test_without_a_persons_word_it_stays_what_it_is(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.load = 900.0
        await asyncio.sleep(7200)
        assert len(life.master.members) == 2
        assert "scale" not in life.master.plans
        asked = wire.Rescale(option="count", size=5, reason="it wants to", made_from=1)
        with pytest.raises(Forbidden, match="may not change count by itself"):
            await life.runner.link.rescale(asked)

    live(Queue, script, cluster={"nodes": 6})


def test_the_master_keeps_it_within_its_bounds_whatever_its_code_asks_for(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        asked = wire.Rescale(option="count", size=5, reason="it wants to", made_from=1)
        with pytest.raises(Forbidden, match="may not have 5 members by itself"):
            await life.runner.link.rescale(asked)
        with pytest.raises(Forbidden, match="may not change data by itself"):
            await life.runner.link.rescale(wire.Rescale(option="data", size=3, reason="it wants to", made_from=1))

    live(Queue, script, autoscale={"min": 2, "max": 4})


def test_it_never_leaves_its_bounds_and_a_person_changes_them_while_it_runs(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.load = 900.0
        await life.master.until(lambda: len(life.master.members) == 3, within_s=3600)
        await asyncio.sleep(3600)
        assert len(life.master.members) == 3
        assert "9 wanted, 3 within 2 to 3" in life.master.plans["scale"].reason
        before = life.master.launches
        life.master.change(autoscale={"min": 2, "max": 4})
        await life.master.until(lambda: life.master.state("web-3") == "ready", within_s=3600)
        assert life.master.launches == [*before, "web-3.1"], "nobody restarts for it"

    live(Queue, script, cluster={"nodes": 6}, autoscale={"min": 2, "max": 3})


def test_what_it_would_refuse_itself_is_not_asked_for_again_and_again(live: Live, kind: str) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.load = 900.0
        await asyncio.sleep(7200)
        if kind == "kernel":  # there are three nodes, and the members keep apart
            assert [each for each in sizes(life) if each[1] == "queue itself"] == []
            assert (
                "no place for" in life.master.plans["scale"].reason or "again in" in life.master.plans["scale"].reason
            )
            assert len(life.master.members) == 2

    live(Queue, script, autoscale={"min": 2, "max": 6})


def test_a_host_that_dies_looks_for_a_whole_window_before_it_decides(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.load = 400.0
        for _ in range(20):
            await asyncio.sleep(40)
            await life.kill_host()
            life.start_host()
            life.code.load = 400.0
        assert len(life.master.members) == 2
        await life.master.until(lambda: len(life.master.members) == 4, within_s=3600)

    live(Queue, script, cluster={"nodes": 6}, autoscale={"min": 2, "max": 6})


def test_it_grows_to_what_it_needed_all_the_time_and_not_to_a_peak() -> None:
    _, to, _ = decided([(0, 3), (15, 6), (30, 3), (45, 4), (61, 6)])
    assert to == 3


def test_a_moment_of_less_load_starts_the_wait_anew() -> None:
    _, to, words = decided([(0, 3), (30, 2), (61, 3)])
    assert to is None
    assert words == "so: 3 wanted, and 2 within the last 60 s"


def test_it_shrinks_to_the_most_that_it_needed_in_the_longer_window() -> None:
    _, to, _ = decided([(0, 2), (300, 3), (599, 2), (601, 2)], has=5)
    assert to == 3


def test_after_a_change_it_waits_for_what_that_does() -> None:
    state = Deciding().changing(0)
    for at_s in (1.0, 31.0, 62.0):
        state, decision = state.look(at_s, 2, Size(4, "so"), BOUNDS)
    assert decision.to is None
    assert decision.words == "so: 4 wanted; the last change is waited for, 58 s"
    _, decision = state.look(121, 2, Size(4, "so"), BOUNDS)
    assert decision.to == 4


def test_the_option_is_there_for_who_says_what_it_needs_and_for_nobody_else() -> None:
    assert "autoscale" in Queue.Options.model_fields
    assert size_option(Queue.Options) == ("count", "web")
    assert "autoscale" not in Plain.Options.model_fields
    assert Queue.Options.model_json_schema()["properties"]["count"]["size_of"] == "web"


def test_bounds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="min 5 is above max 3"):
        Autoscale(min=5, max=3)
