"""Who leaves is the service's choice: the numbers that are left need not be the first ones. In virtual time, on both
kinds of cluster, and also when the host and the master die in the middle."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sample_services import Plain

from upcall.protocol import service as wire
from upcall.service import Member, Operation, Pod, from_the_fullest
from upcall.testing import Life

Live = Any


class Elders(Plain):
    """Those that came first leave first. Others are known to be there while it is asked."""

    async def leave(self, member: Member | None, why: Operation) -> None:
        return None

    def who_leaves(self, members: tuple[Member, ...], count: int) -> Iterable[Member]:
        assert [*map(str, self.members.of("web"))] == [*map(str, members)]
        return members[:count]


class Nobody(Plain):
    def who_leaves(self, members: tuple[Member, ...], count: int) -> Iterable[Member]:
        return members[:1]


async def over(life: Life, operation: str, state: str = "done") -> None:
    ends = ("done", "failed", "declined", "withdrawn")
    await life.master.until(lambda: life.master.operations[operation].state in ends, within_s=20_000)
    assert life.master.operations[operation].state == state, life.master.why(operation)


def test_whom_the_service_chooses_leaves_and_the_lowest_free_numbers_come_again(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        assert (await life.master.preview(count=1)).leave == ("web-0", "web-1")
        update = life.master.change(count=1)
        await life.master.until(lambda: "web-1" not in life.master.members)
        await life.kill_host()
        life.master.die()
        life.start_host()
        await over(life, update)
        assert list(life.master.members) == ["web-2"]
        assert life.master.members["web-2"].starts == 1, "who stays is left alone"
        await over(life, life.master.change(count=2))
        assert sorted(life.master.members) == ["web-0", "web-2"]
        await life.kill_host()
        life.start_host()
        await life.master.until_ready()
        assert sorted(life.master.members) == ["web-0", "web-2"]
        await over(life, life.master.change(count=3))
        assert sorted(life.master.members) == ["web-0", "web-1", "web-2"]

    live(Elders, script)


def test_a_way_back_in_the_middle_brings_those_that_left(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        life.master.change(count=1)
        await life.master.until(lambda: "web-1" not in life.master.members)
        await over(life, life.master.rollback())
        assert sorted(life.master.members) == ["web-0", "web-1", "web-2"]
        assert life.master.members["web-2"].starts == 1

    live(Elders, script)


def test_too_few_that_leave_are_an_error_of_the_code_before_anything_begins(live: Live) -> None:
    async def script(life: Life) -> None:
        await life.until_deployed()
        update = life.master.change(count=1)
        await over(life, update, "declined")
        said = life.master.why(update).account()
        assert "who_leaves" in said
        assert "returned web-0" in said
        assert sorted(life.master.members) == ["web-0", "web-1", "web-2"]

    live(Nobody, script)


def at(number: int, zone: str, node: str) -> Member:
    return Member(f"web-{number}", "web", number, wire.Member(name=f"web-{number}", zone=zone, node=node))


def test_without_a_word_the_fullest_zone_and_in_it_the_fullest_node_gives() -> None:
    there = [at(0, "a", "m1"), at(1, "a", "m1"), at(2, "a", "m2"), at(3, "b", "m3"), at(4, "b", "m4")]
    assert [str(each) for each in from_the_fullest(there, 3)] == ["web-1", "web-4", "web-2"]
    left = [each for each in there if each not in from_the_fullest(there, 3)]
    assert Counter(each.zone for each in left) == Counter(a=1, b=1)


def test_a_pod_says_its_members_by_their_numbers() -> None:
    assert Pod("web", count=2, numbers=(1, 4)).member_names == ("web-1", "web-4")
