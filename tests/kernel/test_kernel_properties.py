"""Any sequence of inputs, with restarts and crashes between any two records: the invariants hold."""

import copy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from kernel_plans import amount, apply, load

from upcall.kernel.events import (
    CallOff,
    Cordon,
    DeleteVolumes,
    DropVolumes,
    Effect,
    Forget,
    Gone,
    Heard,
    Input,
    Promised,
    Refused,
    Register,
    Release,
    Reserve,
    Reserved,
    Tick,
    Write,
)
from upcall.kernel.kernel import Kernel
from upcall.kernel.placement import Occupancy
from upcall.kernel.records import Need, Volume

NODES = ("n1", "n2", "n3", "n4")
MEMBERS = tuple(f"m{n}" for n in range(6))
SERVICES = ("s", "t")
MEMBER_IDS = tuple(f"{service}.{member}" for service in SERVICES for member in MEMBERS)


def apart_of(member: str) -> str:
    """A member's word is for life: a new wish about where to be applies from the next place on."""
    return "x" if int(member[1:]) % 2 else ""


needs = st.builds(
    lambda memory, volume, zone: (memory, volume, zone),
    st.integers(1, 6),
    st.sampled_from([0, 0, 10, 20]),
    st.sampled_from(["", "zone"]),
)


def need_for(member: str, drawn: tuple[int, int, str]) -> Need:
    memory, volume, zone = drawn
    volumes = (Volume("data", volume),) if volume else ()
    return Need(amount(memory * 100, 0.5), volumes, apart=apart_of(member), spread=zone)


class KernelMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.now_s = 0.0
        self.records: dict[tuple[str, str], Any] = {}
        self.kernel: Kernel = load(self.records)
        self.cordoned: frozenset[str] = frozenset()
        self.shrunk: set[str] = set()

    def give(self, given: Input) -> list[Effect]:
        owned = self._owned()
        effects = self.kernel.handle(given, self.now_s)
        apply(self.records, effects)
        for effect in effects:
            if isinstance(effect, DeleteVolumes):
                still = owned & self._owned()
                assert not [v for v in still if v == (effect.node, effect.member_id, effect.fence)]
        return effects

    def _owned(self) -> set[tuple[str, str, int]]:
        """Volumes that somebody has a claim on: (node, member id, fence)."""
        books = self.kernel.books
        kept = [left for m in MEMBER_IDS for left in books.left.of_member(m) if left.state == "kept"]
        reserved = {(r.node, r.member_id, r.fence) for r in books.reservations.values()}
        return reserved | {(left.node, left.member_id, left.fence) for left in kept}

    # -- inputs -----------------------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(NODES),
        memory=st.integers(1, 12),
        zone=st.sampled_from("ab"),
        volumes=st.lists(st.tuples(st.sampled_from(MEMBER_IDS), st.integers(1, 4)), max_size=2),
        keeps=st.booleans(),
    )
    def register(self, name: str, memory: int, zone: str, volumes: list[tuple[str, int]], keeps: bool) -> None:
        """``keeps``: the node has what is on record for it, besides what nobody expects."""
        if keeps:
            volumes = volumes + [(left.member_id, left.fence) for left in self.kernel.books.left.on_node(name)]
        listed = tuple((member_id, "data", fence) for member_id, fence in volumes)
        self.give(Register(name, amount(memory * 100, 8.0, 100), {"zone": zone}, listed))

    @rule(seconds=st.sampled_from([0.5, 8.0, 16.0, 40.0]))
    def tick(self, seconds: float) -> None:
        self.now_s += seconds
        self.give(Tick())

    @rule(name=st.sampled_from(NODES))
    def hear(self, name: str) -> None:
        self.give(Heard(name))

    @rule(name=st.sampled_from(NODES))
    def gone(self, name: str) -> None:
        self.give(Gone(name, "lost"))

    @rule(name=st.sampled_from(NODES))
    def forget(self, name: str) -> None:
        self.give(Forget(name))

    @rule(names=st.sets(st.sampled_from(NODES), max_size=2))
    def cordon(self, names: set[str]) -> None:
        self.cordoned = frozenset(names)
        self.give(Cordon(self.cordoned))

    @rule(
        service=st.sampled_from(SERVICES),
        plan=st.dictionaries(st.sampled_from(MEMBERS), needs, min_size=1, max_size=4),
        places=st.dictionaries(st.sampled_from(MEMBERS), st.integers(1, 4), max_size=2),
    )
    def reserve(self, service: str, plan: dict[str, tuple[int, int, str]], places: dict[str, int]) -> None:
        before, records = _state(self.kernel), dict(self.records)
        given = Reserve(service, {member: need_for(member, drawn) for member, drawn in plan.items()}, places)
        effects = self.give(given)
        refused = [effect for effect in effects if isinstance(effect, Refused)]
        reserved = {effect.member_id for effect in effects if isinstance(effect, Reserved)}
        if refused:
            assert refused[0].reason
            assert not reserved
            assert _state(self.kernel) == before, "nothing half-done"
            assert self.records == records
        else:
            assert reserved == {f"{service}.{member}" for member in plan}, "the whole plan"
        again = self.give(given)
        assert not [effect for effect in again if isinstance(effect, Write)], "the same again changes nothing"

    @rule(service=st.sampled_from(SERVICES), member=st.sampled_from(MEMBERS), drawn=needs, place=st.integers(2, 5))
    def hold_a_next_place(self, service: str, member: str, drawn: tuple[int, int, str], place: int) -> None:
        before = self.kernel.reservation(f"{service}.{member}")
        effects = self.give(Reserve(service, {member: need_for(member, drawn)}, {member: place}, beside=True))
        promised = [effect for effect in effects if isinstance(effect, Promised)]
        if promised:
            assert self.kernel.reservation(f"{service}.{member}") == before, "nothing is given up for it"
            assert self.kernel.coming(f"{service}.{member}").place == place  # type: ignore[union-attr]

    @rule(member_id=st.sampled_from(MEMBER_IDS))
    def call_off(self, member_id: str) -> None:
        self.give(CallOff(member_id))
        assert self.kernel.coming(member_id) is None

    @rule(service=st.sampled_from(SERVICES), drawn=needs, place=st.integers(2, 5), kept=st.integers(0, 2))
    def crash_in_a_hold(self, service: str, drawn: tuple[int, int, str], place: int, kept: int) -> None:
        self._crash(Reserve(service, {"m0": need_for("m0", drawn)}, {"m0": place}, beside=True), kept)

    @rule(member_id=st.sampled_from(MEMBER_IDS), keep_s=st.sampled_from([0.0, 30.0]))
    def release(self, member_id: str, keep_s: float) -> None:
        self.give(Release(member_id, keep_s))
        assert self.kernel.reservation(member_id) is None

    @rule(member_id=st.sampled_from(MEMBER_IDS), fence=st.integers(1, 4))
    def drop(self, member_id: str, fence: int) -> None:
        self.give(DropVolumes(member_id, fence))

    # -- restarts ---------------------------------------------------------------------------------------------------

    @rule()
    def restart(self) -> None:
        before = _durable(self.kernel)
        self.kernel = load(self.records)
        assert _durable(self.kernel) == before, "the records say it all"
        self._begin()

    @rule(member_id=st.sampled_from(MEMBER_IDS), kept=st.integers(0, 3), keep_s=st.sampled_from([0.0, 30.0]))
    def crash_in_a_release(self, member_id: str, kept: int, keep_s: float) -> None:
        self._crash(Release(member_id, keep_s), kept)

    @rule(service=st.sampled_from(SERVICES), drawn=needs, place=st.integers(1, 5), kept=st.integers(0, 4))
    def crash_in_a_reservation(self, service: str, drawn: tuple[int, int, str], place: int, kept: int) -> None:
        needs = {member: need_for(member, drawn) for member in MEMBERS[:3]}
        self._crash(Reserve(service, needs, dict.fromkeys(needs, place)), kept)

    def _crash(self, given: Input, kept: int) -> None:
        """Only the first ``kept`` records of what ``given`` causes are written."""
        apply(self.records, self.kernel.handle(given, self.now_s), kept)
        self.kernel = load(self.records)
        self._begin()

    def _begin(self) -> None:
        self.give(Cordon(self.cordoned))

    # -- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def sums_are_exact(self) -> None:
        self.kernel.books.accounts.check()

    @invariant()
    def no_address_twice(self) -> None:
        books = self.kernel.books
        reservations = [*books.reservations.values(), *books.coming.values()]
        addresses = [reservation.address for reservation in reservations]
        assert len(set(addresses)) == len(addresses)
        assert self.kernel.books.addresses._taken == {r.address: r.member_id for r in reservations}

    @invariant()
    def apart_is_apart(self) -> None:
        """Of a member's present and next place on one node, one is used at a time."""
        taken: dict[tuple[str, str, str], str] = {}
        books = self.kernel.books
        for reservation in (*books.reservations.values(), *books.coming.values()):
            if reservation.need.apart:
                where = (reservation.service, reservation.need.apart, reservation.node)
                assert taken.setdefault(where, reservation.member_id) == reservation.member_id, where

    @invariant()
    def no_volume_has_two_owners(self) -> None:
        owned = {(r.node, r.member_id, r.fence) for r in self.kernel.books.reservations.values()}
        left = {(v.node, v.member_id, v.fence) for name in NODES for v in self.kernel.books.left.on_node(name)}
        assert not owned & left

    @invariant()
    def indexes_are_what_a_recount_gives(self) -> None:
        books = self.kernel.books
        for service in SERVICES:
            recount = Occupancy()
            every = (*books.reservations.values(), *books.coming.values())
            for reservation in (r for r in every if r.service == service):
                attributes = books.records[reservation.node].attributes
                recount.add(reservation.need, reservation.node, attributes)
            counted = books.occupied(service)
            assert recount == counted
        usable = {name for name in books.records if books.nodes.usable(name)} - self.cordoned
        assert {view.name: view.free for view in books.pool} == {name: books.free(name) for name in usable}

    @invariant()
    def records_are_what_is_in_memory(self) -> None:
        assert _durable(load(self.records)) == _durable(self.kernel)


def _durable(kernel: Kernel) -> object:
    """All that must survive a restart."""
    books = kernel.books
    return (
        books.records,
        books.reservations,
        books.coming,
        {name: sorted(books.left.on_node(name), key=lambda left: left.key) for name in books.records},
        {name: (books.accounts.held(name), books.accounts.free(name)) for name in books.records},
        books.addresses.cursor,
        books.addresses._taken,
    )


def _state(kernel: Kernel) -> object:
    books = kernel.books
    return copy.deepcopy((_durable(kernel), list(books.pool), [books.occupied(service) for service in SERVICES]))


class TestKernel(KernelMachine.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
