"""How an expert is asked: each answer is sent when it is there, a wrong one is told, nothing is asked for nothing."""

import asyncio
from collections.abc import Hashable
from typing import Any

import pytest
from sample_services import Plain

from upcall.protocol import service as wire
from upcall.protocol.errors import Conflict
from upcall.service import (
    Declaration,
    Member,
    Operation,
    Pod,
    Policy,
    Resources,
    Verdict,
    accept,
    action,
    defer,
    replace,
    restart,
)
from upcall.service.asking import Clerk
from upcall.service.context import Context
from upcall.service.link import MasterAway
from upcall.testing import KINDS, Life, Scenario, live, operation
from upcall.testing.simulated import SimulatedKind


class Many(Plain):
    """Eighty of them, which may share a node."""

    class Options(Plain.Options):
        count: int = 80

    options: Options

    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.count, apart=False)]

    def task(self, member: Member) -> Declaration:
        return Declaration(command=("serve",), resources=Resources(cpus=0.001, memory_mib=200))


class Watched(Plain):
    """Defers until something outside is well, which no event tells."""

    well = False
    looks = 0
    asked = 0

    async def watched(self) -> Hashable:
        self.looks += 1
        return self.well

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        self.asked += 1
        return accept() if self.well else defer("not in sync", retry_after=600)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_watched_and_changes_is_asked_about_within_a_second(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await asyncio.sleep(60)
        assert life.code.looks == 0, "nobody waits"
        drain = life.master.drain(life.master.node_of("web-0"))
        await asyncio.sleep(100)
        assert life.code.asked <= 3
        life.code.well = True
        await life.master.until(lambda: life.master.operations[drain].state != "open" or _begun(life), within_s=1)
        await life.master.until(lambda: life.master.operations[drain].state == "done", within_s=60)
        looks = life.code.looks
        await asyncio.sleep(60)
        assert life.code.looks == looks, "nobody waits any more"

    live(Watched, script, raises=True, kind=kind, options={"data": True})


def _begun(life: Life) -> bool:
    return any(op.kind == "stop" and op.state != "open" for op in life.master.operations.values())


def test_a_service_says_ask_me_again_now_and_is_asked_within_a_second() -> None:
    class Says(Watched):
        """Says so itself."""

        async def watched(self) -> Hashable:
            return None

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.drain(life.master.node_of("web-0"))
        await asyncio.sleep(30)
        life.code.well = True
        life.code.ask_again()
        await life.master.until(lambda: _begun(life), within_s=1)

    live(Says, script, kind="kernel", options={"data": True})


def test_a_watch_that_raises_is_told_once_and_looked_at_ever_more_slowly(caplog: pytest.LogCaptureFixture) -> None:
    class Blind(Watched):
        """Cannot see."""

        async def watched(self) -> Hashable:
            self.looks += 1
            raise RuntimeError("nobody answers")

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.drain(life.master.node_of("web-0"))
        await asyncio.sleep(300)
        assert life.code.looks < 20

    live(Blind, script, raises=True, kind="kernel", options={"data": True})
    told = [r.message for r in caplog.records if "watched()" in r.message]
    assert len(told) == 1
    assert "nobody answers (test_asking.py:" in told[0]


# -- answers that are none ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (None, "returned nothing: a `return` is missing"),
        (True, "returned a bool"),
        (accept, "returned a function"),
        (restart(), "answered restart() to a stop, which is no answer to it; expected accept(), defer(), decline()"),
        (replace(), "answered replace() to a stop"),
    ],
)
def test_what_is_no_answer_is_told_with_its_line_and_nothing_is_done(given: Any, complaint: str) -> None:
    class Wrong(Plain):
        """Answers wrongly."""

        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            return given  # type: ignore[no-any-return]

    async def script(life: Life) -> None:
        await life.until_deployed()
        drain = life.master.drain(life.master.node_of("web-0"))
        await asyncio.sleep(120)
        assert life.master.operations[drain].state == "open"
        assert len(life.master.notes) == 1
        assert complaint in life.master.notes[0].text
        assert "may_stop (test_asking.py:" in life.master.notes[0].text

    live(Wrong, script, raises=True, kind="kernel", options={"data": True})


def test_pods_that_raise_are_told_for_each_operation_and_the_service_lives_on() -> None:
    class Breaks(Plain):
        """Cannot say what it is made of, for a while."""

        broken = False

        def pods(self) -> list[Pod]:
            if self.broken:
                raise LookupError("no such option")
            return super().pods()

    async def script(life: Life) -> None:
        await life.until_deployed()
        life.code.broken = True
        drain = life.master.drain(life.master.node_of("web-0"))
        await life.master.until(lambda: life.master.notes)
        assert "LookupError: no such option (test_asking.py:" in life.master.notes[0].text
        life.code.broken = False
        await life.master.until(lambda: life.master.operations[drain].state == "done", within_s=60)

    live(Breaks, script, raises=True, kind="kernel", options={"data": True})


# -- in time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_who_answers_each_question_in_its_time_is_never_silent(kind: SimulatedKind) -> None:
    """Nine questions of nine seconds each: the last one is answered long after ``answer_s``."""

    class Slow(Plain):
        """Thinks for long, and always says no."""

        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            await asyncio.sleep(9)
            return defer("thought about it", retry_after=300)

    async def script(life: Life) -> None:
        await life.until_deployed()
        for name in sorted(life.master.members):
            life.master.propose("stop", name, window_s=6000, on_deadline="hold")
        await asyncio.sleep(1500)
        assert all(member.state == "ready" for member in life.master.members.values())

    live(Slow, script, kind=kind, options={"count": 9}, nodes=9)


def test_an_answer_is_sent_when_it_is_there_and_not_when_the_last_one_is() -> None:
    class Mixed(Plain):
        """One of its questions takes long."""

        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            if member.index:
                await asyncio.sleep(8)
            return defer(f"{member.name} is needed", retry_after=300)

    async def script(life: Life) -> None:
        await life.until_deployed()
        for name in ("web-0", "web-1", "web-2"):
            life.master.propose("stop", name)
        await life.master.until(lambda: life.master.answers, within_s=1)
        assert [answer.reason for answer in life.master.answers] == ["web-0 is needed"]

    live(Mixed, script, raises=True, kind="kernel", options={"data": True})


# -- at scale -------------------------------------------------------------------------------------------------------


def test_a_drain_of_twenty_of_eighty_members_is_asked_and_answered_for_what_changed() -> None:
    """Counted, not timed: each stop may cost a few questions, and an answer where it says something new."""
    questions = 0

    class Busy(Many):
        """Says no."""

        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            nonlocal questions
            questions += 1
            return defer("a rebuild runs", retry_after=60)

    async def script(life: Life) -> None:
        nonlocal questions
        await life.until_deployed()
        there = [name for name, member in life.master.members.items() if member.node == "n0"]
        assert 15 <= len(there) <= 25
        life.master.drain("n0")
        await asyncio.sleep(5)
        assert questions == len(there)
        assert len(life.master.answers) == len(there)
        questions = 0
        life.master.answers.clear()
        await asyncio.sleep(60)
        assert questions <= 3 * len(there)
        assert len(life.master.answers) <= 2 * len(there)

    live(Busy, script, kind="kernel", nodes=4)


def test_all_twenty_go_one_after_the_other_with_a_few_questions_and_answers_for_each() -> None:
    questions = 0

    class Counted(Many):
        """The careful stranger, counted."""

        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            nonlocal questions
            questions += 1
            return await super().may_stop(member, why)

        def policy(self) -> Policy:
            return Policy(minimum=40, holds_data=True)

    async def script(life: Life) -> None:
        await life.until_deployed()
        there = [name for name, member in life.master.members.items() if member.node == "n0"]
        drain = life.master.drain("n0", window_s=6000)
        await life.master.until(lambda: life.master.operations[drain].state == "done", within_s=6000)
        assert questions <= 4 * len(there)
        assert len(life.master.answers) <= 4 * len(there)

    live(Counted, script, kind="kernel", nodes=4)


# -- the careful stranger -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_maintenance_holds_does_not_put_off_the_rest_of_it(kind: SimulatedKind) -> None:
    class Pair(Plain):
        """Two members that share a node."""

        def pods(self) -> list[Pod]:
            return [Pod("left", apart=False), Pod("right", apart=False)]

        def policy(self) -> Policy:
            return Policy(minimum=0, holds_data=True)

    async def script(life: Life) -> None:
        await life.until_deployed()
        drain = life.master.drain("n0", window_s=6000)
        await life.master.until(lambda: life.master.operations[drain].state == "done", within_s=60)

    live(Pair, script, kind=kind, nodes=1, options={"data": True})


@pytest.mark.parametrize("kind", KINDS)
def test_a_lone_member_goes_through_a_drain(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        drain = life.master.drain(life.master.node_of("web-0"))
        await life.master.until(lambda: life.master.operations[drain].state == "done", within_s=60)

    live(Plain, script, kind=kind, options={"count": 1, "data": True})


def test_who_has_data_and_no_expert_does_not_leave_for_good() -> None:
    scale_in = operation("scale_in", "web-2")
    outcome = Scenario(Plain, {"data": True}, operations=[scale_in]).run()
    assert outcome.answer.verdict == "decline"
    assert "web-2 has data, and plain has no leave() that moves it away" in outcome.answer.reason
    assert Scenario(Plain, {}, operations=[scale_in]).run().answer.verdict == "accept"


# -- the start ------------------------------------------------------------------------------------------------------


def test_nothing_is_asked_and_no_action_called_before_on_start_has_returned() -> None:
    class Loads(Plain):
        """Loads what its answers need."""

        slow = False
        loaded = False

        async def on_start(self) -> None:
            await asyncio.sleep(20 if type(self).slow else 0)
            self.loaded = True

        async def may_stop(self, member: Member, why: Operation) -> Verdict:
            assert self.loaded
            return accept()

        @action
        async def size(self) -> bool:
            """Whether it knows."""
            return self.loaded

    async def script(life: Life) -> None:
        await life.until_deployed()
        await life.kill_host()
        Loads.slow = True
        stop = life.master.propose("stop", "web-0")
        life.start_host()
        await asyncio.sleep(1)
        reply = await life.master.act("size")
        assert reply.result is True
        await life.master.until(lambda: life.master.operations[stop].state == "done", within_s=60)
        assert not life.master.notes

    live(Loads, script, kind="kernel", options={"data": True})


async def test_an_answer_that_was_on_its_way_when_the_subscription_ended_is_given_again_on_the_next() -> None:
    class Hangs:
        """A link on which the first answer is still on its way when something else ends the subscription."""

        def __init__(self) -> None:
            self.heard: list[wire.Answer] = []
            self.hangs = True
            self.told = asyncio.Event()

        async def answer(self, answers: wire.Answers) -> None:
            self.told.set()
            if self.hangs:
                await asyncio.Future()
            self.heard += answers.answers

    link: Any = Hangs()
    members = {f"web-{number}": wire.Member(name=f"web-{number}", state="ready") for number in range(2)}
    clerk = Clerk(Plain(Context(name="plain", members=members)), link, asyncio.ensure_future)  # type: ignore[arg-type]
    pending = wire.Operations(epoch="1", version=1, operations=(operation("stop", "web-0", id="op-1"),))
    for link.hangs in (True, False):
        link.told.clear()
        clerk.show(pending)
        subscription = asyncio.create_task(clerk.run())
        await asyncio.wait_for(link.told.wait(), 5.0)
        await asyncio.sleep(0)
        subscription.cancel()
        await asyncio.wait([subscription])
    assert [answer.operation for answer in link.heard] == ["op-1"]


async def test_an_answer_that_was_lost_with_the_connection_is_given_again_on_the_next() -> None:
    class Away:
        """A link whose first call breaks on its way; nobody knows whether it was heard."""

        def __init__(self) -> None:
            self.heard: list[wire.Answer] = []
            self.breaks = True
            self.told = asyncio.Event()

        async def answer(self, answers: wire.Answers) -> None:
            if self.breaks:
                self.breaks = False
                raise MasterAway("the connection ended")
            self.heard += answers.answers
            self.told.set()

    link: Any = Away()
    members = {f"web-{number}": wire.Member(name=f"web-{number}", state="ready") for number in range(2)}
    service = Plain(Context(name="plain", members=members))
    clerk = Clerk(service, link, asyncio.ensure_future)  # type: ignore[arg-type]
    pending = wire.Operations(epoch="1", version=1, operations=(operation("stop", "web-0", id="op-1"),))
    clerk.show(pending)
    with pytest.raises(MasterAway):
        await clerk.run()
    clerk.show(pending)  # the next subscription shows the same set
    run = asyncio.create_task(clerk.run())
    await asyncio.wait_for(link.told.wait(), 5.0)
    run.cancel()
    assert [answer.operation for answer in link.heard] == ["op-1"]


async def test_an_answer_that_came_too_late_blames_nobody_and_the_others_of_its_call_are_given_again() -> None:
    class Refuses:
        """A link to a master at which the first operation has just ended."""

        def __init__(self) -> None:
            self.calls: list[list[str]] = []
            self.told = asyncio.Event()

        async def answer(self, answers: wire.Answers) -> None:
            self.calls.append([answer.operation for answer in answers.answers])
            if "op-1" in self.calls[-1]:
                raise Conflict(
                    "op-1 is withdrawn: it is not asked any more", where="op-1", expected="an open operation"
                )
            self.told.set()

    class AtOnce(Plain):
        """Answers for sets."""

        async def answer_set(self, operations: Any) -> dict[str, Verdict]:
            return {op.id: accept() for op in operations}

    link: Any = Refuses()
    notes: list[str] = []
    members = {f"web-{number}": wire.Member(name=f"web-{number}", state="ready") for number in range(3)}
    service = AtOnce(Context(name="plain", members=members))
    service._context.note = lambda operation, text: notes.append(text)
    clerk = Clerk(service, link, asyncio.ensure_future)  # type: ignore[arg-type]
    ended, open_still = operation("stop", "web-0", id="op-1"), operation("stop", "web-1", id="op-2")
    clerk.show(wire.Operations(epoch="1", version=1, operations=(ended, open_still)))
    run = asyncio.create_task(clerk.run())
    await asyncio.wait_for(link.told.wait(), 5.0)
    run.cancel()
    assert link.calls == [["op-1", "op-2"], ["op-2"]]
    assert notes == []
