"""One thread runs the pure cores: input -> record changes, effects, next deadline.

A turn takes one input through the ledger, performs the ledger's effects on the substrate (pure too), feeds what the
substrate observed back, and goes on until nothing more follows. Only then is it handed to the committer; sends,
answers and notifications are released after the commit, in order.

This module holds the only call of ``substrate.end``: nothing ends a task but an effect of a begun operation.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, Protocol, TypeVar

import msgspec

from upcall.master import records as r
from upcall.master import reporting
from upcall.master import state as states
from upcall.master.changes import Changed
from upcall.master.commit import Committer, Turn
from upcall.master.events import Event, Journal
from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.records import Operation, Put, encode, kind_of
from upcall.protocol.errors import Conflict, Forbidden, Invalid, NotFound, NotNow, Stale, UpcallError
from upcall.store.interface import Store
from upcall.substrate import interface as sub

log = logging.getLogger(__name__)
T = TypeVar("T")
Desired = Literal["running", "uninstalling", "shut_down"]

STEPS_MAX: Final = 100_000
"""Inputs that one turn may cause: far above any real cascade, so a loop is found and not felt."""
LATE_S: Final = 5.0
"""A timer that fires this much late means that the judge slept."""

REFUSED: Final[dict[str, type[UpcallError]]] = {
    "invalid": Invalid,
    "not_found": NotFound,
    "conflict": Conflict,
    "stale": Stale,
    "forbidden": Forbidden,
}


class Listener(Protocol):
    """Who is told, after the commit, what services should hear."""

    def show(self, core: "Core", service: str) -> Callable[[], None] | None: ...
    def members(self, core: "Core", service: str) -> Callable[[], None] | None: ...
    def wanted(self, core: "Core", service: str) -> Callable[[], None] | None: ...
    def told(self, core: "Core", told: fx.Told) -> Callable[[], None] | None: ...
    def send(self, send: sub.Send) -> None: ...


class Transaction:
    """One turn while it runs."""

    def __init__(self, core: "Core") -> None:
        self.core = core
        self.turn = Turn()
        self.now_s = core.monotonic()
        self.wall_s = core.wall()
        self._queue: deque[fx.Effect | sub.Up] = deque()
        self._steps = 0
        self.changed = Changed()
        self.dirty_members: set[str] = set()
        self.dirty_wanted: set[str] = set()
        self._shown: set[str] = set()
        self._told: list[fx.Told] = []

    # -- records and events -----------------------------------------------------------------------------------------

    def put(self, kind: str, key: str, value: Any) -> None:
        self.turn.put(kind, key, value)

    def delete(self, kind: str, key: str) -> None:
        self.turn.delete(kind, key)

    def event(self, kind: str, subject: str, text: str, /, *, detail: bool = False, **data: Any) -> None:
        self.turn.events.append(self.core.journal.make(kind, subject, text, self.wall_s, data, detail=detail))

    # -- the two cores ----------------------------------------------------------------------------------------------

    def ledger(self, item: given.Input) -> fx.Outcome:
        """One input to the ledger and all that follows from it. A refused one raises and has changed nothing."""
        outcome = self._handle(item)
        self.refuse(outcome.refused)
        self.settle()
        return outcome

    @staticmethod
    def refuse(refused: fx.Refused | None) -> None:
        """The ledger's refusal as the error that a caller sees; nothing when there is none."""
        if refused:
            raise REFUSED[refused.code](refused.message, where=refused.where, expected=refused.expected)

    def substrate(self, output: sub.Output) -> None:
        """What a call of the substrate gave, and all that follows from it."""
        self._absorb(output)
        self.settle()

    def settle(self) -> None:
        while self._queue:
            self._steps += 1
            assert self._steps < STEPS_MAX, "one turn caused more inputs than any real cascade: effects feed themselves"
            item = self._queue.popleft()
            if isinstance(item, sub.Up):
                self._observe(item)
            else:
                self._perform(item)

    def _handle(self, item: given.Input) -> fx.Outcome:
        outcome = self.core.state.ledger.handle(item, self.now_s, self.wall_s)
        for change in outcome.changes:
            if isinstance(change, Put):
                self.turn.put(states.LEDGER_PREFIX + kind_of(change.record), change.record.key, encode(change.record))
                if isinstance(change.record, Operation):
                    self.changed.operations[change.record.id] = None
            else:
                self.turn.delete(states.LEDGER_PREFIX + change.kind, change.key)
        self._queue.extend(outcome.effects)
        return outcome

    def _absorb(self, output: sub.Output) -> None:
        for change in output.records:
            kind = states.SUBSTRATE_PREFIX + change.kind
            if change.value is None:
                self.turn.delete(kind, change.key)
            else:
                self.turn.put(kind, change.key, change.value)
        for send in output.send:
            self.turn.after.append(lambda send=send: self.core.listener.send(send))  # type: ignore[misc]
        for node in output.prove:
            self.turn.after.append(lambda node=node: self.core.prove(node))  # type: ignore[misc]
        self._queue.extend(output.up)

    # -- effects of the ledger --------------------------------------------------------------------------------------

    def _perform(self, effect: fx.Effect) -> None:
        substrate, services = self.core.substrate, self.core.state.services
        match effect:
            case fx.Reserve(service=name, places=places):
                if service := services.get(name):
                    found = {m: self.core.state.declaration(name, m, place) for m, place in places.items()}
                    wanted = {member: each for member, each in found.items() if each is not None}
                    if not places.keys().isdisjoint(service.unplaced_members):
                        service.unplaced, service.unplaced_members = "", ()
                    self._give_up(name, places)
                    self._absorb(substrate.reserve(name, wanted, self.now_s, places=places))
                    self.dirty_members.add(name)
            case fx.Launch():
                self._launch(effect)
            case fx.EndTask():
                task = sub.TaskId(effect.service, effect.member, effect.incarnation)
                self._absorb(substrate.end(task, effect.grace_s, self.now_s))
                self.dirty_members.add(effect.service)
            case fx.Release(service=name, member=member, keep_volumes_s=keep_s):
                self._absorb(substrate.release(f"{name}.{member}", self.now_s, keep_volumes_s=keep_s))
                self.core.state.places.pop(f"{name}.{member}", None)
                self.core.state.place_numbers.pop(f"{name}.{member}", None)
                if self.core.state.seen.pop(f"{name}.{member}", None):
                    self.delete(r.SEEN, f"{name}.{member}")
                self.dirty_members.add(name)
            case fx.Cordon(node=node, closed=closed):
                self._absorb(substrate.cordon(node, self.now_s, closed=closed))
            case fx.ProveDeath(node=node):
                self.changed.proofs[node] = None
            case fx.HoldDisruption(id=disruption, hold=hold):
                self._absorb(substrate.hold_disruption(disruption, self.now_s, hold=hold))
            case fx.Show(service=name):
                self._shown.add(name)
                self.dirty_members.add(name)
            case fx.Told():
                self._told.append(effect)
                self.dirty_members.add(effect.service)
                self.dirty_wanted.add(effect.service)
            case fx.Event():
                self._tell(effect)
                if effect.service:
                    self.dirty_members.add(effect.service)
            case fx.Alert():
                about = {"service": effect.service, "operation": effect.operation}
                self.event("alert", effect.operation, effect.text, detail=False, alert=True, **about)

    def _tell(self, effect: fx.Event) -> None:
        if effect.kind == "alert":
            return  # the Alert beside it is told
        ledger = self.core.state.ledger
        operation, by = ledger.operation(effect.operation), None
        data: dict[str, Any] = {"service": effect.service, "operation": effect.operation, **effect.data}
        if effect.kind == "task":
            data["member"] = effect.subject.rpartition(".")[0]
            data["node"] = data.get("node") or self.core.state.places.get(data["member"], ("", ""))[0]
            effect = msgspec.structs.replace(effect, data=data)
            by = ledger.made_necessary(effect.subject)
        elif operation is not None and len(operation.target.members) == 1:
            data["member"] = f"{effect.service}.{operation.target.members[0]}"
        text, detail = reporting.line(effect, operation, by)
        if effect.kind == "task" and (seen := self.core.state.seen.get(data["member"])) is not None:
            # As it was before a restart of ours: found again, not changed.
            same = (f"{data['member']}.{seen.incarnation}", seen.state) == (effect.subject, data.get("state"))
            detail = detail or (same and seen.since < self.wall_s)
        self.event(effect.kind, effect.subject, text, detail=detail, **{k: v for k, v in data.items() if v})

    def _launch(self, effect: fx.Launch) -> None:
        declaration = self.core.state.declaration(effect.service, effect.member, effect.place, effect.generation)
        if declaration is None:
            self.event("master", f"{effect.service}.{effect.member}", "cannot be launched: it is not declared")
            return
        task = sub.TaskId(effect.service, effect.member, effect.incarnation)
        wanted = sub.Wanted(task=task, declaration=declaration, generation=effect.generation, place=effect.place)
        self._absorb(self.core.substrate.launch(wanted, self.now_s))
        self.dirty_members.add(effect.service)

    # -- what the substrate observed --------------------------------------------------------------------------------

    def _observe(self, up: sub.Up) -> None:
        state = self.core.state
        match up:
            case sub.Observed(task=task):
                if up.node:
                    _, known = state.places.get(task.member_id, ("", ""))
                    self._place(task.member_id, up.node, up.address or known)
                self._note_member(up)
                reason = up.exit.reason if up.exit and up.exit.reason else up.reason
                self._handle(
                    given.TaskObserved(
                        service=task.service,
                        member=task.member,
                        incarnation=task.incarnation,
                        state=up.state,
                        node=up.node,
                        reason=reason,
                        exit_code=_exit_code(up.exit),
                        generation=up.generation,
                    )
                )
                self.dirty_members.add(task.service)
            case sub.NodeObserved():
                self.core.note_node(up)
                self.changed.nodes[up.node] = None
                self._handle(given.NodeObserved(node=up.node, state=up.state, reason=up.reason))
                self.dirty_wanted.update(state.services)
            case sub.NodeExpected():
                self.core.expected[up.node] = up
            case sub.Placed(member_id=member_id):
                before = state.places.get(member_id)
                if before and before[1] and before[1] != up.address:
                    self._replace(member_id, before[1])
                self._place(member_id, up.node, up.address)
                name, _, member = member_id.partition(".")
                if (service := state.services.get(name)) and member in service.unplaced_members:
                    # A plan is placed whole: with one of its members, all have a place.
                    service.unplaced, service.unplaced_members = "", ()
                self.dirty_members.add(name)
            case sub.Unplaced(service=name):
                if (service := state.services.get(name)) and service.unplaced != up.reason:
                    service.unplaced, service.unplaced_members = up.reason, up.members
                    self.event("placement", name, f"no place for {', '.join(up.members)}: {up.reason}", service=name)
                self.dirty_members.add(name)
            case sub.VolumesSetAside(member_id=member_id):
                text = f"volumes {', '.join(up.volumes)} of {member_id} on {up.node} are set aside: {up.reason}"
                self.event("volumes", member_id, text, node=up.node, fence=up.fence)
            case sub.Disruption(task=task):
                self._handle(
                    given.DisruptionBegan(
                        id=up.id,
                        service=task.service,
                        member=task.member,
                        incarnation=task.incarnation,
                        verb=up.verb,
                        firmness=up.firmness,
                        reason=up.reason,
                        who=up.who,
                        deadline_s=up.deadline_s,
                    )
                )
            case sub.DisruptionOver():
                self._handle(given.DisruptionEnded(id=up.id, happened=up.happened))
            case sub.Disruptions():
                self._handle(given.DisruptionsListed(ids=up.ids))

    def _give_up(self, service: str, places: Mapping[str, int]) -> None:
        """Where somebody else places, nobody says when a place is given up: it is when the ledger asks for another."""
        state, delegated = self.core.state, self.core.substrate.capabilities.placement == "delegated"
        for member, place in places.items():
            member_id = f"{service}.{member}"
            before, state.place_numbers[member_id] = state.place_numbers.get(member_id, place), place
            seen = state.seen.get(member_id)
            address = state.places.get(member_id, ("", ""))[1] or (seen.address if seen else "")
            if delegated and before < place and address:
                self._replace(member_id, address)

    def _replace(self, member_id: str, address: str) -> None:
        """Whoever is there now takes over from this address."""
        self.core.state.replaced[member_id] = address
        self.put(r.REPLACED, member_id, address.encode())

    def _place(self, member_id: str, node: str, address: str) -> None:
        """Launches may wait for its address, or for an endpoint that it is behind."""
        places = self.core.state.places
        if places.get(member_id) != (node, address):
            places[member_id] = (node, address)
            self.changed.names[member_id.partition(".")[0]] = None

    def _note_member(self, up: sub.Observed) -> None:
        """Since when it is as it is. Seen again in the same state, after a restart of ours too, it has been so all the
        time."""
        known, key = self.core.state.seen, up.task.member_id
        if up.task.service not in self.core.state.services:
            return
        before = known.get(key)
        if before and up.task.incarnation < before.incarnation:
            return  # what is left of one that was given up
        if before and (up.task.incarnation, up.state) == (before.incarnation, before.state):
            return
        ended = up.exit.code if up.exit is not None else before.exit_code if before else None
        known[key] = r.SeenRecord(
            incarnation=up.task.incarnation,
            state=up.state,
            since=self.wall_s,
            exit_code=ended,
            address=up.address or (before.address if before else ""),
        )
        self.put(r.SEEN, key, known[key])

    # -- the end of the turn ----------------------------------------------------------------------------------------

    def finish(self) -> Turn:
        """Notifications are made now, from this turn's state, and released after the commit."""
        core, listener = self.core, self.core.listener
        notices: list[Callable[[], None] | None] = []
        notices += [listener.wanted(core, name) for name in sorted(self.dirty_wanted)]
        notices += [listener.members(core, name) for name in sorted(self.dirty_members)]
        notices += [listener.show(core, name) for name in sorted(self._shown)]
        notices += [listener.told(core, told) for told in self._told]
        self.turn.after.extend(notice for notice in notices if notice is not None)
        return self.turn


def _exit_code(ended: sub.Exit | None) -> int | None:
    """As a shell says it: 128 + signal."""
    if ended is None:
        return None
    if ended.code is not None:
        return ended.code
    return 128 + ended.signal if ended.signal is not None else None


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
        self._committer = Committer(store, self._release, self._commit_failed)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_s = 0.0
        self._reloads = 0
        self._closed = False
        self.state = states.load(store, states.start_number(store))
        self.substrate = make_substrate(self)
        self.nodes: dict[str, sub.NodeObserved] = {}
        self.expected: dict[str, sub.NodeExpected] = {}
        """Nodes on record that were not heard of since the start."""
        self.notes: dict[str, str] = {}
        """Operation -> what its service's code last said of its silence."""
        self.after_turn: list[Callable[[Transaction, Changed], None]] = []
        """Called with what a turn changed, before its commit: what follows from that."""
        self.on_reload: Callable[[], None] = lambda: None
        """The substrate was made anew: whoever is connected has to say again what runs."""
        self.prove: Callable[[str], None] = lambda node: None
        """Makes it certain that nothing of a node runs any more."""

    def start(self) -> None:
        """The first turn: repeats what still stands."""

        def first(tx: Transaction) -> None:
            tx.changed.operations = {operation.id: None for operation in self.state.ledger.operations()}
            tx.event("master", "master", f"started (start {self.state.start} of this cluster)")
            can = self.substrate.capabilities
            tx.ledger(given.Started(firmness=dict(can.firmness), volumes_bound_to_node=can.volumes_bound_to_node))
            wanted = []
            for task in self.state.ledger.wanted():
                declaration = self.state.declaration(task.service, task.member, task.place, task.generation)
                if declaration is not None:
                    task_id = sub.TaskId(task.service, task.member, task.incarnation)
                    wanted.append(
                        sub.Wanted(task=task_id, declaration=declaration, generation=task.generation, place=task.place)
                    )
            tx.substrate(self.substrate.wanted(wanted, tx.now_s))

        self._run(first)

    # -- what follows from the state --------------------------------------------------------------------------------

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

    def zone(self, node: str) -> str:
        known = self.nodes.get(node) or self.expected.get(node)
        return known.description.attributes.get("zone", "") if known and known.description else ""

    def desired(self, service: str) -> Desired:
        """What is wanted of a service as a whole: derived from the operations that stand."""
        ledger = self.state.ledger
        shutdown = ledger.shutdown()
        for operation in ledger.live(service):
            if operation.kind == "uninstall" and operation.begun:
                earlier = shutdown is not None and shutdown.number < operation.number
                return "shut_down" if earlier else "uninstalling"
        return "shut_down" if shutdown is not None else "running"

    # -- turns ------------------------------------------------------------------------------------------------------

    def turn(self, work: Callable[[Transaction], T]) -> "Awaitable[T]":
        """Runs ``work`` now; what it returned is given once all that it caused is durable. What it raises is raised
        at once, so ``work`` refuses before it changes anything."""
        result, done = self._run(work)

        async def wait() -> T:
            await asyncio.shield(done)
            return result

        return wait()

    def post(self, work: Callable[[Transaction], object]) -> None:
        """As :meth:`turn`, for inputs whose answer nobody waits for."""
        if not self._closed:
            self._run(work)

    async def durable(self) -> None:
        """Returns when everything that happened before is durable: what was read until now may be told."""
        await self._committer.submit(Turn())

    def _run(self, work: Callable[[Transaction], T]) -> "tuple[T, asyncio.Future[None]]":
        if self._closed:
            raise NotNow("the master is going down", expected="the same call after its return")
        tx = Transaction(self)
        refused: UpcallError | None = None
        try:
            try:
                result = work(tx)
            except UpcallError as error:
                refused = error
            self._follow(tx)
        except Exception:
            # A mistake of ours in the middle of a turn: what is in memory may be half of it, what is durable is not.
            log.exception("a turn failed; its changes are thrown away")
            self._committer.abandon("a turn failed")
            raise
        if refused is not None:
            if not tx.turn.empty:
                # Something was changed before the refusal: what is in memory is true, so it is recorded.
                self._committer.submit(tx.finish())
            raise refused
        done = self._committer.submit(tx.finish())
        self._schedule()
        return result, done

    def _follow(self, tx: Transaction) -> None:
        """The rules, until nothing follows any more."""
        for _ in range(STEPS_MAX):
            if not tx.changed:
                return
            changed, tx.changed = tx.changed, Changed()
            for rule in self.after_turn:
                rule(tx, changed)
        raise AssertionError("one turn caused more changes than any real cascade: rules feed themselves")

    def _release(self, events: list[Event]) -> None:
        self.journal.release(events)

    def _commit_failed(self, reason: str) -> None:
        """Nothing of the last turns is durable: forget them all and begin again from the records."""
        log.error("a commit failed, reloading from the store: %s", reason)
        self._reloads += 1
        self.journal.forget_unreleased()
        try:
            start = states.start_number(self.store)
        except Exception:
            # Even this cannot be written. The number must differ all the same: answers to the old world are void.
            start = self.state.start + self._reloads * 1_000_000
        self.state = states.load(self.store, start)
        self.substrate = self._make_substrate(self)
        self.nodes, self.expected = {}, {}
        self.on_reload()
        asyncio.get_running_loop().call_later(1.0, self._restart_after_failure)

    def _restart_after_failure(self) -> None:
        try:
            self.start()
        except NotNow:
            asyncio.get_running_loop().call_later(1.0, self._restart_after_failure)

    # -- time -------------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        deadlines = [due for due in (self.state.ledger.deadline(), self.substrate.deadline()) if due is not None]
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if deadlines:
            self._timer_due_s = min(deadlines)
            delay_s = max(0.0, self._timer_due_s - self.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        late_s = self.monotonic() - self._timer_due_s

        def tick(tx: Transaction) -> None:
            if late_s > LATE_S:
                tx.event("master", "clock", f"the master slept for {late_s:.0f} s: every deadline starts anew")
                tx.ledger(given.ClockJumped(slept_s=late_s))
            tx.substrate(self.substrate.tick(tx.now_s))
            tx.ledger(given.Tick())

        self._timer = None
        self._run(tick)

    async def close(self) -> None:
        """Nothing is taken in any more; what was taken in becomes durable."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        await self._committer.drain()
        self._committer.close()
