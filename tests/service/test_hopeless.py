"""Answers that say that waiting does not help: what becomes of them on the wire, in the ledger, and for a person."""

import asyncio

import pytest
from sample_services import Plain

from upcall.protocol import service as wire
from upcall.service import Member, Operation, Verdict, Way, accept, action, hopeless
from upcall.testing import KINDS, Life, live
from upcall.testing.simulated import SimulatedKind

ONLY_COPY = "the only copy of orders is here"


class Copies(Plain):
    """Keeps one thing in one place, until somebody gives it a second."""

    copies = 1

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        if self.copies > 1 or member.index:
            return accept()
        second = Way(
            "give orders a second copy", action="copy", arguments={"name": "orders", "copies": 2}, costs="room"
        )
        return hopeless(ONLY_COPY, would_help=[second, "stop writing orders"])

    @action
    async def copy(self, name: str, copies: int) -> None:
        """Makes copies."""
        self.copies = copies


def test_hopeless_is_a_deferral_that_says_what_would_help() -> None:
    answer = hopeless(ONLY_COPY, would_help="a second copy").answer_to("op-1")
    assert (answer.verdict, answer.waiting_helps, answer.reason) == ("defer", False, ONLY_COPY)
    assert answer.would_help == (wire.Way(does="a second copy"),)


def test_hopeless_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="reason"):
        hopeless("")


def test_more_ways_than_a_person_reads_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 8"):
        hopeless("no", would_help=["this"] * 9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_person_is_told_at_once_and_why_names_the_action_and_its_costs(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.drain(life.master.node_of("web-0"))
        stop = await life.master.until_proposed("stop", "web-0")
        await life.master.until(lambda: life.master.world.alerts)
        why = life.master.world.ledger.why(stop)
        assert why is not None
        assert why.waits_for == "a person"
        assert "waiting does not help" in why.reason
        first, second, *of_the_system = why.ways
        assert first.command == "upcall service do copies copy name=orders copies=2"
        assert (first.does, first.costs) == ("give orders a second copy", "room")
        assert second.does == "stop writing orders"
        assert any(f"operation force {stop}" in way.command and ONLY_COPY in way.costs for way in of_the_system)
        assert any("--on-deadline proceed" in way.command for way in of_the_system)
        await asyncio.sleep(600)
        assert len(life.master.world.alerts) == 1

    live(Copies, script, kind=kind, options={"data": True})


@pytest.mark.parametrize("kind", KINDS)
def test_once_somebody_did_what_helps_it_goes_ahead(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        drain = life.master.drain(life.master.node_of("web-0"), window_s=3600)
        await life.master.until(lambda: life.master.world.alerts)
        await life.master.act("copy", name="orders", copies=2)
        await life.master.until(lambda: life.master.operations[drain].state == "done", within_s=120)

    live(Copies, script, kind=kind, options={"data": True})
