"""A member counts when it is ready and its ``after_ready`` has returned: for guard, consent and next step."""

import asyncio
from typing import ClassVar

import pytest
from sample_services import Plain

from upcall.operations.news import MemberBack
from upcall.service import Member
from upcall.testing import KINDS, Life, live
from upcall.testing.simulated import SimulatedKind


class Joins(Plain):
    """Every member joins something once it is ready; whoever ``fails`` does not get in."""

    fails: ClassVar[set[str]] = set()
    joined: ClassVar[list[str]] = []

    async def after_ready(self, member: Member) -> None:
        if member.name in self.fails:
            raise RuntimeError("no quorum to join")
        self.joined.append(member.task)


def fresh() -> type[Joins]:
    """A class of its own for each test: what fails and who joined outlives the host."""

    class Fresh(Joins):
        """Joins."""

        package = "joins"
        fails: ClassVar[set[str]] = set()
        joined: ClassVar[list[str]] = []

    return Fresh


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_restart_waits_while_after_ready_raises_and_why_says_so(kind: SimulatedKind) -> None:
    service = fresh()

    async def script(life: Life) -> None:
        await life.until_deployed()
        service.fails.add("web-0")
        first = life.master.propose("restart", "web-0")
        await life.master.until(lambda: life.master.members["web-0"].incarnation == 2)
        second = life.master.propose("restart", "web-1")
        await asyncio.sleep(60)
        assert life.master.operations[first].state == "executing"
        assert life.master.operations[second].state == "open"
        why = life.master.world.ledger.why(first)
        assert why is not None
        assert "after_ready has not returned: RuntimeError: no quorum to join" in why.reason
        service.fails.clear()
        await life.master.until(lambda: life.master.operations[second].state == "done", within_s=120)

    live(service, script, raises=True, kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_that_is_not_back_does_not_count_for_the_guard_whatever_is_answered(kind: SimulatedKind) -> None:
    service = fresh()

    async def script(life: Life) -> None:
        await life.until_deployed()
        service.fails.add("web-0")
        life.master.crash("web-0")
        await life.master.until(lambda: life.master.members["web-0"].incarnation == 2)
        await life.master.until_ready("web-0")
        drain = life.master.drain(life.master.node_of("web-1"), window_s=30, on_deadline="proceed")
        await asyncio.sleep(120)
        assert life.master.operations[drain].state == "open"
        assert life.master.state("web-1") == "ready"
        service.fails.clear()
        await life.master.until(lambda: life.master.operations[drain].state == "done", within_s=120)

    live(service, script, raises=True, kind=kind, options={"data": True})


@pytest.mark.parametrize("kind", KINDS)
def test_what_returned_is_known_after_a_death_of_host_and_master_and_what_did_not_is_run_again(
    kind: SimulatedKind,
) -> None:
    service = fresh()

    async def script(life: Life) -> None:
        await life.until_deployed()
        service.fails.add("web-2")
        life.master.crash("web-2")
        await life.master.until(lambda: life.master.members["web-2"].incarnation == 2)
        await life.kill_host()
        life.master.die()
        service.fails.clear()
        before = list(service.joined)
        life.start_host()
        await life.master.until(lambda: life.master.members["web-2"].back and life.master.state("web-2") == "ready")
        await asyncio.sleep(60)
        assert service.joined == [*before, "web-2.2"]

    live(service, script, raises=True, kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_that_it_raised_is_told_once_for_each_reason(kind: SimulatedKind) -> None:
    service = fresh()
    service.fails.add("web-1")

    async def script(life: Life) -> None:
        await asyncio.sleep(300)
        told = [one for one in life.master.world.news if isinstance(one, MemberBack) and one.error]
        assert len(told) == 1
        assert told[0].error.startswith("RuntimeError: no quorum to join (")

    live(service, script, raises=True, kind=kind)
