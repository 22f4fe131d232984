"""Who leaves a ring or a cluster that shrinks, by the racks that are left, and what is refused. Pure."""

from collections import Counter

import pytest

from upcall.catalog import spreading
from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.kafka.service import Kafka
from upcall.protocol import service as wire
from upcall.service import Member, Service
from upcall.service.context import Context
from upcall.service.wanted import checked

PAIRS = ("m1", "m1", "m2", "m2", "m3", "m3")


def members(pod: str, nodes: tuple[str, ...], zones: dict[str, str] | None = None) -> dict[str, wire.Member]:
    return {
        f"{pod}-{number}": wire.Member(
            name=f"{pod}-{number}", state="ready", starts=1, node=node, zone=(zones or {}).get(node, "a")
        )
        for number, node in enumerate(nodes)
    }


def left(service: type[Service], size: str, pod: str, count: int, nodes: tuple[str, ...]) -> list[str]:
    options = {size: count, "per_node": 2}
    made = service(Context(name=service.package, options=options, members=members(pod, nodes)))
    return [name for pod in checked(made) for name in pod.member_names]


@pytest.mark.parametrize(("service", "size", "pod"), [(Cassandra, "nodes", "node"), (Kafka, "brokers", "broker")])
def test_who_is_left_is_on_as_many_machines_as_before(service: type[Service], size: str, pod: str) -> None:
    four = left(service, size, pod, 4, PAIRS)
    assert four == [f"{pod}-{number}" for number in (0, 1, 2, 4)]
    assert {PAIRS[int(name[-1])] for name in four} == {"m1", "m2", "m3"}
    assert left(service, size, pod, 3, PAIRS) == [f"{pod}-{number}" for number in (0, 2, 4)]
    assert left(service, size, pod, 4, ("m1", "m2", "m3", "m1", "m2", "m3")) == [f"{pod}-{one}" for one in range(4)]


def test_the_number_of_a_node_is_its_name_s_also_where_one_before_it_has_left() -> None:
    made = Cassandra(Context(name="cassandra", options={"nodes": 3, "per_node": 2}, members=members("node", PAIRS)))
    assert [(member.name, member.index) for member in made.members.of("node")] == [
        ("node-0", 0),
        ("node-2", 2),
        ("node-4", 4),
    ]


def test_racks_are_machines_where_several_share_one_and_zones_else() -> None:
    zones = {"m1": "a", "m2": "a", "m3": "a", "m4": "b"}
    there = [
        Member(name, "node", index, seen)
        for index, (name, seen) in enumerate(members("node", ("m1", "m2", "m3", "m4", "m4"), zones).items())
    ]
    assert [str(each) for each in spreading.from_the_fullest_rack(there, 1, per_node=2)] == ["node-4"]
    assert [str(each) for each in spreading.from_the_fullest_rack(there, 1, per_node=1)] == ["node-2"]


def test_copies_in_fewer_racks_than_there_are_copies_lie_several_in_one() -> None:
    assert spreading.in_one_rack(3, Counter(a=2, b=2, c=2)) == 1
    assert spreading.in_one_rack(3, Counter(a=2, b=2)) == 2
    assert spreading.in_one_rack(3, Counter(a=6)) == 3


def test_what_would_not_survive_a_rack_any_more_is_refused_with_the_numbers() -> None:
    three, two = Counter(m1=2, m2=2, m3=2), Counter(m1=2, m2=2)
    said = spreading.objection({"fast": 3, "once": 1}, three, two)
    assert said == (
        "4 would be left in 2 racks (m1 2, m2 2), now 6 are in 3 racks (m1 2, m2 2, m3 2): of the copies (3 of fast) "
        "one rack would have 2, and its loss would take a majority. Keep one in each of 3 racks: fewer that leave, or "
        "others"
    )
    assert spreading.objection({"fast": 3}, three, Counter(m1=2, m2=1, m3=1)) == ""
    assert spreading.objection({"fast": 3}, two, Counter(m1=2, m2=1)) == "", "it did not survive it before either"
