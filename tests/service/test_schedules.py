"""What a service wants done again and again, and what waits for a maintenance window: in virtual time, on both kinds of
cluster, through deaths of host and master and a clock that was moved."""

import asyncio
from typing import Any

import pytest
from sample_services import Plain

from upcall.master import records as r
from upcall.master import schedules
from upcall.protocol.errors import Conflict, Invalid
from upcall.protocol.operator import Update
from upcall.service import Operation, Verdict, accept, action, every
from upcall.service.again import schedules_of
from upcall.testing import Life

Live = Any
HOUR_S = 3600.0
DAY_S = 86_400.0
"""Every world begins on a Tuesday at 22:13, in UTC."""


class Tended(Plain):
    """Repairs itself each hour."""

    takes_s = 60.0
    fails = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.began: list[float] = []
        self.under_way = 0
        self.most = 0

    @every("1 hour", within="3 hours", takes="1 minute")
    @action(timeout_s=7200)
    async def repair(self) -> str:
        """Makes all copies the same."""
        self.began.append(asyncio.get_running_loop().time())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.under_way -= 1
        if type(self).fails > 0:
            type(self).fails -= 1
            raise Invalid("one copy does not answer")
        return "repaired"

    @every("90 minutes")
    async def spread(self, came: Any, why: Operation) -> None:
        """Spreads its load."""
        self.began.append(asyncio.get_running_loop().time())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(10)
        self.under_way -= 1

    async def may_change(self, member: Any, why: Operation) -> Verdict:
        return accept()


class Repaired(Tended):
    """It repairs itself, and spreads nothing."""

    spread = Plain.spread


def known(life: Life, name: str = "repair") -> r.ScheduleRecord:
    return life.master.world.state.schedules[life.master.service, name]


def at(life: Life) -> str:
    life.master.catch_up()
    seconds = int(life.master.world.wall_s) % 86_400
    return f"{seconds // 3600:02}:{seconds % 3600 // 60:02}"


async def until_ended(life: Life, count: int) -> None:
    await life.master.until(lambda: len(life.code.began) >= count and not known(life).run, within_s=DAY_S)


def told(life: Life) -> list[str]:
    return [event.text for event in life.master.world.journal.since(0) if event.kind == "alert"]


def test_it_comes_again_after_its_interval_and_is_on_record(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert not life.code.began
        await until_ended(life, 2)
        first, second = life.code.began[:2]
        assert (first, second - first) == (pytest.approx(HOUR_S), pytest.approx(HOUR_S))
        assert known(life).outcome == "done"
        assert known(life).took_s == pytest.approx(60.0, abs=1)
        runs = life.master.door.actions.of(life.master.service)
        assert {(run.name, run.who, run.state, run.result) for run in runs} == {
            ("repair", schedules.WHO, "done", "repaired")
        }
        shown = schedules.views(life.master.world, life.master.known)[0]
        assert (shown.every, shown.by) == ("1 hour", "package")
        assert shown.next - shown.began == pytest.approx(HOUR_S)

    live(Repaired, script)


def test_two_of_a_service_are_never_under_way_at_once(live: Live) -> None:
    async def script(life: Life) -> None:
        life.code.takes_s = 0.9 * HOUR_S
        await life.master.until(lambda: len(life.code.began) >= 6, within_s=12 * HOUR_S)
        assert life.code.most == 1
        kinds = {operation.kind for operation in life.master.operations.values()}
        assert "rebalance" in kinds

    live(Tended, script)


def test_it_begins_in_a_window_alone_and_what_was_missed_is_done_once(live: Live) -> None:
    async def script(life: Life) -> None:
        await until_ended(life, 1)
        assert at(life) == "02:01"  # due at 23:13, at 00:13 and at 01:13
        await until_ended(life, 2)
        assert at(life) == "03:01"
        await asyncio.sleep(12 * HOUR_S)
        assert len(life.code.began) == 2

    live(Repaired, script, windows=["02:00-03:10"])


def test_it_does_not_begin_in_what_is_left_of_a_window_that_is_too_short_for_it(live: Live) -> None:
    async def script(life: Life) -> None:
        await until_ended(life, 1)
        assert at(life) == "01:01"  # due at 23:13: half a minute of that window was left

    live(Repaired, script, windows=["22:00-23:14", "01:00-02:00"])


def test_a_run_that_failed_is_told_and_tried_again(live: Live) -> None:
    async def script(life: Life) -> None:
        Repaired.fails = 2
        await life.master.until(lambda: known(life).failures == 1, within_s=DAY_S)
        assert any("repair, by its schedule, failed: one copy does not answer" in text for text in told(life))
        await life.master.until(lambda: known(life).outcome == "done", within_s=DAY_S)
        first, second, third = life.code.began
        assert second - first == pytest.approx(60 + 60, abs=1)
        assert third - second == pytest.approx(60 + 120, abs=1)
        assert known(life).failures == 0

    live(Repaired, script)


def test_a_host_that_dies_in_a_run_is_found_and_the_run_comes_again(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.master.until(lambda: known(life).run, within_s=DAY_S)
        await asyncio.sleep(10)
        await life.kill_host()
        life.start_host()
        await life.master.until(lambda: known(life).failures == 1, within_s=DAY_S)
        await life.master.until(lambda: known(life).outcome == "done", within_s=DAY_S)

    live(Repaired, script)


def test_what_is_due_while_its_code_is_away_begins_when_that_is_back(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await life.kill_host()
        await asyncio.sleep(5 * HOUR_S)
        life.start_host()
        await until_ended(life, 1)
        assert len(life.code.began) == 1

    live(Repaired, script)


def test_a_master_that_starts_again_goes_on_with_what_is_due(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        for _ in range(4):
            await asyncio.sleep(0.4 * HOUR_S)
            life.master.die()
        await until_ended(life, 1)
        assert life.code.began[0] == pytest.approx(HOUR_S, abs=5)

    live(Repaired, script)


def test_a_laptop_that_slept_does_what_it_missed_once(live: Live) -> None:
    async def script(life: Life) -> None:
        await until_ended(life, 1)
        life.master.world.wall_offset_s += 3 * 86_400
        life.master.catch_up()
        life.master.world.post(lambda tx: tx.event("master", "clock", "something happens"))
        await until_ended(life, 2)
        assert life.code.began[1] - life.code.began[0] < HOUR_S
        assert any("repair of repaired has not ended well in time" in text for text in told(life))
        await until_ended(life, 3)
        assert life.code.began[2] - life.code.began[1] == pytest.approx(HOUR_S, abs=5)
        assert not known(life).told_late

    live(Repaired, script)


def test_a_person_may_say_another_time_or_never(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.change(schedules={"repair": "never"})
        await asyncio.sleep(5 * HOUR_S)
        assert not life.code.began
        life.master.change(schedules={"repair": "04:00"})
        await until_ended(life, 1)
        assert at(life) == "04:01"

    live(Repaired, script)


def test_what_never_comes_is_refused_before_anything_is_recorded(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        for change, says in (
            ({"schedules": {"repair": "feb 30 03:00"}}, "never comes"),
            ({"schedules": {"repiar": "1 hour"}}, "nothing named 'repiar' by a schedule, did you mean 'repair'"),
            ({"windows": ["feb 30 02:00-04:00"]}, "never comes"),
            ({"windows": ["sat 02:00-04:00"]}, "within 3 hours, and between two windows"),
            ({"windows": [f"{hour:02}:00-{hour:02}:00" for hour in (1,)]}, "has no length"),
            ({"time_zone": "Atlantis"}, "no time zone"),
        ):
            with pytest.raises(Invalid, match=says):
                life.master.change(**change)
        assert life.master.known.record.revision == 1

    live(Repaired, script)


def test_an_update_in_a_window_begins_there_and_waits_between_two_of_them(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        master = life.master
        update = master._ask(Update(set={"data": True}, in_window=True))
        await asyncio.sleep(HOUR_S)
        assert master.operations[update].state == "open"
        assert master.why(update).waits_for == "its window"
        assert "02:00" in master.why(update).reason
        await master.until(lambda: master.operations[update].state == "executing", within_s=DAY_S)
        assert at(life) == "02:00"
        master.slow("web-2")
        await master.until(lambda: master.state("web-2") in ("starting", "running"), within_s=DAY_S)
        await asyncio.sleep(180)
        assert at(life) > "02:01"
        master.make_ready("web-2")  # the window is over: what has begun goes on, nobody else begins
        await asyncio.sleep(600)
        assert master.launches == ["web-0.1", "web-1.1", "web-2.1", "web-2.2"]
        master.control(update, "resume")  # a person does not wait
        await master.until(lambda: master.operations[update].state == "done", within_s=DAY_S)
        assert at(life) < "02:20"

    live(Plain, script, windows=["02:00-02:01"])


def test_an_update_that_nobody_resumes_goes_on_in_the_next_window(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        master = life.master
        update = master._ask(Update(set={"data": True}, in_window=True))
        await master.until(lambda: master.operations[update].state == "executing", within_s=DAY_S)
        master.slow("web-2")
        await asyncio.sleep(120)
        master.die()
        master.make_ready("web-2")
        await master.until(lambda: master.operations[update].state == "done", within_s=DAY_S)
        assert at(life).startswith("03:0")

    live(Plain, script, windows=["02:00-02:01", "03:00-03:10"])


def test_what_a_person_asks_for_goes_at_once_and_no_window_is_an_error(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(data=True)
        await life.master.until(lambda: life.master.operations[update].state == "done", within_s=DAY_S)
        assert at(life).startswith("22:1")
        off = life.master.change(windows=[])
        await life.master.until(lambda: life.master.operations[off].state == "done", within_s=DAY_S)
        with pytest.raises(Conflict, match="has no maintenance windows to wait for"):
            life.master._ask(Update(set={"data": False}, in_window=True))

    live(Plain, script, windows=["02:00-02:01"])


def test_a_window_holds_nothing_that_a_person_holds(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        master = life.master
        update = master._ask(Update(set={"data": True}, in_window=True))
        master.control(update, "resume")
        master.control(update, "pause")
        await asyncio.sleep(6 * HOUR_S)
        assert master.operations[update].state == "open"
        master.control(update, "resume")
        await master.until(lambda: master.operations[update].state == "done", within_s=DAY_S)

    live(Plain, script, windows=["02:00-02:10"])


def test_a_schedule_of_what_needs_an_argument_is_a_mistake_of_its_class() -> None:
    class Wrong(Plain):
        @every("1 day")
        @action
        async def repair(self, keyspace: str) -> None: ...

    with pytest.raises(TypeError, match="needs keyspace, which nobody gives it"):
        schedules_of(Wrong)
