"""A role moves from member to member, an endpoint follows it, and a host that starts anew knows who has it."""

import asyncio

import pytest

import upcall.service as up
from upcall.testing import KINDS, Life, Scenario, SimulatedKind, live


class Led(up.Service):
    """Servers of which one leads."""

    def pods(self) -> list[up.Pod]:
        return [
            up.Pod("server", count=3, endpoints=[up.Endpoint("leader", "main", role="leader"), up.Endpoint("main")])
        ]

    def task(self, member: up.Member) -> up.Declaration:
        return up.Declaration(command=("serve",), ports=(up.Port(name="main", number=80),))

    async def after_ready(self, member: up.Member) -> None:
        if self.holder("leader") is None:
            await self.give_role("leader", member)

    async def before_stop(self, member: up.Member, why: up.Operation) -> None:
        leader = self.holder("leader")
        if leader and leader.name == member.name:
            await self.give_role("leader", self.members.without(member)[0])


def test_an_endpoint_of_a_role_leads_to_nobody_until_somebody_has_it() -> None:
    ends = {each.name: each.members for each in Scenario(Led, fresh=True).run().endpoints}
    assert ends == {"leader": (), "main": ("server-0", "server-1", "server-2")}


def test_an_endpoint_of_a_role_leads_to_who_has_it_alone() -> None:
    ends = {
        each.name: each.members for each in Scenario(Led, memory={"sdk.roles": {"leader": "server-2"}}).run().endpoints
    }
    assert ends["leader"] == ("server-2",)


@pytest.mark.parametrize("kind", KINDS)
def test_the_role_is_handed_over_before_a_stop_and_kept_when_the_host_dies(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        await life.master.until(lambda: life.code.holder("leader") is not None)
        first = life.code.holder("leader")
        assert first is not None
        drain = life.master.drain(life.master.node_of(first.name))
        await life.master.until(lambda: life.master.operations[drain].state == "done")
        second = life.code.holder("leader")
        assert second is not None
        assert second.name != first.name
        life.kill_host()
        life.start_host()
        await asyncio.sleep(60)
        third = life.code.holder("leader")
        assert third is not None
        assert third.name == second.name

    live(Led, script, kind=kind)


class TwoPods(up.Service):
    """Two pods none of whose members share a node."""

    def pods(self) -> list[up.Pod]:
        return [up.Pod(name, count=count, apart="data") for name, count in (("server", 2), ("sentinel", 1))]

    def task(self, member: up.Member) -> up.Declaration:
        return up.Declaration(command=("serve",))


@pytest.mark.parametrize("kind", KINDS)
def test_members_of_two_pods_with_one_word_are_on_different_nodes(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert len({life.master.node_of(name) for name in ("server-0", "server-1", "sentinel-0")}) == 3

    live(TwoPods, script, kind=kind, nodes=3)
