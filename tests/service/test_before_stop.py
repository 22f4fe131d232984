"""``before_stop`` runs after the begin and before the end, within its time, for stops, restarts and removals."""

import asyncio

import pytest
from sample_services import Plain

from upcall.service import Member, Operation
from upcall.testing import KINDS, Life, live
from upcall.testing.simulated import SimulatedKind


class Leads(Plain):
    """Hands over what a member leads before it ends."""

    takes_s = 5.0
    raises = False

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.begun: list[str] = []
        self.handed: list[str] = []

    async def before_stop(self, member: Member, why: Operation) -> None:
        self.begun.append(f"{why.kind} {member.name} {member.state}")
        if self.raises:
            raise RuntimeError("no controller")
        await asyncio.sleep(self.takes_s)
        assert self.members[member.name].ready, "it ended before its leaders were handed over"
        self.handed.append(member.name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wish", ["stop", "restart", "replace"])
def test_a_member_runs_until_before_stop_has_returned(kind: SimulatedKind, wish: str) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        op = life.master.propose(wish, "web-0")
        await life.master.until(lambda: life.master.operations[op].state == "done", within_s=120)
        assert life.code.begun == [f"{wish} web-0 ready"]
        assert life.code.handed == ["web-0"]

    live(Leads, script, kind=kind, options={"data": True}, nodes=4)


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_does_not_return_holds_the_end_up_for_its_time_and_no_longer(kind: SimulatedKind) -> None:
    class Hangs(Leads):
        """Never done."""

        takes_s = 3600.0

    async def script(life: Life) -> None:
        await life.until_deployed()
        stop = life.master.propose("stop", "web-0")
        await asyncio.sleep(25)
        assert life.code.begun
        assert life.master.state("web-0") == "ready"
        why = life.master.world.ledger.why(stop)
        assert why is not None
        assert "before_stop" in why.reason
        await life.master.until(lambda: life.master.operations[stop].state == "done", within_s=20)

    live(Hangs, script, kind=kind, options={"data": True})


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_raises_is_told_and_holds_nothing_up(kind: SimulatedKind) -> None:
    class Raises(Leads):
        """Cannot."""

        raises = True

    async def script(life: Life) -> None:
        await life.until_deployed()
        stop = life.master.propose("stop", "web-0")
        await life.master.until(lambda: life.master.operations[stop].state == "done", within_s=5)
        assert any("no controller (test_before_stop.py:" in note.text for note in life.master.notes)

    live(Raises, script, kind=kind, options={"data": True})


@pytest.mark.parametrize("kind", KINDS)
def test_a_death_of_the_master_meanwhile_ends_nobody_early(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        stop = life.master.propose("stop", "web-0")
        await life.master.until(lambda: life.code.begun)
        life.master.die()
        await life.master.until(lambda: life.master.operations[stop].state == "done", within_s=120)
        assert life.code.handed == ["web-0"]

    live(Leads, script, kind=kind, options={"data": True})
