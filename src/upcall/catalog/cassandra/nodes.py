"""The nodes as they are deployed, who of them has data, and how they are asked."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from upcall.catalog.carrying import Carries
from upcall.catalog.cassandra import bounds, config
from upcall.catalog.cassandra.goals import CassandraGoals, options_for
from upcall.catalog.cassandra.options import CassandraOptions
from upcall.catalog.cassandra.releases import OLDEST, Mode, release
from upcall.catalog.cassandra.sizing import size_node
from upcall.catalog.cassandra.task import makes, node_task
from upcall.catalog.known import own
from upcall.catalog.logins import LogsIn
from upcall.protocol.declaration import Declaration, Resources
from upcall.protocol.errors import Conflict, NotNow
from upcall.protocol.service import Credentials, ToolResult
from upcall.protocol.training import Compiled, Training
from upcall.service import Derived, Endpoint, Machine, Member, Phase, Pod, Policy, Start, action
from upcall.service.context import Context

if TYPE_CHECKING:
    from upcall.catalog.cassandra.ring import Ring

T = TypeVar("T")
SEEDS_MAX = 3
CQL = "CQL native protocol"
FILLED = "filled"
FOUNDED = "founded"
"""How many nodes the ring had at first: their tokens divide it by that number."""
LEFT = "left"
"""Members that have left the ring, and have not joined it again since."""
MODE = "mode"
"""In which form nodes write, where their version knows several."""
TIMES_LEFT = "times-left"
"""Member -> how often it left: what it had before is in another folder of its volume."""


class Nodes(LogsIn, Carries):
    """What all that an expert knows of Cassandra stands on."""

    Goals = CassandraGoals
    options: CassandraOptions
    _ring: Any = None
    _has_reader = False

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self._filled: dict[str, int] = {}
        """Member -> place at which it was in the ring."""
        self._left: list[str] = []
        self._times_left: dict[str, int] = {}
        self._founded = 0
        self._mode: Mode = OLDEST
        self._asked: Counter[Ring] = Counter()
        """Session -> how many questions to it are under way."""

    async def on_start(self) -> None:
        self._filled = dict(await self.state.get(FILLED, {}))
        self._left = await self.state.get(LEFT, [])
        self._times_left = await self.state.get(TIMES_LEFT, {})
        self._founded = await self.state.get(FOUNDED, 0)
        self._mode = await self.state.get(MODE, OLDEST)

    def from_goals(self, goals: CassandraGoals, machine: Machine) -> Mapping[str, Derived]:
        return options_for(goals, self.options, machine)

    def cannot_carry(self, options: CassandraOptions) -> str:
        """What of these a node has no memory for, and what would be needed; empty: it has."""
        sizing = size_node(options.memory_mib, self.cores, options.disk_mib)
        file = config.cassandra_yaml(
            cluster=self.name, seeds=("node-0",), sizing=sizing, tokens=None, options=own(options)
        )
        return bounds.objection(yaml.safe_load(file), memory_mib=options.memory_mib, sizing=sizing)

    def pods(self) -> list[Pod]:
        self.refuse_what_it_cannot_carry()
        # A new ring gets its tokens from us and has nothing to stream, so all may start at once: those that are not
        # the seed wait for it.
        pod = Pod(
            "node",
            count=self.options.nodes,
            task=self.node,
            spread="zone",
            per_node=self.options.per_node,
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
        """``cql`` is for applications, ``admin`` for whoever runs the ring: its role may do everything. ``reader`` is
        for who looks and changes nothing."""
        if not self.asks_who:
            anybody = f"{CQL}, nobody is asked who he is"
            return [Endpoint(name, "cql", description=anybody) for name in ("cql", "reader")]
        return [
            Endpoint("cql", description=CQL, user="client", secret=self.own_secret("client")),
            *(
                Endpoint(name, "cql", description=f"{CQL}, {what}", user=name, secret=self.own_secret(name))
                for name, what in (("admin", "as superuser"), ("reader", "reads alone"))
            ),
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
            by_node=options.per_node > 1,
            resources=Resources(cpus=options.cpus, memory_mib=options.memory_mib, disk_mib=options.disk_mib),
            cores=self.cores,
            storage=options.storage,
            jmx_secret=self.own_secret("jmx", "upcall {}"),
            logins=self.logins(),
            role_copies=min(3, self._founders),
            replaces=replaces,
            mode=self._mode if release(self.version).modes else "",
            java=release(self.version).java,
            options=own(options),
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
        filled = [member for member in self.members.values() if member.name in self._filled]
        return len({member.node if self.options.per_node > 1 else member.zone for member in filled}) or 1

    def _tokens(self) -> int:
        return int(self.options.settings.get("num_tokens", config.TOKENS_PER_NODE))

    @classmethod
    def makes(cls) -> tuple[Training | Compiled, ...]:
        return makes(cls.version)

    def policy(self) -> Policy:
        """Below every answer: a rack may go."""
        return self.spares_a_zone("node")

    async def note_data(self, node: Member) -> None:
        """It has data from now on: an empty volume at this place is no new node's."""
        if not self._founded:
            self._founded = await self.state.update(FOUNDED, lambda known: known or self.options.nodes, 0)
        if node.name in self._left:
            self._left = await self.state.update(LEFT, lambda known: [name for name in known if name != node.name], [])
        if self._filled.get(node.name) != node.place:
            place = {node.name: node.place}
            self._filled = await self.state.update(FILLED, lambda known: {**(known or {}), **place})
            self.refresh()

    async def note_left(self, node: Member) -> None:
        """Once, however often it is asked whether it has left."""
        if node.name in self._left:
            return
        number = self._times_left.get(node.name, 0) + 1
        self._times_left = await self.state.update(TIMES_LEFT, lambda known: {**known, node.name: number}, {})
        self._left = await self.state.update(LEFT, lambda known: sorted({*known, node.name}), [])
        self._filled = await self.state.update(
            FILLED, lambda known: {name: place for name, place in (known or {}).items() if name != node.name}
        )

    @action
    async def status(self) -> str:
        """What ``nodetool status`` says."""
        beside = next((member for member in self.members.values() if member.ready), None)
        if beside is None:
            raise NotNow("no node is ready")
        return (await beside.run(config.nodetool_command("status"))).output

    async def ask(self, question: "Callable[[Ring], T]", *, once: bool = False) -> T:
        """Asks the nodes that are ready, in a thread of this service; the session is kept while they stay the same.

        What passes by itself is :class:`NotNow`, in words of ours. ``once``: it is nothing that may be done twice, so
        where nobody knows whether it was done, that is said (:class:`Conflict`), and it is not tried again."""
        addresses = tuple(member.address for member in self.members.values() if member.ready)
        if not addresses:
            raise NotNow("no node is ready", where=self.name)
        ring, before = self._ring, None
        if ring is None or ring.addresses != addresses:
            members = tuple(member.address for member in self.members.values() if member.address)
            ring = await self.blocking(_connect, addresses, members, await self.own_login())
            before, self._ring = self._ring, ring
        self._asked[ring] += 1
        begun = False
        try:
            await self._close_unused(before)
            if not self._has_reader:
                self._has_reader = await self._makes_reader(ring)
            begun = True
            answer = await self.blocking(question, ring)
            if ring.stale and self._ring is ring:
                self._ring = None
            return answer
        except Exception as error:
            # What broke may be the session: the next question gets a new one.
            if self._ring is ring:
                self._ring = None
            from upcall.catalog.cassandra.ring import passes, was_refused

            names = {member.address: member.name for member in self.members.values()}
            if not (said := passes(error, names)):
                raise
            if once and begun and not was_refused(error):
                look = "a look whether it was done, and the same again if not"
                raise Conflict(f"{said}: whether it was done is not known", where=self.name, expected=look) from error
            raise NotNow(said, where=self.name) from error
        finally:
            self._asked[ring] -= 1
            await self._close_unused(ring)

    async def _close_unused(self, ring: "Ring | None") -> None:
        """A session that is no longer kept, once the last question to it was answered: closed before, it would break
        those that are well."""
        if ring is not None and ring is not self._ring and not self._asked[ring]:
            del self._asked[ring]
            await self.blocking(ring.close)

    async def _makes_reader(self, ring: "Ring") -> bool:
        """The role of who reads alone: rings that run were made before there was one. Whether it is there; a ring that
        is just being made has no majority yet, so it is tried again with the next question."""
        if (reader := await self.own_login("reader")) is not None:
            try:
                await self.blocking(ring.make_reader, reader.user, reader.password)
            except Exception as error:
                self.log.warning("the role %s is not there yet: %s", reader.user, error)
                return False
        return True


def last_line(done: ToolResult) -> str:
    """What a tool said at last; some machines give both of its outputs as one."""
    return ((done.error or done.output).strip().splitlines() or ["no reason was given"])[-1]


def _connect(addresses: tuple[str, ...], members: tuple[str, ...], login: Credentials | None) -> "Ring":
    from upcall.catalog.cassandra.known import Known
    from upcall.catalog.cassandra.ring import Ring

    return Ring(addresses, config.CQL_PORT, (login.user, login.password) if login else None, Known(members))
