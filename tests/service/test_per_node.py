"""More members than nodes on purpose: as evenly as there is room, so that one node's loss takes as few as can be; and a
drain of a node with several completes. On both kinds of cluster."""

import asyncio
from collections import Counter
from typing import Any

from sample_services import Plain

from upcall.service import Declaration, Field, Member, Operation, Pod, ServiceOptions, Verdict, Volume, accept, defer
from upcall.testing import Life

Live = Any


class Crowded(Plain):
    """So many on one node."""

    class Options(ServiceOptions):
        count: int = Field(6, ge=1, le=12)
        per_node: int = Field(2, ge=1, le=4)

    options: Options  # type: ignore[assignment]

    def pods(self) -> list[Pod]:
        return [Pod("web", count=self.options.count, per_node=self.options.per_node)]

    def task(self, member: Member) -> Declaration:
        return Declaration(command=("serve",), volumes=(Volume(name="data", size_mib=10),))


class Copied(Crowded):
    """Each thing lies on two nodes: what one node has may go, and no more."""

    async def may_stop_together(self, members: tuple[Member, ...], why: Operation) -> Verdict:
        away = {member.node for member in self.members.values() if not member.ready} | {one.node for one in members}
        return accept() if len(away) == 1 else defer(f"{len(away)} nodes would be without theirs")

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        return await self.may_stop_together((member,), why)


def on(life: Life) -> Counter[str]:
    return Counter(member.node for member in life.master.members.values() if member.node)


def test_each_node_has_as_many(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert sorted(on(life).values()) == [2, 2, 2]

    live(Crowded, script)


def test_with_fewer_than_there_is_room_for_no_node_has_two_more_than_another(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert sorted(on(life).values()) == [1, 1, 2]

    live(Crowded, script, count=4)


def test_no_node_has_more_than_it_may(live: Live) -> None:
    async def script(life: Life) -> None:
        await asyncio.sleep(600)
        assert life.plan_state("deploy") != "done"
        assert max(on(life).values(), default=0) <= 2

    live(Crowded, script, count=7)


def test_a_node_with_several_is_drained_and_comes_back(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        master = life.master
        node = master.node_of("web-0")
        both = [name for name, member in master.members.items() if member.node == node]
        drain = master.drain(node)
        await master.until(lambda: master.operations[drain].state == "done")
        assert [master.state(name) for name in both] == ["held", "held"]
        assert sum(member.state == "ready" for member in master.members.values()) == 4
        master.undrain(node)
        await master.until_ready()
        assert sorted(on(life).values()) == [2, 2, 2]

    live(Crowded, script)
    live(Copied, script)


def test_a_second_node_waits_until_the_first_is_back(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        master = life.master
        first, second = sorted(on(life))[:2]
        drained = master.drain(first)
        await master.until(lambda: master.operations[drained].state == "done")
        waits = master.drain(second)
        await asyncio.sleep(300)
        assert master.operations[waits].state == "open"
        assert sum(member.state == "ready" for member in master.members.values()) == 4
        master.undrain(first)
        await master.until(lambda: master.operations[waits].state == "done")

    live(Copied, script)


def test_one_node_s_loss_takes_only_what_was_on_it_and_it_comes_back(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        master = life.master
        node = master.node_of("web-0")
        master.silence(node)
        await asyncio.sleep(60)
        assert sum(member.state == "ready" for member in master.members.values()) == 4
        master.recover(node)
        await master.until_ready()

    live(Copied, script)
