"""Members that have names, and a ring that says IP addresses: a node is taken for the member that it is, so that its
copies count."""

from typing import Any

import pytest

from upcall.catalog.cassandra import ring as module
from upcall.catalog.cassandra.known import AGAIN_S, Known, resolved
from upcall.catalog.cassandra.ranges import at_risk
from upcall.catalog.cassandra.ring import Ring

NAMES = ("node-0.store.data.svc", "node-1.store.data.svc", "node-2.store.data.svc")


class Names:
    """A name server."""

    def __init__(self) -> None:
        self.known = {name: {f"10.0.0.{number}"} for number, name in enumerate(NAMES)}
        self.asked = 0
        self.now_s = 0.0

    def resolve(self, name: str) -> set[str]:
        self.asked += 1
        return self.known.get(name, set())

    def clock(self) -> float:
        return self.now_s


def test_an_address_is_the_members_whose_name_stands_for_it() -> None:
    names = Names()
    known = Known(NAMES, names.resolve, names.clock)
    assert [known.member(f"10.0.0.{number}") for number in range(3)] == list(NAMES)
    assert names.asked == 3, "and nobody is asked twice about what is known"


def test_after_a_restart_another_address_stands_behind_a_name() -> None:
    names = Names()
    known = Known(NAMES, names.resolve, names.clock)
    assert known.member("10.0.0.1") == NAMES[1]
    names.known[NAMES[1]] = {"10.0.0.9"}
    names.now_s += AGAIN_S
    assert known.member("10.0.0.9") == NAMES[1]
    assert known.member("10.0.0.1") == "10.0.0.1", "nobody's now"


def test_who_asks_for_a_stranger_asks_the_names_once_a_second() -> None:
    names = Names()
    known = Known(NAMES, names.resolve, names.clock)
    for _ in range(100):
        known.member("10.7.7.7")
    assert names.asked == 3


def test_members_that_have_addresses_are_who_they_are() -> None:
    def never(name: str) -> set[str]:
        raise AssertionError(name)

    known = Known(("127.1.2.3", "127.1.2.4"), never)
    assert known.member("127.1.2.3") == "127.1.2.3"
    assert known.member("127.9.9.9") == "127.9.9.9"


def test_a_name_that_nobody_has_stands_for_nothing() -> None:
    assert resolved("no-such-name.invalid") == set()
    assert "127.0.0.1" in resolved("localhost")


class Host:
    def __init__(self, address: str, is_up: bool = True) -> None:
        self.address, self.is_up = address, is_up


class Metadata:
    """What the driver keeps of a ring of three, with three copies."""

    keyspaces = ("shop",)

    def __init__(self, hosts: list[Host]) -> None:
        self.hosts = hosts
        self.token_map = self
        self.ring = (1, 2)

    def get_replicas(self, keyspace: str, token: int) -> list[Host]:
        return self.hosts

    def all_hosts(self) -> list[Host]:
        return self.hosts


class Session:
    def execute(self, query: str, host: Host | None = None) -> list[dict[str, Any]]:
        return [{"address": one, "status": "NORMAL" if one != "10.0.0.2" else "LEAVING,1"} for one in self.addresses]

    addresses = ("10.0.0.0", "10.0.0.1", "10.0.0.2")


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring:
    class Cluster:
        def __init__(self, *_: object, **__: object) -> None:
            self.metadata = Metadata([Host(f"10.0.0.{number}") for number in range(3)])

        def connect(self) -> Session:
            return Session()

    monkeypatch.setattr(module, "Cluster", Cluster)
    names = Names()
    return Ring(NAMES[:2], 9042, known=Known(NAMES, names.resolve, names.clock))


def test_a_second_node_of_three_may_not_go_where_members_have_names(ring: Ring) -> None:
    """With addresses in the ranges and names among those that are up, a stop would cost nothing."""
    assert dict(at_risk(ring.ranges(), set(NAMES[1:]), {NAMES[1]}).for_now) == {"shop": 2}
    assert dict(at_risk(ring.ranges(), set(NAMES), {NAMES[1]}).for_now) == {}
    assert ring.owns(NAMES[2])


def test_what_nodes_say_of_each_other_is_of_members_too(ring: Ring) -> None:
    assert ring.words_of(NAMES[2]) == {"LEAVING"}
    assert ring.words_of(NAMES[0]) == {"NORMAL"}
    assert "status" in ring._at(NAMES[1], "of one")[0]
