"""Reservations, volumes and addresses over their whole life."""

import pytest
from kernel_plans import amount, cluster, need, node, placed, registered, replace_member, reserve, reserve_all

from upcall.kernel.addresses import FIRST, LAST, Addresses
from upcall.kernel.events import (
    CallOff,
    Cordon,
    DeleteVolumes,
    DropVolumes,
    Effect,
    Forget,
    Gone,
    Heard,
    NodeChanged,
    Promised,
    Refused,
    Register,
    Release,
    Reserve,
    Reserved,
    SetAside,
    Tick,
    Write,
)
from upcall.kernel.kernel import Kernel
from upcall.kernel.records import LEFT
from upcall.kernel.resources import Resources
from upcall.kernel.volumes import DELETING_MAX


def test_a_replaced_member_leaves_its_volumes_and_gets_another_node_and_address() -> None:
    kernel = cluster(node("n1"), node("n2"))
    assert reserve(kernel, m=need(100, 50)) == {"m": "n1"}
    effects = replace_member(kernel, "m", 2)
    assert placed(effects) == {"m": "n2"}
    (aside,) = [effect.volumes for effect in effects if isinstance(effect, SetAside)]
    assert (aside.node, aside.fence, aside.reason) == ("n1", 1, "s.m was placed anew on n2")
    new = kernel.reservation("s.m")
    assert new is not None
    assert (new.address, new.fence, new.place) == ("127.40.8.11", 2, 2)
    assert kernel.books.accounts.held("n1") == Resources({"disk_mib": 50_000}), "its volumes are still there"
    assert placed(replace_member(kernel, "m", 2)) == {"m": "n2"}, "the same place number again changes nothing"
    kernel.books.accounts.check()


def test_where_only_its_own_node_will_do_a_higher_place_is_the_one_that_it_has() -> None:
    kernel = cluster(node("n1"), node("n2", 50))
    reserve(kernel, m=need(100, 50))
    assert placed(replace_member(kernel, "m", 2)) == {"m": "n1"}
    new = kernel.reservation("s.m")
    assert new is not None
    assert (new.place, new.fence) == (2, 1), "its volumes are not set aside for empty ones beside them"


def test_a_next_place_is_held_before_the_present_one_is_given_up() -> None:
    kernel = cluster(node("n1"), node("n2"))
    reserve(kernel, m=need(100, 50, apart="m"))
    old = kernel.reservation("s.m")
    effects = hold(kernel, "m", 2)
    assert [e for e in effects if isinstance(e, Promised)] == [Promised("s.m", "n2", 2)]
    assert kernel.reservation("s.m") == old
    assert kernel.books.accounts.held("n2") == Resources({"cpus": 100, "memory_mib": 100_000, "disk_mib": 50_000})
    assert [e for e in hold(kernel, "m", 2) if isinstance(e, Write)] == [], "the same again changes nothing"
    effects = replace_member(kernel, "m", 2, apart="m")
    assert placed(effects) == {"m": "n2"}
    assert [e.volumes.fence for e in effects if isinstance(e, SetAside)] == [1]
    assert kernel.coming("s.m") is None
    kernel.books.accounts.check()


@pytest.mark.parametrize("beside", [True, False])
def test_a_place_after_one_that_was_held_never_has_its_fence(beside: bool) -> None:
    """What was held may have been used: its volumes are never taken for those of the next one."""
    kernel = cluster(node("n1"), node("n2"), node("n3"))
    reserve(kernel, m=need(100, 50))
    hold(kernel, "m", 2)
    second = kernel.coming("s.m")
    kernel.handle(Reserve("s", {"m": need(100, 50, apart="m")}, {"m": 3}, beside=beside), 1.0)
    third = kernel.coming("s.m") if beside else kernel.reservation("s.m")
    assert second is not None
    assert third is not None
    assert (third.place, second.fence, third.fence) == (3, 2, 3)
    kernel.books.accounts.check()


def test_a_next_place_that_is_called_off_leaves_nothing_behind() -> None:
    kernel = cluster(node("n1"), node("n2"))
    reserve(kernel, m=need(100, 50))
    before = kernel.books.accounts.free("n2")
    hold(kernel, "m", 2)
    kernel.handle(CallOff("s.m"), 1.0)
    assert kernel.books.accounts.free("n2") == before
    assert kernel.reservation("s.m").place == 1  # type: ignore[union-attr]


def test_a_next_place_may_be_beside_on_the_same_node_with_volumes_of_its_own() -> None:
    kernel = cluster(node("n1", 150))
    reserve(kernel, m=need(100, 50, apart="m"))
    assert [e.node for e in hold(kernel, "m", 2) if isinstance(e, Promised)] == ["n1"]
    replace_member(kernel, "m", 2, apart="m")
    assert kernel.reservation("s.m").fence == 2  # type: ignore[union-attr]


def test_what_is_left_says_whether_its_member_went_or_was_started_anew_at_its_place() -> None:
    kernel = cluster(node("n1", 150))
    reserve(kernel, m=need(100, 50, apart="m"))
    hold(kernel, "m", 2)
    (left,) = [e.volumes for e in replace_member(kernel, "m", 2, apart="m") if isinstance(e, SetAside)]
    assert (left.node, left.reason) == ("n1", "s.m was started anew here, with empty volumes")
    effects = kernel.handle(Reserve("s", {"m": need(100, 50, apart="m")}, {"m": 3}, takes={"m": 1}), 1.0)
    assert [e.volumes.reason for e in effects if isinstance(e, SetAside)] == ["s.m took earlier volumes back"]


def test_volumes_that_were_set_aside_are_taken_back_at_a_new_place() -> None:
    kernel = cluster(node("n1"), node("n2"))
    reserve(kernel, m=need(100, 50))
    replace_member(kernel, "m", 2)
    effects = kernel.handle(Reserve("s", {"m": need(100, 50)}, {"m": 3}, takes={"m": 1}), 1.0)
    assert placed(effects) == {"m": "n1"}
    back = kernel.reservation("s.m")
    assert back is not None
    assert (back.node, back.fence, back.place) == ("n1", 1, 3)
    assert [(e.volumes.node, e.volumes.fence) for e in effects if isinstance(e, SetAside)] == [("n2", 2)]
    kernel.books.accounts.check()


def test_volumes_that_are_kept_are_not_those_of_a_higher_place() -> None:
    kernel = cluster(node("n1"))
    reserve(kernel, m=need(100, 50))
    kernel.handle(Release("s.m", 60.0), 1.0)
    effects = replace_member(kernel, "m", 2)
    assert kernel.reservation("s.m").fence == 2  # type: ignore[union-attr]
    assert [e.volumes.reason for e in effects if isinstance(e, SetAside)] == [
        "s.m was declared anew, with fresh volumes"
    ]


def hold(kernel: Kernel, member: str, place: int) -> list[Effect]:
    wanted = {member: need(100, 50, apart="m")}
    return kernel.handle(Reserve("s", wanted, {member: place}, beside=True), 1.0)


def test_a_replacement_that_does_not_fit_keeps_the_old_place() -> None:
    kernel = cluster(node("n1", disk_mib=60))
    reserve(kernel, m=need(100, 50))
    before = kernel.reservation("s.m")
    reason = placed(replace_member(kernel, "m", 2))
    assert "n1 has 10 MiB disk free" in str(reason), "the old volumes are not thrown away for it"
    assert kernel.reservation("s.m") == before


def test_members_that_swap_room_are_moved_together() -> None:
    """Each node has room for one: only when both are given up at once can they change places."""
    kernel = cluster(node("n1", 100), node("n2", 100))
    first = reserve(kernel, a=need(100), b=need(100))
    again = placed(kernel.handle(Reserve("s", {"a": need(100), "b": need(100)}, {"a": 2, "b": 2}), 1.0))
    assert first == {"a": "n1", "b": "n2"}
    assert again == {"a": "n2", "b": "n1"}


def test_a_member_is_resized_where_it_is_or_not_at_all() -> None:
    kernel = cluster(node("n1", 1000), node("n2", 5000))
    reserve(kernel, m=need(900, 50))
    old = kernel.reservation("s.m")
    assert old is not None
    assert reserve(kernel, m=need(1000, 80)) == {"m": "n1"}
    new = kernel.reservation("s.m")
    assert new is not None
    assert (new.address, new.fence, new.node) == (old.address, old.fence, "n1")
    assert kernel.books.accounts.free("n1").scalar("memory_mib") == 0
    reason = reserve(kernel, m=need(1001, 80))
    assert (
        reason
        == "needs a node with 1001 MiB memory free for m: n1 has 1000 MiB memory free; would fit: 1000 MiB memory"
    )
    assert kernel.reservation("s.m") == new


def test_a_volume_is_never_lost_by_a_declaration_that_leaves_it_out() -> None:
    kernel = cluster(node("n1"))
    reserve(kernel, m=need(100, 50))
    reserve(kernel, m=need(100))
    assert kernel.reservation("s.m").need.volumes_amount.scalar("disk_mib") == 50_000  # type: ignore[union-attr]


def test_kept_volumes_bring_their_member_back_to_their_node() -> None:
    kernel = cluster(node("n1", 1000), node("n2", 500))
    assert reserve(kernel, m=need(600, 50)) == {"m": "n1"}
    kernel.handle(Release("s.m", 60.0), 1.0)
    assert reserve(kernel, m=need(100, 50)) == {"m": "n1"}, "n2 would be the better fit"
    assert kernel.reservation("s.m").fence == 1  # type: ignore[union-attr]
    kernel.handle(Release("s.m", 60.0), 1.0)
    reserve(kernel, "t", other=need(950))
    assert "n1 has 50 MiB memory free" in str(reserve(kernel, m=need(100, 50)))
    effects = kernel.handle(Tick(), 62.0)
    assert [e for e in effects if isinstance(e, DeleteVolumes)] == [DeleteVolumes("n1", "s.m", 1)]
    assert reserve(kernel, now_s=63.0, m=need(100, 50)) == {"m": "n2"}
    assert kernel.reservation("s.m").fence == 2, "n1 may still have the old ones"  # type: ignore[union-attr]


def test_a_grace_counts_from_the_last_release() -> None:
    kernel = cluster(node("n1"), liveness_s=1000.0)
    reserve(kernel, m=need(100, 50))
    kernel.handle(Release("s.m", 60.0), 0.0)
    reserve(kernel, now_s=30.0, m=need(100, 50))
    kernel.handle(Tick(), 55.0)
    kernel.handle(Release("s.m", 60.0), 55.0)
    assert not kernel.handle(Tick(), 60.0), "the first grace was over when the member came back"
    assert kernel.deadline() == 115.0
    assert DeleteVolumes("n1", "s.m", 1) in kernel.handle(Tick(), 115.0)
    assert kernel.books.left.deadline() is None


def test_kept_volumes_on_a_node_that_is_gone_do_not_hold_their_member_back() -> None:
    kernel = cluster(node("n1"), node("n2"))
    reserve(kernel, m=need(100, 50))
    kernel.handle(Release("s.m", 60.0), 1.0)
    kernel.handle(Gone("n1", "lost"), 1.0)
    assert reserve(kernel, m=need(100, 50)) == {"m": "n2"}


def test_release_without_grace_deletes_all_that_the_member_left_anywhere() -> None:
    kernel = cluster(node("n1"), node("n2"))
    reserve(kernel, m=need(100, 50))
    replace_member(kernel, "m", 2)
    effects = kernel.handle(Release("s.m"), 1.0)
    deleted = [effect for effect in effects if isinstance(effect, DeleteVolumes)]
    assert sorted(deleted, key=lambda d: d.fence) == [DeleteVolumes("n1", "s.m", 1), DeleteVolumes("n2", "s.m", 2)]
    assert not kernel.books.accounts.held("n1").scalars
    assert not kernel.books.accounts.held("n2").scalars


def test_release_and_reserve_are_a_round_trip() -> None:
    kernel = cluster(node("n1"), node("n2"))
    free = {name: kernel.books.accounts.free(name) for name in ("n1", "n2")}
    for _ in range(300):
        assert isinstance(reserve(kernel, a=need(100, 5, apart="x"), b=need(100, 5, apart="x")), dict)
        kernel.handle(Release("s.a"), 1.0)
        kernel.handle(Release("s.b"), 1.0)
        for name in ("n1", "n2"):
            kernel.handle(registered(node(name)), 1.0)
    assert free == {name: kernel.books.accounts.free(name) for name in ("n1", "n2")}
    assert not kernel.books.left.of_member("s.a")
    assert kernel.books.addresses.room() == LAST - FIRST + 1


def test_deletions_that_are_never_confirmed_are_bounded() -> None:
    kernel = cluster(node("n1", disk_mib=10**9))
    for number in range(DELETING_MAX + 5):
        reserve_all(kernel, {f"m{number}": need(1, 1)})
        kernel.handle(Release(f"s.m{number}"), 1.0)
    assert len(kernel.books.left.on_node("n1")) == DELETING_MAX
    assert not kernel.books.left.of_member("s.m0")


def test_volumes_found_on_a_node_are_set_aside_and_dropped_by_a_person() -> None:
    kernel = cluster(node("n1"))
    effects = kernel.handle(registered(node("n1"), ("x.m", "data", 4), ("x.m", "log", 4)), 1.0)
    (aside,) = [effect.volumes for effect in effects if isinstance(effect, SetAside)]
    assert (aside.fence, [volume.name for volume in aside.volumes]) == (4, ["data", "log"])
    again = kernel.handle(registered(node("n1"), ("x.m", "data", 4), ("x.m", "log", 4)), 1.0)
    assert not [effect for effect in again if isinstance(effect, SetAside | Write)], "known already"
    assert reserve(kernel, "x", m=need(1, 1)) == {"m": "n1"}
    assert kernel.reservation("x.m").fence == 5, "never the number of what somebody else left"  # type: ignore[union-attr]
    effects = kernel.handle(DropVolumes("x.m", 4), 1.0)
    assert DeleteVolumes("n1", "x.m", 4) in effects
    assert DeleteVolumes("n1", "x.m", 4) in kernel.handle(registered(node("n1"), ("x.m", "data", 4)), 1.0), "repeated"
    kernel.handle(registered(node("n1")), 1.0)
    assert not kernel.books.left.of_member("x.m")


def test_dropping_what_was_set_aside_never_takes_what_is_in_use_along() -> None:
    kernel = cluster(node("n1"))
    reserve(kernel, "x", m=need(1, 1))
    kernel.handle(registered(node("n1"), ("x.m", "data", 1), ("x.m", "data", 7)), 1.0)
    assert [left.fence for left in kernel.books.left.of_member("x.m")] == [7]
    effects = kernel.handle(DropVolumes("x.m", 7), 1.0)
    assert [effect for effect in effects if isinstance(effect, DeleteVolumes)] == [DeleteVolumes("n1", "x.m", 7)]
    assert kernel.handle(DropVolumes("x.m", 1), 1.0) == [], "it is in use"
    effects = kernel.handle(Release("x.m"), 1.0)
    assert {effect.fence for effect in effects if isinstance(effect, DeleteVolumes)} == {1}


def test_a_drop_names_the_node_where_two_have_a_set_of_the_same_number() -> None:
    kernel = cluster(node("n1"), node("n2"))
    for name in ("n1", "n2"):
        kernel.handle(registered(node(name), ("x.m", "data", 2)), 1.0)
    effects = kernel.handle(DropVolumes("x.m", 2, "n2"), 1.0)
    assert [effect for effect in effects if isinstance(effect, DeleteVolumes)] == [DeleteVolumes("n2", "x.m", 2)]
    assert [(left.node, left.state) for left in kernel.books.left.of_member("x.m")] == [
        ("n1", "aside"),
        ("n2", "deleting"),
    ]


def test_volumes_that_a_node_has_lost_are_forgotten() -> None:
    kernel = cluster(node("n1"), node("n2"))
    reserve(kernel, m=need(100, 50))
    kernel.handle(Release("s.m", 600.0), 1.0)
    kernel.handle(registered(node("n1")), 1.0)
    assert not kernel.books.left.of_member("s.m")
    assert not kernel.books.accounts.held("n1").scalars


def test_addresses_come_back_as_late_as_possible_and_run_out_clearly() -> None:
    addresses = Addresses("127.1.2")
    first = addresses.take("a")
    addresses.free(first)
    assert addresses.take("b") != first
    kernel = cluster(Register("n1", amount(10**6, 1000.0), {}))
    room = LAST - FIRST + 1
    assert isinstance(reserve_all(kernel, {f"m{n}": need(1) for n in range(room - 1)}), dict)
    assert reserve(kernel, x=need(1), y=need(1)) == "needs 2 addresses in 127.40.8.0/24: 1 are free; would fit: 1"
    assert isinstance(reserve(kernel, x=need(1)), dict)
    used = {reservation.address for reservation in kernel.books.reservations.values()}
    assert len(used) == room


def test_who_takes_its_volumes_back_has_its_address_again_which_nobody_else_had_meanwhile() -> None:
    """What is written in them names it: the voters of a quorum look for each other where they were."""
    kernel = cluster(Register("n1", amount(10**6, 1000.0, 10**6), {}))
    reserve(kernel, m=need(1, 50))
    was = kernel.reservation("s.m").address  # type: ignore[union-attr]
    kernel.handle(Release("s.m", 600.0), 1.0)
    room = LAST - FIRST + 1
    assert isinstance(reserve_all(kernel, {f"other{n}": need(1) for n in range(room - 1)}), dict)
    assert was not in {reservation.address for reservation in kernel.books.reservations.values()}
    assert reserve(kernel, m=need(1, 50)) == {"m": "n1"}
    assert kernel.reservation("s.m").address == was  # type: ignore[union-attr]
    kernel.handle(Release("s.m", 600.0), 2.0)
    assert isinstance(reserve(kernel, last=need(1)), dict), "there is no other one left"


@pytest.mark.parametrize("network", ["127.1", "127.1.2.3", "127.1.x", "127.1.300", ""])
def test_a_network_that_is_none_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match=r"like 127\.23\.45"):
        Kernel(network)


def test_a_node_that_comes_back_smaller_keeps_what_it_has_and_gets_no_more() -> None:
    kernel = cluster(node("n1", 4000))
    reserve(kernel, m=need(3000, 50))
    kernel.handle(node("n1", 1000), 1.0)
    assert kernel.books.accounts.free("n1").scalar("memory_mib") == -2000_000
    assert reserve(kernel, n=need(1)) == "needs a node with 1 MiB memory free for n: n1 has no memory free"
    assert reserve(kernel, m=need(3000, 50)) == {"m": "n1"}, "what it has, it has"
    reserve(kernel, m=need(3000, 50, apart="x"))
    kernel.handle(Release("s.m", 60.0), 1.0)
    kernel.books.accounts.check()


def test_a_node_that_moves_to_another_zone_is_counted_there() -> None:
    kernel = cluster(node("n1", zone="a"), node("n2", zone="b"))
    assert reserve(kernel, x=need(1, spread="zone")) == {"x": "n1"}
    kernel.handle(node("n1", zone="b"), 1.0)
    kernel.handle(node("n2", zone="a"), 1.0)
    assert reserve(kernel, y=need(1, spread="zone")) == {"y": "n2"}


def test_nothing_is_placed_on_silent_gone_and_cordoned_nodes() -> None:
    kernel = cluster(node("n1"), node("n2"), node("n3"), node("n4"))
    kernel.handle(Gone("n1", "burnt"), 1.0)
    kernel.handle(Cordon(frozenset({"n2"})), 1.0)
    for now_s in (7.0, 14.0):
        kernel.handle(Heard("n4"), now_s)
    effects = kernel.handle(Tick(), 15.0)
    assert [(e.node, e.state) for e in effects if isinstance(e, NodeChanged)] == [("n2", "silent"), ("n3", "silent")]
    assert reserve_all(kernel, {f"m{n}": need(1, apart="m") for n in range(2)}) == (
        "needs 2 nodes with 0.1 cpus, 1 MiB memory free for m0, m1 (each on another node): n4 would do, n1 is gone, "
        "n2 is kept free for its maintenance, n3 is silent; would fit: 1 of 2"
    )
    kernel.handle(node("n2"), 16.0)
    assert isinstance(reserve_all(kernel, {f"m{n}": need(1, apart="m") for n in range(2)}), str), "still cordoned"
    kernel.handle(Cordon(frozenset()), 16.0)
    assert isinstance(reserve_all(kernel, {f"m{n}": need(1, apart="m") for n in range(2)}), dict)


def test_a_node_is_forgotten_only_when_gone_and_empty() -> None:
    kernel = cluster(node("n1"), node("n2"))
    reserve(kernel, m=need(1, 1))
    assert kernel.handle(Forget("n1"), 1.0) == []
    kernel.handle(Gone("n1", "lost"), 1.0)
    assert kernel.handle(Forget("n1"), 1.0) == [], "s.m is still reserved there"
    replace_member(kernel, "m", 2)
    assert Write("node", "n1", None) in kernel.handle(Forget("n1"), 1.0)
    assert not kernel.books.left.on_node("n1")
    kernel.books.accounts.check()


def test_a_refusal_is_not_a_reservation() -> None:
    kernel = cluster(node("n1", 100))
    effects = kernel.handle(Reserve("s", {"a": need(101)}), 1.0)
    assert [type(effect) for effect in effects] == [Refused]
    assert not [effect for effect in effects if isinstance(effect, Reserved)]
    assert LEFT not in {effect.kind for effect in effects if isinstance(effect, Write)}
