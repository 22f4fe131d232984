"""Several members that one maintenance takes: asked as one, answered in one, and else one by one."""

import asyncio
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace
from sample_services import Plain

from upcall.protocol.service import Member as Seen
from upcall.protocol.service import Operation
from upcall.service import (
    Constraints,
    Declaration,
    Member,
    Pod,
    Policy,
    Service,
    ServiceOptions,
    Told,
    Verdict,
    Volume,
    accept,
    defer,
)
from upcall.testing import Scenario, driver, operation
from upcall.testing.life import Life
from upcall.testing.simulated.cluster import Node, small_nodes

Live = Any


class Racks(Service):
    """Six members, of which two may go together, if all are there."""

    asked: ClassVar[list[str]] = []

    def pods(self) -> list[Pod]:
        return [Pod("node", count=6, spread="zone", strategy="parallel")]

    def task(self, member: Member) -> Declaration:
        data = Volume(name="data", size_mib=64)
        return Declaration(command=("run",), volumes=(data,), constraints=Constraints(apart="node"))

    def policy(self) -> Policy:
        return Policy(minimum=4)

    async def on_told(self, told: Told) -> None:
        if told.what == "maintenance over":
            self.asked.append(f"over on {told.operation.node}")

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        self.asked.append(member.name)
        away = [other.name for other in self.members.without(member) if not other.back]
        return defer(f"{away[0]} is away") if away else accept()

    async def may_stop_together(self, members: tuple[Member, ...], why: Operation) -> Verdict:
        self.asked.append("+".join(member.name for member in members))
        all_there = all(member.back for member in self.members.values())
        return accept() if len(members) == 2 and all_there else defer("too many")


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    Racks.asked.clear()


def below(parent: str, *members: str, **more: object) -> list[Operation]:
    return [operation("stop", member, parent=parent, **more) for member in members]


def test_an_expert_who_answers_for_one_is_asked_about_one_at_a_time() -> None:
    found = Scenario(Plain, operations=below("op-1", "web-0", "web-1")).run()
    assert [answer.verdict for answer in found.answers.values()] == ["accept", "defer"]


def test_who_may_not_go_together_is_asked_about_one_by_one() -> None:
    found = Scenario(Racks, operations=below("op-1", "node-0", "node-1", "node-2")).run()
    assert [answer.verdict for answer in found.answers.values()] == ["accept", "defer", "defer"]
    assert Racks.asked == ["node-0+node-1+node-2", "node-0"]


def test_who_may_go_together_is_accepted_in_one_answer_and_the_rest_comes_after() -> None:
    stops = [*below("op-1", "node-0", "node-3"), *below("op-2", "node-1")]
    found = Scenario(Racks, operations=stops).run()
    assert [answer.verdict for answer in found.answers.values()] == ["accept", "accept", "defer"]
    assert Racks.asked == ["node-0+node-3"]


def test_what_is_paused_or_has_begun_or_is_of_another_maintenance_is_not_of_the_set() -> None:
    stops = [
        *below("op-1", "node-0"),
        *below("op-1", "node-1", paused=True),
        *below("op-2", "node-2"),
        *below("", "node-3"),
    ]
    Scenario(Racks, operations=stops).run()
    assert not [each for each in Racks.asked if "+" in each]


@pytest.mark.parametrize("wrong", ["nothing", "raises", "hangs"])
def test_an_expert_whose_answer_for_the_set_goes_wrong_is_asked_about_each(wrong: str) -> None:
    class Wrong(Racks):
        answer_timeout_s = 0.1

        async def may_stop_together(self, members: tuple[Member, ...], why: Operation) -> Verdict:
            if wrong == "raises":
                raise RuntimeError("no quorum")
            if wrong == "hangs":
                await asyncio.sleep(1000)
            return None  # type: ignore[return-value]

    stops = below("op-1", "node-0", "node-1")
    found, _ = Scenario(Wrong, operations=stops).broken()
    assert [found.answers[each.id].verdict for each in stops] == ["accept", "defer"]


def test_a_set_goes_in_one_moment_and_comes_back_by_one_undrain(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        going = [member.name for member in life.code.members.values()][1:3]
        nodes = [life.code.members[name].seen.node for name in going]
        drain = life.master.drain(*nodes)
        await life.master.until(lambda: all(life.master.state(name) == "held" for name in going))
        assert Racks.asked == ["+".join(going)]
        assert life.master.why(drain).operation.state == "done"
        life.master.undrain(*nodes)
        await life.master.until(lambda: all(life.master.state(name) == "ready" for name in going))
        assert life.master.why(drain).operation.state == "lifted"

    live(Racks, script, cluster={"nodes": 6})


def test_one_of_its_nodes_is_given_back_before_the_other(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        going = [member.name for member in life.code.members.values()][1:3]
        nodes = [life.code.members[name].seen.node for name in going]
        life.master.drain(*nodes)
        await life.master.until(lambda: all(life.master.state(name) == "held" for name in going))
        life.master.undrain(nodes[0])
        await life.master.until(lambda: life.master.state(going[0]) == "ready")
        await asyncio.sleep(60)
        assert life.master.state(going[1]) == "held"
        assert Racks.asked[-1] == f"over on {nodes[0]}"

    live(Racks, script, cluster={"nodes": 6})


def restarts(parent: str, *members: str) -> list[Operation]:
    return [operation("restart", member, parent=parent) for member in members]


def in_zones(count: int) -> dict[str, Seen]:
    """Six members in so many zones."""
    return {
        f"node-{number}": Seen(
            name=f"node-{number}", state="ready", incarnation=1, starts=1, declared_generation=1,
            node=f"node-{number + 1}", zone=f"zone-{number % count}", address=f"127.1.1.{number + 1}",
        )
        for number in range(6)
    }  # fmt: skip


@pytest.mark.parametrize("parent", ["", "op-1"])
def test_restarts_of_one_zone_are_one_question_and_other_zones_come_after(parent: str) -> None:
    asked = restarts(parent, "node-0", "node-1", "node-2", "node-3")
    found = Scenario(Racks, members=in_zones(3), operations=asked).run()
    assert [found.answers[each.id].verdict for each in asked] == ["accept", "defer", "defer", "accept"]
    assert Racks.asked == ["node-0+node-3"]


def test_restarts_of_a_zone_that_are_too_many_go_one_by_one() -> None:
    asked = restarts("op-1", "node-0", "node-2", "node-4")
    found = Scenario(Racks, members=in_zones(2), operations=asked).run()
    assert [found.answers[each.id].verdict for each in asked] == ["accept", "defer", "defer"]
    assert Racks.asked == ["node-0+node-2+node-4", "node-0"]


def test_an_update_restarts_its_first_one_alone_and_then_those_of_a_zone_that_wait_at_once(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_three_zones(count: int) -> list[Node]:
        nodes = enumerate(small_nodes(count))
        return [replace(node, attributes={"zone": f"zone-{number % 3}"}) for number, node in nodes]

    async def script(life: Life) -> None:
        await life.until_deployed()
        Racks.asked.clear()
        life.master.change(size_mib=32)
        await life.master.until(lambda: all(each.incarnation == 2 for each in life.master.members.values()))
        went = [asked for asked in Racks.asked if "+" in asked]
        assert "+" not in Racks.asked[0], "the first one goes alone"
        assert went, Racks.asked

    monkeypatch.setattr(driver, "small_nodes", in_three_zones)
    live(Sized, script, cluster={"nodes": 6})


class SizedOptions(ServiceOptions):
    size_mib: int = 64


class Sized(Racks):
    options: SizedOptions
    package = "sized"

    def task(self, member: Member) -> Declaration:
        data = Volume(name="data", size_mib=64)
        apart = Constraints(apart="node")
        return Declaration(command=("run", str(self.options.size_mib)), volumes=(data,), constraints=apart)
