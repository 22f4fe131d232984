"""Cassandra, as its operators run it."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from upcall.catalog import losing
from upcall.catalog.cassandra import config, fitting, jmx
from upcall.catalog.cassandra.options import CassandraOptions
from upcall.catalog.cassandra.ranges import COPIES_THAT_SPARE_ONE, ROLES, Cost, at_risk, missing_without, words
from upcall.catalog.cassandra.task import Logins, makes, node_task
from upcall.protocol.declaration import Declaration, Resources
from upcall.protocol.errors import Conflict, Invalid, NotNow
from upcall.protocol.service import Credentials, ToolResult
from upcall.protocol.training import Compiled, Training
from upcall.service import (
    Contents,
    Endpoint,
    Field,
    How,
    Member,
    Operation,
    OptionChange,
    Phase,
    Pod,
    Policy,
    Service,
    Start,
    Update,
    Verdict,
    Way,
    accept,
    action,
    decline,
    defer,
    hopeless,
    live,
    never,
)
from upcall.service.consent import WAYS_MAX
from upcall.service.context import Context

if TYPE_CHECKING:
    from upcall.catalog.cassandra.ring import Ring

T = TypeVar("T")
GONE = {"LEFT", "removed"}
LEAVE_S = 120.0
CLEANUP_S = 3600.0
"""What is left then is cleaned up by the next one."""
SEEDS_MAX = 3
CQL = "CQL native protocol"
FILLED = "filled"
FOUNDED = "founded"
"""How many nodes the ring had at first: their tokens divide it by that number."""
LEFT = "left"
"""Members that have left the ring, and have not joined it again since."""
TIMES_LEFT = "times-left"
"""Member -> how often it left: what it had before is in another folder of its volume."""
SET_LIVE = "live"
"""Names of settings that were changed while nodes ran."""
LOOK_S = 1.0
NAME = r"^[a-zA-Z][a-zA-Z0-9_]{0,47}$"

NEVER = {
    "client_auth": "who may log in is set up when a ring is made; install another one beside it",
    "settings.num_tokens": "a node keeps the tokens that it has data for; install another one beside it",
}
"""Options that are not changed, and why."""


class Cassandra(Service):
    """Apache Cassandra: a ring whose racks are the zones."""

    version = "5.0.9"
    contents = (
        Contents(
            "keyspaces", show="keyspaces", key="keyspace",
            make="create-keyspace", change="set-replication", drop="drop-keyspace",
        ),
    )  # fmt: skip
    before_stop_s = 120.0
    options: CassandraOptions
    _ring: Any = None

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self._losses = losing.Losses()
        self._filled: dict[str, int] = {}
        """Member -> place at which it was in the ring."""
        self._set_live: list[str] = []
        self._left: list[str] = []
        self._times_left: dict[str, int] = {}
        self._founded = 0

    def pods(self) -> list[Pod]:
        # A new ring gets its tokens from us and has nothing to stream, so all may start at once: those that are not
        # the seed wait for it.
        pod = Pod(
            "node",
            count=self.options.nodes,
            task=self.node,
            spread="zone",
            joins="one by one",
            endpoints=self.endpoints(),
        )
        # The ring that is taken back still counts on all that were in it: their ranges would have nobody, and it lets
        # no new node in while one of them is missing.
        return [self.takes_back_all(pod, "nodes")]

    def deploy(self) -> list[Phase]:
        """Who founds the ring starts together; who comes to one that has data bootstraps, one after the other."""
        members = self.members.of("node")
        founding = [Start(member.name) for member in members if self._founds(member)]
        joining = [Start(member.name) for member in members if not self._founds(member)]
        found = [Phase("node", *founding, strategy="parallel")]
        return [*found, Phase("joining", *joining, strategy="serial")] if joining else found

    def endpoints(self) -> list[Endpoint]:
        """``cql`` is for applications, ``admin`` for whoever runs the ring: its role may do everything."""
        if self.options.client_auth == "none":
            return [Endpoint("cql", description=f"{CQL}, nobody is asked who he is")]
        return [
            Endpoint("cql", description=CQL, user="client", secret=self.own_secret("client")),
            Endpoint("admin", "cql", description=f"{CQL}, as superuser", user="admin", secret=self.own_secret("admin")),
        ]

    def node(self, member: Member) -> Declaration:
        options, names = self.options, self.pod("node").member_names
        others = [name for name in names if name != member.name]
        alone = not others
        # At a new place the volume is empty: the node takes the ranges of the dead one from the others. One that comes
        # to a ring that has data takes its share of them. A lone node begins anew, whatever was there before.
        gone = member.name in self._left
        replaces = "{{replaced.address}}" if member.replacing and not alone and not gone else ""
        founds = alone or (self._founds(member) and not member.replacing)
        return node_task(
            cluster=self.name,
            seeds=self._seeds(member)
            if founds
            else ([name for name in others if name in self._filled] or others)[:SEEDS_MAX],
            tokens=config.even_tokens(member.index, self._founders, self._tokens()) if founds else None,
            times_left=self._times_left.get(member.name, 0),
            racks=0 if founds or replaces else self._racks(),
            resources=Resources(cpus=options.cpus, memory_mib=options.memory_mib, disk_mib=options.disk_mib),
            cores=max((node.cpus for node in self.nodes), default=1.0),
            jmx_secret=self.own_secret("jmx", "upcall {}"),
            logins=self._logins(),
            replaces=replaces,
            options={**options.settings, **options.unchecked_settings},
            artifacts=self.artifacts(),
        )

    def _seeds(self, member: Member) -> tuple[str, ...]:
        """Of a node that founds the ring: the first one, which waits for nobody. Once that one is in the ring it asks
        the others too: with its volume emptied it would found another ring at its old address; they refuse it."""
        names = self.pod("node").member_names
        if member.name != names[0] or self._filled.get(member.name) != member.place:
            return names[:1]
        return tuple(name for name in names if name in self._filled)[:SEEDS_MAX]

    @property
    def _founders(self) -> int:
        return self._founded or self.options.nodes

    def _founds(self, member: Member) -> bool:
        """It was among the first: nobody has data yet. All that come later bootstrap, whatever their role."""
        left = member.name in self._times_left
        return member.role != "joining" and 0 <= member.index < self._founders and not left

    def _racks(self) -> int:
        return len({member.zone for member in self.members.values() if member.name in self._filled}) or 1

    def _tokens(self) -> int:
        return int(self.options.settings.get("num_tokens", config.TOKENS_PER_NODE))

    def _logins(self) -> Logins | None:
        if self.options.client_auth == "none":
            return None
        return Logins(admin=self.own_secret("admin"), client=self.own_secret("client"), copies=min(3, self._founders))

    @classmethod
    def makes(cls) -> tuple[Training | Compiled, ...]:
        return makes()

    def policy(self) -> Policy:
        """Below every answer: a rack may go."""
        return self.spares_a_zone("node")

    # -- consent ----------------------------------------------------------------------------------------------------

    async def may_stop(self, node: Member, why: Operation) -> Verdict:
        """While every range keeps a majority of its replicas, and nothing is on its way between nodes.

        It is drained then: it tells the others, flushes its memtables and closes its commit log.
        """
        return await self.may_stop_together((node,), why)

    async def may_stop_together(self, nodes: tuple[Member, ...], why: Operation) -> Verdict:
        """The same without all of them. With three copies in three racks each range has one in each: a rack may go."""
        cost = await self._cost(*nodes)
        if isinstance(cost, Verdict):
            return cost
        if cost.for_now:
            return defer(f"token ranges would lose their quorum: {words(cost.for_now)}", retry_after=5)
        if cost.always:
            return self._too_few_copies(cost)
        return accept()

    async def may_restart(self, node: Member, why: Operation) -> Verdict:
        """Like a stop, but for what has too few copies to spare a node ever: it is away for a start's time, whenever
        the restart is."""
        cost = await self._cost(node, taking_back=self._takes_back(node))
        if isinstance(cost, Verdict):
            return cost
        if cost.for_now:
            return defer(f"token ranges would lose their quorum: {words(cost.for_now)}", retry_after=5)
        if cost.always:
            return accept(f"with too few copies to spare a node, so away until it is back: {words(cost.always)}")
        return accept()

    async def may_replace(self, node: Member, why: Operation) -> Verdict:
        """Its volume is given up: every range has to have a majority elsewhere."""
        if why.takes_back and len(self.members.of("node")) > 1:
            return hopeless(
                "its volumes of before hold tokens that were taken over since: two nodes would answer for them",
                would_help="a new node fills itself from the others: `upcall task replace`",
            )
        if why.takes_back:
            return accept("it comes back with what it had before; what it has now is set aside")
        cost = await self._cost(node)
        if isinstance(cost, Verdict):
            return cost
        if len(self.members.of("node")) == 1:
            return hopeless("it is the only node: its data would be gone", would_help="more nodes, and copies on them")
        if cost.for_now or cost.always:
            return defer(f"what is written there alone would be gone: {words(cost.for_now + cost.always)}")
        return accept()

    # -- changes ----------------------------------------------------------------------------------------------------

    def how(self, change: OptionChange) -> How:
        if change.name in NEVER:
            return never(NEVER[change.name])
        return live if change.option == "settings" and jmx.takes(change.key, change.wanted) else super().how(change)

    async def apply_live(self, changes: tuple[OptionChange, ...]) -> None:
        """At one node first: what it refuses, no other is given. One that just starts has read its file already, so
        it is waited for; who is down reads the new one."""
        names = [change.key for change in changes]
        self._set_live = await self.state.update(SET_LIVE, lambda known: sorted({*known, *names}), [])
        while any(_starts(node) for node in self.members.of("node")):  # noqa: ASYNC110 - members are a snapshot
            await asyncio.sleep(LOOK_S)
        nodes = [node for node in self.members.of("node") if node.ready]
        if nodes:
            await self._set(nodes[0], names)
            await asyncio.gather(*(self._set(node, names) for node in nodes[1:]))

    async def _set(self, node: Member, names: Iterable[str]) -> None:
        """What stands in the node's file of this revision; it is read back."""
        given = jmx.lines(names, config.written(self.node(node)))
        done = await node.run(config.own_tool("SetLive"), input=given, codes=(0, config.TOOL_REFUSED))
        if done.code:
            raise Invalid(_last_line(done), where=f"{node.name} settings")

    async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
        """Once every range has its quorum without another node, and nothing is on its way between nodes."""
        cost = await self._cost(canary)
        if isinstance(cost, Verdict):
            return cost
        if cost.for_now:
            return defer(f"token ranges would lose their quorum: {words(cost.for_now)}", retry_after=5)
        return accept()

    async def may_update(self, update: Update, why: Operation) -> Verdict:
        wanted = update.options
        assert isinstance(wanted, CassandraOptions)
        if wanted.nodes < self.options.nodes:
            return await self._may_shrink(wanted.nodes)
        away = [node.name for node in self.members.of("node") if not node.back]
        if wanted.nodes > self.options.nodes and away:
            return defer(f"{', '.join(away)} is away: who joins takes its ranges from every node", retry_after=5)
        return accept()

    # -- more nodes, and fewer ----------------------------------------------------------------------------------------

    async def may_scale_in(self, node: Member, why: Operation) -> Verdict:
        """While all are up and nothing is on its way, and the others can keep all copies and hold all data."""
        leaving = why.leaving or (node.name,)
        away = [each.name for each in self.members.values() if not each.ready]
        if away:
            return defer(f"{', '.join(away)} is away: ranges go from the node that leaves to the others", retry_after=5)
        said = await self._may_shrink(len(self.members) - len(leaving))
        if said.word != "accept":
            return said
        cost = await self._cost(node)
        return cost if isinstance(cost, Verdict) else accept()

    async def _may_shrink(self, left: int) -> Verdict:
        if not any(node.ready for node in self.members.values()):
            return defer("no node is ready that could say what lies where", retry_after=5)
        copies, used_mib = await self._ask(lambda ring: (ring.copies(), ring.used_mib()))
        why = fitting.objection(left, copies, used_mib, self.options.disk_mib)
        return decline(why) if why else accept()

    async def leave(self, node: Member | None, why: Operation) -> None:
        """Its ranges are streamed to who has them from now on (``decommission``). It has left when every other node
        says so and no range is its own. Wherever this was interrupted, the ring itself says how far it is."""
        if node is None or why.comes_back or len(self.members) == 1:
            await super().leave(node, why)
            return
        while not await self._has_left(node):  # noqa: ASYNC110 - Cassandra tells nobody
            await asyncio.sleep(LOOK_S)
        await self._note_left(node)

    async def _has_left(self, node: Member) -> bool:
        """One look, and what it wants: a member of the ring is told to leave, one that failed to is told again."""
        said, owns = await self._ask(lambda ring: (ring.words_of(node.address), ring.owns(node.address)))
        if said and said <= GONE:
            self.progress(f"{node.name} has left the ring", 1.0)
            return not owns
        if not self.members[node.name].ready:
            self.progress(f"{node.name} is {self.members[node.name].state}: it leaves once it is up")
            return False
        failed, (sent, total) = await self._ask(
            lambda ring: (ring.has_failed_to_leave(node.address), ring.streamed(node.address))
        )
        if failed or "NORMAL" in said:
            done = await node.run(config.own_tool("Leave"), timeout_s=LEAVE_S, codes=(0, config.TOOL_REFUSED))
            if done.code:
                raise NotNow(f"it does not begin to leave: {_last_line(done)}", where=node.name)
        self.progress(
            f"{node.name} leaves: {fitting.how_far(sent, total)} streamed to others", fitting.share(sent, total)
        )
        return False

    async def stay(self, node: Member, why: Operation) -> None:
        """Cassandra 5.0 takes no decommission back; but a node that leaves is a member again after a start, with all it
        has, for until it has left nothing of it is given up. One that has left comes back as a new one, empty."""
        while (said := await self._ask(lambda ring: ring.words_of(node.address))) != {"NORMAL"}:
            if said and said <= GONE:
                await self._note_left(node)
                self.refresh()
                reason = "it had left the ring already: it comes again as a new node"
                await self.propose("restart", node, reason=reason, key=f"stay/{why.id}")
                return
            if "LEAVING" in said and self.members[node.name].ready:
                reason = "it stays after all: with a start it is a member of the ring again"
                await self.propose("restart", node, reason=reason, key=f"stay/{why.id}")
            self.progress(f"{node.name} comes back into the ring by a start")
            await asyncio.sleep(LOOK_S)

    async def _note_left(self, node: Member) -> None:
        """Once, however often it is asked whether it has left."""
        if node.name in self._left:
            return
        number = self._times_left.get(node.name, 0) + 1
        self._times_left = await self.state.update(TIMES_LEFT, lambda known: {**known, node.name: number}, {})
        self._left = await self.state.update(LEFT, lambda known: sorted({*known, node.name}), [])
        self._filled = await self.state.update(
            FILLED, lambda known: {name: place for name, place in (known or {}).items() if name != node.name}
        )

    def _takes_back(self, node: Member) -> bool:
        """If it leaves, nobody wants it to any more: a start is what ends that."""
        return not any(each.kind == "scale_in" and each.member == node.name for each in self.operations)

    async def spread(self, came: tuple[Member, ...], why: Operation) -> None:
        """A node that joined has its share already; the others drop what they gave away (``cleanup``), one after the
        other, within their ``compaction_throughput``. Who came last gave nothing away."""
        nodes = [
            node for node in self.members.of("node") if node.ready and node.name not in [n.name for n in came[-1:]]
        ]
        for number, node in enumerate(nodes):
            await self._clean(node, number, len(nodes))

    async def _clean(self, node: Member, number: int, count: int) -> None:
        cleaning = asyncio.create_task(node.run(config.nodetool_command("cleanup"), timeout_s=CLEANUP_S))
        try:
            while not cleaning.done():
                await asyncio.wait([cleaning], timeout=LOOK_S)
                done, total = await self._ask(lambda ring: ring.cleaned(node.address))
                part = fitting.share(done, total)
                self.progress(f"{node.name}: {fitting.how_far(done, total)} cleaned up", (number + part) / count)
            cleaning.result()
        finally:
            if not cleaning.done():
                cleaning.cancel()
                await node.run(config.nodetool_command("stop", "CLEANUP"))

    async def on_lost(self, node: Member, why: Operation) -> Verdict:
        """A process that died starts again where it was. A node that does not come back gives up its volume only when
        every range of it has a majority elsewhere, to fill the new one from."""
        loss = self._losses.of(node, why)
        tried = losing.after(loss, "", ())
        if tried.word == "restart":
            return tried
        others = ("the machines when they come back, its own or those of the other replicas",)
        return self._losses.note(node, losing.after(loss, await self._missing_without(node), others))

    async def _missing_without(self, node: Member) -> str:
        """What would be gone with a node's volume; empty: nothing."""
        if not self.members.without(node):
            return f"{node.name} is the only node: an empty one would have nothing to begin from"
        up = {member.address for member in self.members.without(node) if member.ready}
        if not up:
            return "no node is ready that could say what lies there alone"
        return await self._ask(lambda ring: missing_without(ring.ranges(), up, node.address))

    async def before_stop(self, node: Member, why: Operation) -> None:
        """It hands its clients and its share of writes to the others, and what is in its memory to its disk: the next
        start reads no commit log, and the grace of its end is not what bounds that. Drained it serves nobody until it
        is started anew, so what the ranges would lose is asked once more right before."""
        if why.kind == "scale_in":
            return  # It has left: nothing of the ring is there.
        while await self._costs_now(node):  # noqa: ASYNC110 - Cassandra tells nobody
            await asyncio.sleep(LOOK_S)
        await node.run(config.nodetool_command("drain"), timeout_s=self.before_stop_s)

    # -- what has data ----------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        self._filled = dict(await self.state.get(FILLED, {}))
        self._set_live = await self.state.get(SET_LIVE, [])
        self._left = await self.state.get(LEFT, [])
        self._times_left = await self.state.get(TIMES_LEFT, {})
        self._founded = await self.state.get(FOUNDED, 0)

    async def after_ready(self, node: Member) -> None:
        """It has data from now on: an empty volume at this place is no new node's. It may have read its file right
        before a setting was changed while nodes run."""
        self._losses.back(node)
        if self._set_live and not node.behind:
            await self._set(node, self._set_live)
        if not self._founded:
            self._founded = await self.state.update(FOUNDED, lambda known: known or self.options.nodes, 0)
        if node.name in self._left:
            self._left = await self.state.update(LEFT, lambda known: [name for name in known if name != node.name], [])
        if self._filled.get(node.name) != node.place:
            place = {node.name: node.place}
            self._filled = await self.state.update(FILLED, lambda known: {**(known or {}), **place})
            self.refresh()

    async def _costs_now(self, node: Member) -> bool:
        """Its stop would take a quorum now, and waiting may help."""
        cost = await self._cost(node, taking_back=self._takes_back(node))
        return cost.word == "defer" if isinstance(cost, Verdict) else bool(cost.for_now)

    async def _cost(self, *nodes: Member, taking_back: bool = False) -> Cost | Verdict:
        """What the ranges would lose, or why it cannot be said now."""
        if not any(member.ready for member in self.members.of("node")):
            return accept("no node is ready: there is nothing that its stop could take away")
        moving = await self._ask(lambda ring: ring.moving())
        if moving and not (taking_back and nodes[0].address in moving):
            first = ", ".join(f"{who} is {word}" for who, word in list(moving.items())[:2])
            return defer(f"data is on its way: {first}", retry_after=5)
        up = {member.address for member in self.members.values() if member.ready}
        return await self._ask(lambda ring: at_risk(ring.ranges(), up, {node.address for node in nodes}))

    def _too_few_copies(self, cost: Cost) -> Verdict:
        """No waiting helps. With enough nodes more copies do; a ring of one or two can only be away meanwhile."""
        reason = f"token ranges have too few copies to spare a node: {words(cost.always)}"
        if self.options.nodes < COPIES_THAT_SPARE_ONE:
            return hopeless(
                f"{reason}; a ring of {self.options.nodes} has no room for more copies, so they are away meanwhile",
                would_help="the stop goes over this answer at the end of its window: --on-deadline proceed",
            )
        keyspaces = [name for name in sorted(cost.always) if name != ROLES][:WAYS_MAX]
        return hopeless(
            reason,
            would_help=[
                Way(
                    f"give {name} a replication that spares one",
                    action="set-replication",
                    arguments={"keyspace": name, "replication": COPIES_THAT_SPARE_ONE},
                    costs="disk for the copies, and a repair that makes them",
                )
                for name in keyspaces
            ],
        )

    # -- what a person asks -----------------------------------------------------------------------------------------

    @action
    async def create_keyspace(
        self,
        name: str = Field(pattern=NAME),
        replication: int = Field(0, ge=0, le=9, description="0: three, or as many as there are nodes"),
    ) -> dict[str, Any]:
        """Creates a keyspace; one that exists is left as it is."""
        copies = replication or min(3, self.options.nodes)
        if copies > self.options.nodes:
            raise Conflict(f"{copies} replicas on {self.options.nodes} nodes", where="replication")
        await self._ask(lambda ring: ring.create_keyspace(name, copies))
        return {"keyspace": name, "replication": copies}

    @action(timeout_s=3600.0)
    async def set_replication(
        self, keyspace: str = Field(pattern=NAME), replication: int = Field(ge=1, le=9)
    ) -> dict[str, Any]:
        """Changes on how many nodes a keyspace is kept, and fills the new copies by a repair."""
        if replication > self.options.nodes:
            raise Conflict(f"{replication} replicas on {self.options.nodes} nodes", where="replication")
        await self._ask(lambda ring: ring.set_copies(keyspace, replication))
        for member in self.members.of("node"):
            await member.run(config.nodetool_command("repair", "-full", "-pr", keyspace), timeout_s=1800.0)
        return {"keyspace": keyspace, "replication": replication}

    @action
    async def drop_keyspace(self, name: str = Field(pattern=NAME)) -> dict[str, Any]:
        """Drops a keyspace with all that is in it."""
        await self._ask(lambda ring: ring.drop_keyspace(name))
        return {"keyspace": name, "dropped": True}

    @action
    async def keyspaces(self) -> list[dict[str, Any]]:
        """All keyspaces but Cassandra's own."""
        return await self._ask(lambda ring: ring.keyspaces())

    @action
    async def cql(self, statement: str = Field(min_length=1, max_length=100_000)) -> list[dict[str, Any]]:
        """Executes one CQL statement; gives at most a thousand rows."""
        return await self._ask(lambda ring: ring.execute(statement))

    @action(timeout_s=3600.0)
    async def repair(self, keyspace: str = Field(pattern=NAME)) -> dict[str, Any]:
        """Repairs a keyspace, node by node, each its primary ranges."""
        for member in self.members.of("node"):
            await member.run(config.nodetool_command("repair", "-pr", keyspace), timeout_s=1800.0)
        return {"keyspace": keyspace, "repaired": [member.name for member in self.members.of("node")]}

    @action
    async def status(self) -> str:
        """What ``nodetool status`` says."""
        beside = next((member for member in self.members.values() if member.ready), None)
        if beside is None:
            raise NotNow("no node is ready")
        return (await beside.run(config.nodetool_command("status"))).output

    async def _ask(self, question: "Callable[[Ring], T]") -> T:
        """Asks the nodes that are ready, in a thread of this service; the session is kept while they stay the same."""
        addresses = tuple(member.address for member in self.members.values() if member.ready)
        if not addresses:
            raise NotNow("no node is ready", where=self.name)
        if self._ring is not None and self._ring.addresses != addresses:
            await self.blocking(self._ring.close)
            self._ring = None
        if self._ring is None:
            login = None if self.options.client_auth == "none" else await self.credentials(self.endpoints()[1])
            self._ring = await self.blocking(_connect, addresses, login)
        ring: Ring = self._ring
        try:
            return await self.blocking(question, ring)
        except Exception:
            # What broke may be the session: the next question gets a new one.
            self._ring = None
            await self.blocking(ring.close)
            raise


def _last_line(done: ToolResult) -> str:
    """What a tool said at last; some machines give both of its outputs as one."""
    return ((done.error or done.output).strip().splitlines() or ["no reason was given"])[-1]


def _starts(node: Member) -> bool:
    """It does for the first time since it was well: one that ends again and again is waited for by nobody."""
    return node.state in ("pending", "running") and not node.ended_times


def _connect(addresses: tuple[str, ...], login: Credentials | None) -> "Ring":
    from upcall.catalog.cassandra.ring import Ring

    return Ring(addresses, config.CQL_PORT, (login.user, login.password) if login else None)
