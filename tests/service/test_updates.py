"""An update from the question to its end, in virtual time, on both kinds of cluster: only what must restart restarts,
one first, a gate, then the others; a canary that fails touches nobody else; every host may die."""

import asyncio
from typing import Annotated, Any, ClassVar

import pytest
from sample_services import Plain

from upcall.operations import inputs as given
from upcall.protocol.errors import Conflict
from upcall.service import (
    Declaration,
    Field,
    Invalid,
    Member,
    Operation,
    OptionChange,
    Pod,
    ServiceOptions,
    Update,
    Verdict,
    accept,
    decline,
    defer,
    live,
    live_at_once,
    never,
)
from upcall.service.link import MasterAway
from upcall.testing import Life

Live = Any


class Cache(Plain):
    """It writes nothing of updates but which options change live, and which never."""

    class Options(ServiceOptions):
        count: int = Field(3, ge=1, le=9)
        size_mib: int = Field(64, ge=1)
        level: Annotated[str, live] = "info"
        tokens: Annotated[int, never("a ring keeps its tokens; install another one")] = 16
        leader: str = ""

    options: Options  # type: ignore[assignment]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.applied: list[tuple[str, Any, Any]] = []

    def task(self, member: Member) -> Declaration:
        first = (self.options.leader,) if member.index == 0 else ()
        return Declaration(command=("serve", str(self.options.size_mib), self.options.level, *first))

    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.count)]

    async def apply_live(self, changes: tuple[OptionChange, ...]) -> None:
        if self.options.level == "nonsense":
            raise Invalid("no such level", where="level")
        self.applied += [(change.name, change.was, change.wanted) for change in changes]


def state_of(life: Life, operation: str) -> str:
    return life.master.operations[operation].state


async def over(life: Life, operation: str, state: str = "done") -> None:
    ends = ("done", "failed", "declined", "withdrawn")
    try:
        await life.master.until(lambda: state_of(life, operation) in ends, within_s=3000)
    except AssertionError:
        raise AssertionError(f"{life.master.why(operation)} {life.master.plans} {life.master.members}") from None
    assert state_of(life, operation) == state, f"{life.master.plans.get('update')}"
    if state in ("done", "failed"):
        await life.master.until(lambda: life.plan_state("update") == state)


def command(life: Life, member: str) -> tuple[str, ...]:
    """What it runs."""
    view = next(each for each in life.master.world.ledger.members(life.master.service) if each.name == member)
    return life.master.known.members[member][view.generation].declaration.command


def launched_since(life: Life, before: list[str]) -> list[str]:
    return life.master.launches[len(before) :]


def test_a_service_that_writes_nothing_restarts_one_after_the_other(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        before = life.master.launches
        update = life.master.change(data=True)
        await over(life, update)
        assert launched_since(life, before) == ["web-2.2", "web-0.2", "web-1.2"], "the canary first"
        assert life.plan_state("update") == "done"

    live(Plain, script)


def test_the_canary_goes_first_and_the_others_after_its_settle_time(live: Live) -> None:
    class Settling(Cache):
        settle_s = 40.0

    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(size_mib=32)
        await life.master.until(lambda: "web-2.2" in life.master.launches)
        await life.master.until_ready("web-2")
        await asyncio.sleep(30)
        assert "web-0.2" not in life.master.launches
        assert life.steps("update")["canary/gate"] == ("waiting", "web-2 has to stay ready for 40 s")
        await over(life, update)
        assert {member: command(life, member)[1] for member in life.master.members} == dict.fromkeys(
            ("web-0", "web-1", "web-2"), "32"
        )

    live(Settling, script)


def test_only_what_must_restart_restarts(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        before = life.master.launches
        await over(life, life.master.change(leader="--leader"))
        assert launched_since(life, before) == ["web-0.2"]

    live(Cache, script)


def test_what_changes_live_restarts_nobody_and_comes_with_the_next_start(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        before = life.master.launches
        await over(life, life.master.change(level="debug"))
        assert launched_since(life, before) == []
        assert life.code.applied == [("level", "info", "debug")]
        life.master.crash("web-1")
        await life.master.until(lambda: life.master.state("web-1") == "ready" and "web-1.2" in life.master.launches)
        assert command(life, "web-1")[2] == "debug"

    live(Cache, script)


def test_a_live_value_that_is_wrong_fails_the_update_and_the_next_one_puts_it_right(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        before = life.master.launches
        await over(life, life.master.change(level="nonsense"), "failed")
        assert "no such level" in life.master.plans["update"].reason
        await over(life, life.master.rollback())
        assert life.code.applied[-1][0] == "level", "what may have been changed is changed back"
        assert life.code.options.level == "info"
        assert launched_since(life, before) == []

    live(Cache, script)


def test_what_is_never_changed_is_declined_and_changes_nothing(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.change(tokens=4), "declined")
        assert life.code.options.tokens == 16

    live(Cache, script)


def test_the_expert_may_decline_or_wait(live: Live) -> None:
    class Busy(Cache):
        busy = True

        async def may_update(self, update: Update, why: Operation) -> Verdict:
            if update.get("leader"):
                return decline("no leaders here")
            return defer("it is being filled") if self.busy else accept()

    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.change(leader="x"), "declined")
        update = life.master.change(size_mib=32)
        await asyncio.sleep(60)
        assert state_of(life, update) == "open"
        life.code.busy = False
        life.code.ask_again()
        await over(life, update)

    live(Busy, script)


# -- the system goes down in the middle -----------------------------------------------------------------------------


async def down_and_up(life: Life) -> None:
    life.master.propose("shutdown")
    await life.master.until(lambda: all(life.master.state(f"web-{number}") == "ended" for number in range(3)))
    await life.kill_host()
    life.master.die()
    life.master.send(given.Up(who="a person"))
    life.start_host()


@pytest.mark.parametrize("times", [1, 2])
def test_an_update_whose_canary_was_starting_goes_on_after_the_system_was_down(live: Live, times: int) -> None:
    """What ended it then says nothing about what it was told."""

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.slow("web-2")
        update = life.master.change(size_mib=32)
        await life.master.until(lambda: "web-2.2" in life.master.launches)
        for _ in range(times):
            await asyncio.sleep(5)
            await down_and_up(life)
            await life.master.until_ready("web-0", "web-1")
        await asyncio.sleep(60)
        assert state_of(life, update) == "executing"
        life.master.make_ready("web-2")
        await over(life, update)
        assert [command(life, f"web-{number}")[1] for number in range(3)] == ["32"] * 3

    live(Cache, script)


def test_an_update_whose_canary_was_ending_goes_on_after_the_system_was_down(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(size_mib=32)
        await life.master.until(lambda: life.master.state("web-2") == "ending")
        assert "web-2.2" not in life.master.launches
        await down_and_up(life)
        await over(life, update)
        assert [command(life, f"web-{number}")[1] for number in range(3)] == ["32"] * 3

    live(Cache, script)


# -- a canary that fails --------------------------------------------------------------------------------------------


async def with_a_canary_that_crashes(life: Life) -> str:
    """The canary ends as often as it starts, until it is told otherwise."""
    update = life.master.change(size_mib=1)
    await life.master.until(lambda: "web-2.2" in life.master.launches)

    async def ends() -> None:
        while command(life, "web-2")[1] == "1":
            if life.master.state("web-2") in ("ready", "running", "starting"):
                life.master.crash("web-2", code=3, reason="no memory")
            await asyncio.sleep(0.5)

    life.crashing = asyncio.create_task(ends())  # type: ignore[attr-defined]
    return update


def test_a_canary_that_fails_stops_the_update_and_the_next_good_value_heals_it(live: Live) -> None:
    async def script(life: Life) -> None:
        life.master.slow("web-2")
        await life.master.until(lambda: life.master.state("web-2") == "running")
        life.master.make_ready("web-2")
        await life.until_deployed()
        failing = await with_a_canary_that_crashes(life)
        await over(life, failing, "failed")
        assert "no memory" in life.master.plans["update"].reason or "code 3" in life.master.plans["update"].reason
        assert [command(life, each)[1] for each in ("web-0", "web-1")] == ["64", "64"]
        before = life.master.launches
        good = life.master.change(size_mib=128)
        await life.master.until(lambda: command(life, "web-2")[1] == "128")
        life.master.make_ready("web-2")
        await over(life, good)
        assert {command(life, each)[1] for each in ("web-0", "web-1", "web-2")} == {"128"}
        assert not [each for each in launched_since(life, before) if each.startswith("web-0") and each != "web-0.2"]

    live(Cache, script)


def test_a_rollback_while_the_canary_crash_loops_restarts_the_canary_alone(live: Live) -> None:
    async def script(life: Life) -> None:
        life.master.slow("web-2")
        await life.master.until(lambda: life.master.state("web-2") == "running")
        life.master.make_ready("web-2")
        await life.until_deployed()
        await over(life, await with_a_canary_that_crashes(life), "failed")
        assert life.master.plans["update"].revision == 2
        before = life.master.launches
        back = life.master.rollback()
        await life.master.until(lambda: command(life, "web-2")[1] == "64")
        life.master.make_ready("web-2")
        await over(life, back)
        assert life.master.plans["update"].revision == 3
        assert {each.rpartition(".")[0] for each in launched_since(life, before)} <= {"web-2"}

    live(Cache, script)


def test_a_gate_that_declines_fails_the_update_and_the_others_keep_what_they_have(live: Live) -> None:
    class Gated(Cache):
        async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
            return decline("half as fast as before") if self.options.size_mib == 1 else accept()

    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.change(size_mib=1), "failed")
        assert "web-2: half as fast as before" in life.master.plans["update"].reason
        assert [command(life, f"web-{n}")[1] for n in range(3)] == ["64", "64", "1"]
        life.master.crash("web-0")
        await life.master.until(lambda: "web-0.2" in life.master.launches)
        await life.master.until_ready()
        assert command(life, "web-0")[1] == "64", "it comes back with what it had"
        await over(life, life.master.rollback())
        assert [command(life, f"web-{n}")[1] for n in range(3)] == ["64", "64", "64"]

    live(Gated, script)


# -- live, one member first ------------------------------------------------------------------------------------------


class Tuned(Cache):
    """It tells each member alone what changes live. What a member was told wins over what it starts with, and a level
    that is deadly ends it a moment later, at every start."""

    told: ClassVar[dict[str, str]] = {}
    """Member -> the level that it was told. Of the cluster, not of the host."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.back: list[str] = []

    async def apply_live_at(self, member: Member, changes: tuple[OptionChange, ...]) -> None:
        if self.options.level == "nonsense":
            raise Invalid("no such level", where="level")
        self.told[member.name] = self.options.level

    async def take_live_back(self, member: Member, changes: tuple[OptionChange, ...]) -> None:
        self.back.append(member.name)
        self.told[member.name] = self.options.level


def tuned(**own: Any) -> type[Tuned]:
    return type("Tuned", (Tuned,), {"told": {}, **own})


async def ends_by_it(life: Life, told: dict[str, str], level: str = "deadly") -> None:
    """The world in which such a level ends a member."""
    while True:
        for member, value in list(told.items()):
            if value == level and life.master.state(member) == "ready":
                life.master.crash(member, code=3, reason="OutOfMemoryError: unable to create native thread")
        await asyncio.sleep(0.5)


def test_what_changes_live_is_told_to_one_member_and_to_the_others_after_the_gate(live: Live) -> None:
    code = tuned(settle_s=40.0)

    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(level="debug")
        await life.master.until(lambda: code.told == {"web-2": "debug"})
        await asyncio.sleep(30)
        assert code.told == {"web-2": "debug"}
        assert life.steps("update")["live/gate"] == ("waiting", "web-2 has to stay ready for 40 s")
        await over(life, update)
        assert code.told == dict.fromkeys(("web-0", "web-1", "web-2"), "debug")
        assert life.master.launches == ["web-0.1", "web-1.1", "web-2.1"]
        assert life.code.applied == [], "nothing is told to all at once"

    live(code, script)


def test_one_that_a_live_value_ends_fails_the_update_and_gets_back_what_it_had(live: Live) -> None:
    code = tuned()

    async def script(life: Life) -> None:
        await life.until_deployed()
        world = asyncio.create_task(ends_by_it(life, code.told))
        await over(life, life.master.change(level="deadly"), "failed")
        reason = life.master.plans["update"].reason
        assert "web-2 does not stay up with it" in reason
        assert "unable to create native thread" in reason
        assert code.told == {"web-2": "info"}, "nobody else was told"
        await life.master.until_ready()
        await asyncio.sleep(60)
        ends = {member: seen.incarnation for member, seen in life.master.members.items()}
        assert (ends["web-0"], ends["web-1"]) == (1, 1)
        assert command(life, "web-2")[2] == "info"
        await over(life, life.master.rollback())
        assert set(code.told.values()) == {"info"}
        world.cancel()

    live(code, script)


def test_who_would_be_told_first_is_said_before_and_why_nobody_could_be(live: Live) -> None:
    class Both(Tuned):
        told: ClassVar[dict[str, str]] = {}

        class Options(Cache.Options):
            quorum: Annotated[int, live_at_once("all count by the same number")] = 2

    async def script(life: Life) -> None:
        await life.until_deployed()
        found = await life.master.preview(level="debug")
        assert (found.live, found.live_first) == (("web-0", "web-1", "web-2"), "web-2")
        found = await life.master.preview(quorum=3)
        assert found.how == {"quorum": "live: all count by the same number"}
        assert (found.live, found.live_first) == (("web-0", "web-1", "web-2"), "")
        await over(life, life.master.change(level="debug", quorum=3))
        assert [each for each in life.steps("update") if each.startswith("live/")] == [
            "live/one",
            "live/gate",
            "live/others",
            "live/all",
            "live/settle",
            "live/take over",
        ]
        assert set(Both.told.values()) == {"debug"}
        assert [change[0] for change in life.code.applied] == ["quorum"]

    live(Both, script)


def test_members_that_come_do_not_get_what_failed(live: Live) -> None:
    code = tuned()

    async def script(life: Life) -> None:
        await life.until_deployed()
        world = asyncio.create_task(ends_by_it(life, code.told))
        await over(life, life.master.change(level="deadly"), "failed")
        said = "would take along what it was to bring: level=deadly"
        with pytest.raises(Conflict, match=said):
            life.master.change(count=4)
        with pytest.raises(Conflict, match=said):
            await life.master.preview(count=4)
        await over(life, life.master.change(count=4, level="info"))
        await life.master.until_ready("web-3")
        assert command(life, "web-3")[2] == "info"
        world.cancel()

    live(code, script, cluster={"nodes": 4})


def test_a_live_value_that_one_of_the_others_does_not_take_is_taken_back_everywhere(live: Live) -> None:
    class Picky(Tuned):
        told: ClassVar[dict[str, str]] = {}

        async def apply_live_at(self, member: Member, changes: tuple[OptionChange, ...]) -> None:
            if member.name == "web-1" and self.options.level == "debug":
                raise Invalid("not here", where="level")
            await super().apply_live_at(member, changes)

    async def script(life: Life) -> None:
        Picky.told.clear()
        await life.until_deployed()
        await over(life, life.master.change(level="debug"), "failed")
        assert "not here" in life.master.plans["update"].reason
        assert sorted(life.code.back) == ["web-0", "web-1", "web-2"]
        assert set(Picky.told.values()) == {"info"}
        await life.master.until(lambda: life.steps("update")["taken back/live values"][0] == "done")

    live(Picky, script)


def test_what_is_taken_back_is_taken_back_by_whichever_host_comes(live: Live) -> None:
    class Slow(Tuned):
        told: ClassVar[dict[str, str]] = {}
        tries = 0

        async def take_live_back(self, member: Member, changes: tuple[OptionChange, ...]) -> None:
            type(self).tries += 1
            if self.tries < 4:
                raise ConnectionError("nobody answers")
            await super().take_live_back(member, changes)

    async def script(life: Life) -> None:
        Slow.told.clear()
        Slow.tries = 0
        await life.until_deployed()
        world = asyncio.create_task(ends_by_it(life, Slow.told))
        update = life.master.change(level="deadly")
        while state_of(life, update) in ("open", "executing"):
            await asyncio.sleep(1.3)
            await life.kill_host()
            life.start_host()
        await over(life, update, "failed")
        assert Slow.told == {"web-2": "info"}
        world.cancel()

    live(Slow, script)


def test_a_rollback_before_all_is_taken_back_gives_one_that_is_down_what_it_had_first(live: Live) -> None:
    class Stuck(Tuned):
        told: ClassVar[dict[str, str]] = {}
        answers = False

        async def take_live_back(self, member: Member, changes: tuple[OptionChange, ...]) -> None:
            if not self.answers:
                raise ConnectionError("nobody answers")
            await super().take_live_back(member, changes)

    async def script(life: Life) -> None:
        Stuck.told.clear()
        Stuck.answers = False
        await life.until_deployed()
        world = asyncio.create_task(ends_by_it(life, Stuck.told))
        failing = life.master.change(level="deadly")
        await life.master.until(
            lambda: "taken back/live values" in life.steps("update") if "update" in life.master.plans else False
        )
        assert state_of(life, failing) == "executing", "it is not over before"
        back = life.master.rollback()
        Stuck.answers = True
        await over(life, back)
        assert set(Stuck.told.values()) == {"info"}
        await life.master.until_ready()
        world.cancel()

    live(Stuck, script)


def test_a_master_that_dies_as_it_is_written_down_who_was_told_changes_nothing_of_the_end(live: Live) -> None:
    """Each write of the course in turn: the master has it, and its answer is lost."""
    written = 0

    def play(dies_at: int) -> None:
        code = tuned()

        async def script(life: Life) -> None:
            nonlocal written
            await life.until_deployed()
            writes = 0

            def carried_out() -> bool:
                nonlocal writes
                writes += life.master.calls[-1] == "PUT state/sdk.update"
                if writes == dies_at and life.master.world.deaths == 0:
                    life.master.die()
                    raise MasterAway("it died before it answered")
                return True

            life.master.carried_out = carried_out
            world = asyncio.create_task(ends_by_it(life, code.told))
            await over(life, life.master.change(level="deadly"), "failed")
            written = writes
            assert code.told == {"web-2": "info"}
            await life.master.until_ready()
            world.cancel()

        live(code, script)

    play(0)
    assert written > 3
    for number in range(1, written + 1):
        play(number)


def test_who_restarts_the_one_that_was_told_first_does_not_fail_the_update(live: Live) -> None:
    code = tuned(settle_s=60.0)

    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(level="debug")
        await life.master.until(lambda: code.told == {"web-2": "debug"})
        life.master.propose("restart", "web-2")
        await life.master.until(lambda: "web-2.2" in life.master.launches)
        await over(life, update)
        assert set(code.told.values()) == {"debug"}

    live(code, script)


def test_what_is_live_for_all_at_once_is_watched_and_taken_back(live: Live) -> None:
    class AtOnce(Cache):
        async def apply_live(self, changes: tuple[OptionChange, ...]) -> None:
            await super().apply_live(changes)
            self.level = self.options.level

    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(level="debug")
        await life.master.until(lambda: life.code.applied)
        await asyncio.sleep(1)
        life.master.crash("web-1", code=3, reason="no memory")
        await over(life, update, "failed")
        assert "web-1 does not stay up with it" in life.master.plans["update"].reason
        assert [change[2] for change in life.code.applied] == ["debug", "info"]

    live(AtOnce, script)


# -- members come and leave -----------------------------------------------------------------------------------------


def test_members_that_an_update_brings_start_when_the_others_are_through(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        before = life.master.launches
        await over(life, life.master.change(count=4, size_mib=32))
        assert launched_since(life, before) == ["web-2.2", "web-0.2", "web-1.2", "web-3.1"]
        assert life.plan_state("deploy") == "done"

    live(Cache, script, cluster={"nodes": 4})


def test_members_that_are_too_many_leave_the_highest_first(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await over(life, life.master.change(count=1))
        assert list(life.master.members) == ["web-0"]

    live(Cache, script)


# -- pause, cancel, and who dies in the middle -----------------------------------------------------------------------


def test_a_paused_update_goes_on_when_it_is_resumed(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(size_mib=32)
        await life.master.until(lambda: "web-2.2" in life.master.launches)
        life.master.control(update, "pause")
        await asyncio.sleep(300)
        assert life.master.launches[3:] == ["web-2.2"]
        life.master.control(update, "resume")
        await over(life, update)

    live(Cache, script)


def test_its_plan_is_paused_and_resumed_like_any_other(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(size_mib=32)
        await life.master.until(lambda: "web-2.2" in life.master.launches)
        assert (await life.master.act("plan/pause", plan="update", phase="rest")).ok
        await asyncio.sleep(300)
        assert life.master.launches[3:] == ["web-2.2"]
        assert life.steps("update")["rest/web-0"] == ("paused", "paused by a person")
        assert (await life.master.act("plan/resume", plan="update")).ok
        await over(life, update)

    live(Cache, script)


def test_a_cancelled_update_goes_no_further_and_the_next_one_takes_all_along(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(size_mib=32)
        await life.master.until(lambda: life.master.state("web-2") == "ready" and "web-2.2" in life.master.launches)
        life.master.control(update, "cancel")
        await asyncio.sleep(120)
        assert life.master.launches[3:] == ["web-2.2"]
        assert life.plan_state("update") == "failed"
        await over(life, life.master.change(size_mib=16))
        assert {command(life, f"web-{n}")[1] for n in range(3)} == {"16"}

    live(Cache, script)


def test_a_host_that_dies_again_and_again_restarts_nobody_twice(live: Live) -> None:
    class Quick(Cache):
        settle_s = 0.5

    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(size_mib=32, level="debug", count=4)
        while state_of(life, update) in ("open", "executing"):
            await asyncio.sleep(1.7)
            await life.kill_host()
            life.start_host()
        await over(life, update)
        assert sorted(life.master.launches[3:]) == ["web-0.2", "web-1.2", "web-2.2", "web-3.1"]

    live(Quick, script, cluster={"nodes": 4})


def test_a_master_that_dies_again_and_again_restarts_nobody_twice(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(size_mib=32)
        while state_of(life, update) in ("open", "executing"):
            await asyncio.sleep(2.3)
            life.master.die()
        await over(life, update)
        assert sorted(set(life.master.launches)) == [f"web-{n}.{each}" for n in range(3) for each in (1, 2)]

    live(Cache, script)


def test_a_drain_in_the_middle_is_answered_and_the_update_goes_on(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(size_mib=32)
        await life.master.until(lambda: "web-2.2" in life.master.launches)
        node = life.master.node_of("web-0")
        life.master.drain(node)
        await asyncio.sleep(120)
        life.master.undrain(node)
        await over(life, update)
        await life.master.until_ready()
        assert {command(life, f"web-{n}")[1] for n in range(3)} == {"32"}

    live(Cache, script)


def test_a_preview_says_what_would_happen_and_nothing_does(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        found = await life.master.preview(size_mib=32, tokens=16, count=4)
        assert found.how == {"size_mib": "restart", "count": "new members"}
        assert (list(found.restart), found.come, found.answer) == (["web-0", "web-1", "web-2"], ("web-3",), "accept")
        await asyncio.sleep(30)
        assert life.master.launches == ["web-0.1", "web-1.1", "web-2.1"]

    live(Cache, script, cluster={"nodes": 4})


def test_nothing_can_be_controlled_of_an_update_that_is_over(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        reply = await life.master.act("plan/pause", plan="update")
        assert not reply.ok
        assert "no update is under way" in reply.error

    live(Cache, script)
