"""Health is more than a port: what a service's own code says is wrong with it, since when, and who is told. In virtual
time, on both kinds of cluster."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from sample_services import Plain

from upcall.protocol import service as wire
from upcall.service import Degraded, Operation, Verdict, accept, defer
from upcall.service.context import HEALTH_THREADS, Context, threads
from upcall.service.health import Health, keyed
from upcall.testing import Life, Scenario, operation

Live = Any

LAGS = Degraded("12 of 48 partitions lag", doing="web-1 catches up, 40 MiB behind", member="web-1", key="lag")


class Ill(Plain):
    """What is wrong with it is what a test says."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.wrong: Sequence[Degraded] = ()
        self.raises: Exception | None = None
        self.hangs = False
        self.looks = 0

    async def health(self) -> Sequence[Degraded]:
        self.looks += 1
        if self.hangs:
            await asyncio.sleep(3600)
        if self.raises is not None:
            raise self.raises
        return self.wrong

    async def may_stop(self, member: Any, why: Operation) -> Verdict:
        return accept()


def shown(life: Life) -> list[tuple[str, str]]:
    record = life.master.known.health
    return [(one.key, one.what) for one in record.degraded] if record else []


def told(life: Life) -> list[str]:
    return [event.text for event in life.master.world.journal.newest(10_000) if event.kind == "health"]


def calls(life: Life) -> int:
    return life.master.calls.count("PUT health")


def since(life: Life) -> float:
    record = life.master.known.health
    assert record is not None
    return record.degraded[0].since


async def looked(life: Life, times: int) -> None:
    while life.code.looks < times:  # noqa: ASYNC110 (virtual seconds)
        await asyncio.sleep(1)


async def seen(life: Life, *keys: str) -> None:
    await life.master.until(lambda: [key for key, _ in shown(life)] == list(keys), within_s=60)


async def test_what_the_system_itself_does_to_a_member_is_said_with_what_is_wrong_with_it() -> None:
    context = Context(name="plain")
    nobody: Any = None
    code = Ill(context)
    code.wrong = (LAGS, Degraded("too few", key="few"))

    async def doing() -> list[str]:
        found = await Health(code, nobody)._look()
        assert found is not None
        return [one.doing for one in found.degraded]

    assert await doing() == ["web-1 catches up, 40 MiB behind", ""]
    for kind, word in (("restart", "restart"), ("lost", "loss")):
        begun = operation(kind, "web-1")
        context.operations = (msgspec.structs.replace(begun, state="executing"), operation("stop", "web-0"))
        assert await doing() == [f"{word} of web-1 is under way ({begun.id}); web-1 catches up, 40 MiB behind", ""]


def test_what_is_wrong_is_told_once_when_it_begins_and_once_when_it_is_over(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.wrong = (LAGS,)
        await seen(life, "lag")
        assert told(life) == ["degraded: 12 of 48 partitions lag; web-1 catches up, 40 MiB behind"]
        began, sent = since(life), calls(life)
        await asyncio.sleep(600)
        assert calls(life) == sent, "nothing is sent while nothing changes"
        life.code.wrong = (Degraded("3 of 48 partitions lag", member="web-1", key="lag"),)
        await life.master.until(lambda: shown(life) == [("lag", "3 of 48 partitions lag")])
        assert (since(life), len(told(life))) == (began, 1), "other numbers are no other thing"
        life.code.wrong = ()
        await seen(life)
        assert told(life)[1:] == ["over: 3 of 48 partitions lag"]

    live(Ill, script)


def test_since_when_it_is_so_survives_the_death_of_host_and_master(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.wrong = (LAGS,)
        await seen(life, "lag")
        began = since(life)
        await life.kill_host()
        life.master.die()
        assert (shown(life), since(life)) == ([("lag", LAGS.what)], began)
        await asyncio.sleep(100)
        life.start_host()
        life.code.wrong = (LAGS,)
        await looked(life, 2)
        assert since(life) == began
        assert len(told(life)) <= 1, "it did not begin again"

    live(Ill, script)


def test_what_passes_by_itself_is_told_only_when_it_has_not_and_stays_told_with_a_new_host(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        passing = Degraded("1 file of hints", key="hints", passes_within_s=300.0)
        life.code.wrong = (passing,)
        await looked(life, life.code.looks + 2)
        life.code.wrong = ()
        await looked(life, life.code.looks + 2)
        assert told(life) == [], "it passed"
        life.code.wrong = (passing,)
        await life.master.until(lambda: shown(life) == [("hints", "1 file of hints")], within_s=600)
        assert len(told(life)) == 1
        await life.kill_host()
        life.start_host()
        life.code.wrong = (passing,)
        await looked(life, 2)
        assert (shown(life), len(told(life))) == ([("hints", "1 file of hints")], 1)

    live(Ill, script)


def test_a_look_that_raises_is_told_and_makes_nothing_look_well(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.wrong = (LAGS,)
        await seen(life, "lag")
        life.code.raises = KeyError("partition")
        await seen(life, "unseen", "lag")
        assert "how it is cannot be seen: KeyError: 'partition' (test_health.py:" in shown(life)[0][1]
        assert any(fault.what == "health" for fault in life.faults)
        life.code.raises, life.code.wrong = None, ()
        await seen(life)

    live(Ill, script, cluster={"raises": True})


def test_what_passes_in_a_moment_is_told_when_it_comes_again(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await life.master.until(lambda: calls(life) == 1)
        life.code.raises = ConnectionError("no broker")
        await looked(life, life.code.looks + 1)
        life.code.raises = None
        await asyncio.sleep(60)
        assert not told(life)
        life.code.raises = ConnectionError("no broker")
        await seen(life, "unseen")
        assert shown(life) == [("unseen", "how it is cannot be seen: no broker")], (
            "a sentence: no class, no line of code"
        )

    live(Ill, script)


def test_a_late_look_is_told_and_answers_come_at_once_meanwhile(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.hangs = True
        await life.master.until(lambda: shown(life) == [("unseen", "how it is cannot be seen: no answer within 30 s")])
        await looked(life, life.code.looks + 1)  # the next one hangs
        drain = life.master.drain(life.master.node_of("web-1"))
        await life.master.until(lambda: life.master.operations[drain].state == "done", within_s=8)

    live(Ill, script)


def test_it_is_looked_at_soon_after_a_member_changed(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.health_every_s = 3600.0
        await asyncio.sleep(60)
        life.code.wrong = (LAGS,)
        life.master.crash("web-1")
        await life.master.until(lambda: shown(life), within_s=5)

    live(Ill, script)


def test_nothing_is_looked_at_before_it_is_deployed_and_nothing_of_a_service_that_writes_none(live: Live) -> None:
    async def ill(life: Life) -> None:
        life.master.slow("web-2")
        await life.master.until(lambda: life.master.state("web-1") == "ready")
        await asyncio.sleep(100)
        assert life.code.looks == 0
        life.master.make_ready("web-2")
        await life.until_deployed()
        await looked(life, 1)

    async def plain(life: Life) -> None:
        await life.until_deployed()
        await asyncio.sleep(100)
        assert calls(life) == 0

    live(Ill, ill)
    live(Plain, plain)


def test_a_service_that_was_shut_down_is_not_looked_at(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await looked(life, 1)
        life.master.propose("shutdown", window_s=60)
        await life.master.until(lambda: life.master.state("web-0") != "ready")
        looks = life.code.looks
        await asyncio.sleep(600)
        assert life.code.looks <= looks + 1

    live(Ill, script)


def test_what_only_a_restart_helps_is_restarted_asked_about_and_ever_more_slowly(live: Live) -> None:
    still = Degraded("web-1 stands still", member="web-1", key="still", restart_after_s=100.0)

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.wrong = (still,)
        await seen(life, "still")
        await asyncio.sleep(80)
        assert life.master.members["web-1"].incarnation == 1
        operation = await life.master.until_proposed("restart", "web-1")
        assert life.master.operations[operation].reason == "web-1 stands still"
        await life.master.until(lambda: life.master.members["web-1"].incarnation == 2, within_s=60)
        await asyncio.sleep(180)
        assert life.master.members["web-1"].incarnation == 2, "the next one comes after twice as long"
        await life.master.until(lambda: life.master.members["web-1"].incarnation == 3, within_s=120)
        life.code.wrong = ()
        await seen(life)
        await asyncio.sleep(3600)
        assert life.master.members["web-1"].incarnation == 3

    live(Ill, script)


def test_a_scenario_gives_what_it_says_is_wrong() -> None:
    class Away(Plain):
        async def health(self) -> Sequence[Degraded]:
            return [Degraded(f"{one} is away", member=one.name) for one in self.members if not one.ready]

    given = dict.fromkeys(("web-0", "web-1", "web-2"), "ready")
    marks = {f"web/{name}": "done" for name in given}
    memory = {"sdk.deploy": {"marks": marks, "installed_at": 0.0}}
    said = Scenario(Away, members={**given, "web-1": "ended"}, memory=memory, operations=[operation("stop", "web-0")])
    assert said.run().health == wire.Health(
        degraded=(Degraded("web-1 is away", member="web-1", key="web-1 web-# is away"),)
    )
    assert Scenario(Away).run().health == wire.Health()


@pytest.mark.parametrize(
    ("what", "key"),
    [("12 of 48 partitions lag by 1,5 MiB", "# of # partitions lag by # MiB"), ("down", "down")],
)
def test_a_thing_is_known_again_whatever_its_numbers_are(what: str, key: str) -> None:
    first, second = keyed([Degraded(what), Degraded(what)])
    assert (first.key, second.key) == (key, f"{key} (2)")


def test_a_look_that_hangs_in_a_blocking_client_takes_no_thread_from_an_answer() -> None:
    async def main() -> None:
        context, over = Context(name="ill"), threading.Event()
        before = threads.set(HEALTH_THREADS)
        hanging = [asyncio.ensure_future(context.blocking(over.wait)) for _ in range(20)]
        threads.reset(before)
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(10):
                assert await context.blocking(lambda: "answered") == "answered"
        finally:
            over.set()
            await asyncio.gather(*hanging)
            context.close()

    asyncio.run(main())


def test_what_its_answers_wait_for_and_cannot_be_seen_for_long_is_told_once_and_so_is_its_end(live: Live) -> None:
    """Such as a broker that answers nobody any more: its code hears nothing, and a person should hear that."""

    class Blind(Plain):
        sees = True
        well = False

        async def watched(self) -> bool:
            if not self.sees:
                raise RuntimeError("web-1 does not answer")
            return self.well

        async def may_stop(self, member: Any, why: Operation) -> Verdict:
            return accept() if self.well else defer("not in sync", retry_after=3600)

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.sees = False
        await asyncio.sleep(600)
        assert told(life) == [], "nobody waits for what it cannot see"
        drain = life.master.drain(life.master.node_of("web-0"))
        await seen(life, "watched")
        await asyncio.sleep(300)
        (said,) = told(life)
        assert said.startswith("degraded: what its answers wait for cannot be seen: ")
        assert "web-1 does not answer" in said
        life.code.sees = True
        await life.master.until(lambda: shown(life) == [], within_s=120)
        assert told(life)[1].startswith("over: what its answers wait for cannot be seen")
        life.code.well = True
        await life.master.until(lambda: life.master.operations[drain].state == "done", within_s=120)
        assert len(told(life)) == 2

    live(Blind, script)


def test_a_look_that_fails_once_is_no_news(live: Live) -> None:
    class Blinks(Plain):
        looks = 0

        async def watched(self) -> int:
            self.looks += 1
            if self.looks % 3:
                raise RuntimeError("web-1 does not answer")
            return 0

        async def may_stop(self, member: Any, why: Operation) -> Verdict:
            return defer("not in sync", retry_after=3600)

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.drain(life.master.node_of("web-0"))
        await asyncio.sleep(300)
        assert life.code.looks > 9
        assert told(life) == []

    live(Blinks, script)
