"""What a turn finds: the two cores side by side, what was seen of the nodes, the clocks, and who is told.

The ledger (in the state) and the substrate know nothing of each other and have no I/O, clock or threads of their own:
here they stand together, with a clock beside them. Everything here is read at any time and changed in turns alone
(:mod:`~upcall.master.transaction`), which :mod:`~upcall.master.driver` runs one after the other.

All of it is made from records and from what agents say again: after a failed commit it is thrown away and made anew.
"""

import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from upcall.master import state as states
from upcall.master import to_wire
from upcall.master.events import Journal
from upcall.operations import effects as fx
from upcall.protocol.declaration import Declaration
from upcall.store.interface import Store
from upcall.substrate import interface as sub


class Listener(Protocol):
    """Who is told, after the commit, what services should hear."""

    def show(self, core: "Core", service: str) -> Callable[[], None] | None: ...
    def members(self, core: "Core", service: str) -> Callable[[], None] | None: ...
    def wanted(self, core: "Core", service: str) -> Callable[[], None] | None: ...
    def news(self, core: "Core", told: fx.Tell) -> Callable[[], None] | None: ...
    def send(self, send: sub.Send) -> None: ...


class Core:
    """Owns the state, the substrate, the journal and the clock."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        make_substrate: Callable[["Core"], sub.Substrate],
        listener: Listener,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.store, self.journal, self.listener = store, journal, listener
        self.monotonic, self.wall = monotonic, wall
        self._make_substrate = make_substrate
        self.state = states.load(store, store.start)
        self.substrate = make_substrate(self)
        self.nodes: dict[str, sub.NodeObserved] = {}
        self.expected: dict[str, sub.NodeExpected] = {}
        """Nodes on record that were not heard of since the start."""
        self.filling: dict[str, sub.Filling] = {}
        """Member -> what its task has nearly filled, as it was told last."""
        self.guests: dict[str, sub.Guest] = {}
        """Service -> what somebody else's workload asks for, until it is carried out (:mod:`~upcall.master.guests`)."""
        self.guests_said: dict[str, str] = {}
        """Of these, why it waits, as it was told."""
        self.notes: dict[str, str] = {}
        """Operation -> what its service's code last said of its silence."""
        self.prove: Callable[[str], None] = lambda node: None
        """Makes it certain that nothing of a node runs any more."""

    def load_again(self, start: int) -> None:
        """Forgets everything that is not durable. ``start`` is a number that no epoch had before."""
        self.state = states.load(self.store, start)
        self.substrate = self._make_substrate(self)
        self.nodes, self.expected, self.filling, self.guests = {}, {}, {}, {}

    # -- nodes ------------------------------------------------------------------------------------------------------

    def note_node(self, seen: sub.NodeObserved) -> None:
        expected = self.expected.pop(seen.node, None)
        before = self.nodes.get(seen.node) or expected
        if seen.description is None and before is not None:
            seen = msgspec.structs.replace(seen, description=before.description)
        self.nodes[seen.node] = seen
        if seen.state == "gone":
            del self.nodes[seen.node]

    def known_nodes(self) -> dict[str, sub.NodeObserved | sub.NodeExpected]:
        """By name: those that were heard of since the start, and those that are still waited for."""
        known: dict[str, sub.NodeObserved | sub.NodeExpected] = {**self.expected, **self.nodes}
        return {name: known[name] for name in sorted(known)}

    def description(self, node: str) -> sub.Node | None:
        """None: nobody knows it."""
        known = self.nodes.get(node) or self.expected.get(node)
        return known.description if known is not None else None

    def zone(self, node: str) -> str:
        known = self.description(node)
        return known.attributes.get("zone", "") if known is not None else ""

    # -- services ---------------------------------------------------------------------------------------------------

    def desired(self, service: str) -> to_wire.Desired:
        """What is wanted of a service as a whole."""
        return to_wire.desired(self.state.ledger, service)

    def node_of(self, member_id: str) -> str:
        return self.state.places.get(member_id, ("", ""))[0]

    def declaration(self, service: str, member: str, place: int, generation: int = 0) -> Declaration | None:
        """What runs at this place of a member, if both are known."""
        return self.state.declaration(service, member, place, generation)

    def wanted_tasks(self) -> list[sub.Wanted]:
        """What the ledger wants to run, with the declaration of each, as far as it is known."""
        wanted = []
        for task in self.state.ledger.wanted():
            declaration = self.declaration(task.service, task.member, task.place, task.generation)
            if declaration is not None:
                task_id = sub.TaskId(task.service, task.member, task.incarnation)
                wanted.append(
                    sub.Wanted(
                        task=task_id,
                        declaration=declaration,
                        generation=task.generation,
                        place=task.place,
                        beside=task.beside,
                    )
                )
        return wanted
