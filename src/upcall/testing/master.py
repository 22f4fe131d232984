"""What a test does to a service's world: people ask for things, members fall ill, machines come and go.

Members are named without their service (``web-1``), nodes as the cluster names them (``n0``). Everything here is one
input and returns at once; wait for what follows with :meth:`SimulatedMaster.until`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from msgspec.structs import replace

from upcall.master import finalizing, notify, revisions, to_wire
from upcall.master import records as r
from upcall.master.schedules import Schedules
from upcall.master.state import Service
from upcall.master.streams import Streams
from upcall.master.transaction import Transaction
from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.records import Operation
from upcall.operations.views import Why
from upcall.protocol import service as wire
from upcall.protocol.operator import DRAIN_WINDOW_S, Ask, Update
from upcall.protocol.options import merged
from upcall.service import Service as AnyService
from upcall.substrate.interface import DiskUse, Filling, Node, Output, TaskId
from upcall.testing.clusters import Cluster
from upcall.testing.fixed import Tool, ok
from upcall.testing.simulated import SimulatedKind, Timing
from upcall.testing.transport import WHO, WorldTransport
from upcall.testing.world import World

NEARLY_FULL: Final = 0.9


class SimulatedMaster(WorldTransport):
    """One installed service, the master's own code around the ledger, and a simulated cluster of one kind or the other.

    It stays installed: an uninstall ends its members, and its code goes on to be told of it.
    """

    def __init__(
        self,
        service: str,
        kind: SimulatedKind,
        *,
        options: Mapping[str, Any] | None = None,
        schema: Mapping[str, Any] | None = None,
        bindings: Mapping[str, str] | None = None,
        nodes: int = 3,
        timing: Timing | None = None,
        loss: float = 0.0,
        repeat: float = 0.0,
        seed: int = 0,
        tool: Tool = ok,
        packages: Sequence[wire.Package] = (),
        actions: Sequence[wire.ActionSpec] = (),
        code: type[AnyService] | None = None,
    ) -> None:
        """``packages``: the versions that there are of it, of which the first is installed. ``actions``: what can be
        asked of it, where it has one alone. ``code``: makes options of its goals.

        ``loss`` and ``repeat``: shares of what the cluster says that are lost (and said again later), and said
        twice. ``schema``: of the options, as the host registers it; none: anything goes."""
        self.kind = kind
        streams = Streams()
        listener = notify.Notifier(streams, lambda send: None)
        world = World(kind, node_count=nodes, timing=timing, loss=loss, repeat=repeat, seed=seed, listener=listener)
        super().__init__(service, world, streams, tool)
        world.observe(world.substrate.say_nodes())
        world.after_turn += [revisions.follow, finalizing.follow]
        alone = wire.Package(name=service, version="0.1.0", options_schema=dict(schema or {}), actions=tuple(actions))
        known = packages or (alone,)
        Schedules(world, self.door.actions)
        package = known[0]
        self.code = code
        given_options = dict(options or {})
        derived = self.follows(package.version, given_options)
        record = r.ServiceRecord(
            name=service,
            package=service,
            version=package.version,
            revision=1,
            options=merged(given_options, {name: one.value for name, one in derived.items()}),
            derived=derived,
            bindings=dict(bindings or {}),
            created_at=world.wall_s,
            asked_by=WHO,
        )

        def installed(tx: Transaction) -> None:
            for each in known:
                world.state.packages.put(each)
                tx.put(r.PACKAGE, f"{each.name}@{each.version}", each)
            world.state.services[service] = Service(record)
            tx.put(r.SERVICE, service, record)
            tx.changed.schedules[service] = None
            tx.ledger(given.DeclareService(name=service, package=service))

        world.run(installed)

    # -- what stands ------------------------------------------------------------------------------------------------

    @property
    def known(self) -> Service:
        """The service, as the master keeps it."""
        return self.world.state.services[self.service]

    @property
    def members(self) -> dict[str, wire.Member]:
        return {member.name: member for member in notify.members_event(self.world, self.known).members}

    @property
    def memory(self) -> dict[str, wire.StateEntry]:
        """What the service keeps at the master."""
        return {key: entry for (name, key), entry in self.world.state.memory.items() if name == self.service}

    def state(self, member: str) -> str:
        return self.members[member].state if member in self.members else ""

    def node_of(self, member: str) -> str:
        return self.members[member].node

    @property
    def operations(self) -> dict[str, wire.Operation]:
        """Those that are over too, as far as the ledger remembers them."""
        live = {each.operation.id: each for each in self.world.ledger.pending(self.service).operations}
        every = self.world.ledger.operations()
        return {
            op.id: to_wire.pending_operation(live[op.id], self.world.node_of, self.brings)
            if op.id in live
            else to_wire.operation_alone(op, self.world.node_of, self.brings)
            for op in every
        }

    def brings(self, operation: Operation) -> wire.Revision | None:
        return revisions.of_operation(self.world, operation)

    @property
    def launches(self) -> list[str]:
        """Every incarnation that was started: ``web-0.1``."""
        launched = (effect for effect in self.world.log if isinstance(effect, fx.Launch))
        return [f"{each.member}.{each.incarnation}" for each in launched if each.service == self.service]

    @property
    def cluster(self) -> Cluster:
        """For what is not here."""
        return self.world.substrate

    async def until_ready(self, *members: str) -> None:
        wanted = members or tuple(self.declared.members if self.declared else ())
        await self.until(lambda: all(self.state(name) == "ready" for name in wanted))

    async def until_proposed(self, kind: str, member: str) -> str:
        """Waits until somebody has proposed this; gives the operation's id."""

        def found() -> list[str]:
            return [op.id for op in self.operations.values() if (op.kind, op.member) == (kind, member)]

        await self.until(found)
        return found()[-1]

    def why(self, operation: str) -> Why:
        """Who waits for whom, and for what reason."""
        found = self.world.ledger.why(operation, self.world.now_s, self.world.wall_s)
        assert found is not None, f"no operation {operation!r}"
        return found

    # -- people -----------------------------------------------------------------------------------------------------

    def propose(self, kind: str, member: str = "", **more: Any) -> str:
        """Anything that a person may ask for; gives the operation's id."""
        proposed: Any = kind
        service = "" if kind in ("maintenance", "shutdown") else self.service
        members = (member,) if member else ()
        reason = more.pop("reason", "a test wants it")
        proposal = given.Propose(kind=proposed, asked_by=WHO, reason=reason, service=service, members=members, **more)
        return self.send(proposal).operation

    def drain(self, *nodes: str, window_s: float = DRAIN_WINDOW_S, **more: Any) -> str:
        """One maintenance, of one node or of several that go together."""
        return self.propose("maintenance", nodes=nodes, window_s=window_s, **more)

    def undrain(self, *nodes: str) -> None:
        self.send(given.Undrain(nodes=nodes, who=WHO))

    def change(self, *, instead: bool = False, **options: Any) -> str:
        """New options: a person asks for an update; gives the operation's id."""
        return self._ask(Update(set=options, instead=instead))

    def upgrade(self, version: str, *, finalize: bool = False, **options: Any) -> str:
        """Another version of the package (``live(..., version=...)`` says which is there first)."""
        return self._ask(Update(version=version, set=options, finalize=finalize))

    def finalize(self, *, force: bool = False) -> str:
        """The point of no return of an upgrade: a person asks for it."""
        self.catch_up()
        return self.world.run(
            lambda tx: finalizing.finalize(tx, self.service, Ask(force=force, reason="it is well"), WHO)
        )

    def rollback(self, to: int = 0) -> str:
        """Back to what an earlier revision said; 0: the last good one before the present."""
        return self._ask(Update(back_to=to))

    def _ask(self, asked: Update) -> str:
        self.catch_up()
        derived = self._derived(asked)
        return self.world.run(lambda tx: revisions.update(tx, self.service, asked, WHO, derived))

    def _derived(self, asked: Update) -> dict[str, wire.Derived]:
        if asked.back_to is not None:
            return {}
        return self.follows(asked.version or self.known.record.version, revisions.said(self.known, asked))

    async def preview(self, **options: Any) -> wire.Preview:
        """What such an update would do, as the service says."""
        return await self.preview_of(Update(set=options))

    async def preview_of(self, asked: Update) -> wire.Preview:
        revision = revisions.prepared(self.world, self.known, asked, WHO, self.world.wall_s, self._derived(asked))
        brings = revisions.proposed(self.world, self.known, revision)
        return await self.door.preview(self.service, brings, WHO)

    def control(self, operation: str, verb: Literal["pause", "resume", "cancel"]) -> None:
        """A person holds an operation, lets it go on, or ends it."""
        if verb == "cancel":
            self.send(given.Cancel(operation=operation, who=WHO))
        else:
            self.send(given.Pause(operation=operation, who=WHO, on=verb))

    def install_again(self) -> None:
        """Another life of the same name, with the memory of the one before."""
        self._want(replace(self.known.record, created_at=self.known.record.created_at + 1))

    def _want(self, record: r.ServiceRecord) -> None:
        def wanted(tx: Transaction) -> None:
            self.known.record = record
            tx.put(r.SERVICE, self.service, record)
            tx.dirty_wanted.add(self.service)

        self.catch_up()
        self.world.run(wanted)

    # -- bad luck ---------------------------------------------------------------------------------------------------

    def crash(self, member: str, *, code: int = 1, reason: str = "") -> None:
        """Its process ends by itself."""
        self.disturb(lambda now_s: self.cluster.crash(self._id(member), now_s, code=code, reason=reason))

    def sicken(self, member: str) -> None:
        """It fails its health check."""
        self.disturb(lambda now_s: self.cluster.sicken(self._id(member), now_s))

    def heal(self, member: str) -> None:
        self.disturb(lambda now_s: self.cluster.heal(self._id(member), now_s))

    def fill(self, member: str, used_mib: int, of_mib: int) -> None:
        """Its volume is measured; from 90 % on it is nearly full."""
        task = TaskId(service=self.service, member=member, incarnation=self.members[member].incarnation)
        use = DiskUse(volume="data", used_mib=used_mib, bound_mib=of_mib, over=used_mib > of_mib)
        near = used_mib >= NEARLY_FULL * of_mib
        self.disturb(lambda now_s: Output(up=[Filling(task=task, disks=(use,) if near else ())]))

    def slow(self, *members: str) -> None:
        """They run, and do not become ready (:meth:`make_ready`)."""
        self.cluster.slow.update(self._id(member) for member in members)

    def make_ready(self, member: str) -> None:
        self.disturb(lambda now_s: self.cluster.make_ready(self._id(member), now_s))

    def silence(self, node: str, *, dies: bool = True) -> None:
        """Nothing is heard of it any more; with ``dies`` its tasks are dead, which nobody can see."""
        self.disturb(lambda now_s: self.cluster.silence(node, now_s, dies=dies))

    def recover(self, node: str) -> None:
        self.disturb(lambda now_s: self.cluster.recover(node, now_s))

    def remove(self, node: str) -> None:
        """It is gone for good, which proves that what ran there is dead."""
        self.disturb(lambda now_s: self.cluster.remove(node, now_s))

    def join(self, node: Node) -> None:
        """One more machine."""
        self.disturb(lambda now_s: self.cluster.join(node, now_s))

    def disrupt(
        self,
        disruption: str,
        member: str,
        verb: Literal["stop", "evict", "preempt"],
        *,
        who: str = "somebody else",
        reason: str = "",
        deadline_s: float | None = None,
    ) -> None:
        """Somebody else ends a task: at once (``stop``), or until a deadline to which it can be held."""
        self.disturb(
            lambda now_s: self.cluster.disrupt(
                disruption, self._id(member), now_s, verb=verb, who=who, reason=reason, deadline_s=deadline_s
            )
        )

    def die(self) -> None:
        """SIGKILL of the master, and its next start on the same records."""
        self.catch_up()
        self.world.die()
        self.world.boot()

    # -- below ------------------------------------------------------------------------------------------------------

    def _id(self, member: str) -> str:
        return f"{self.service}.{member}"
