"""Kafka, as its operators run it."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from msgspec.structs import replace

from upcall.catalog import losing
from upcall.catalog.kafka import config, features, live, moves, quorum
from upcall.catalog.kafka.moving import Moving
from upcall.catalog.kafka.options import KafkaOptions
from upcall.catalog.kafka.partitions import (
    Cost,
    Partition,
    counted,
    missing_without,
    named,
    out_of_sync,
    reassignment,
    with_more_copies,
)
from upcall.catalog.kafka.settings import Value, as_texts, facts, settings_of
from upcall.catalog.kafka.task import Logins, broker_task, makes
from upcall.protocol.declaration import Declaration, Resources
from upcall.protocol.errors import Conflict, NotFound, NotNow
from upcall.protocol.training import Compiled, Training
from upcall.service import (
    Contents,
    Endpoint,
    Field,
    How,
    Member,
    Operation,
    OptionChange,
    Pod,
    Policy,
    Service,
    Told,
    Update,
    Verdict,
    Way,
    accept,
    action,
    decline,
    defer,
    hopeless,
    never,
)
from upcall.service import live as live_change
from upcall.service.consent import WAYS_MAX
from upcall.service.context import Context

if TYPE_CHECKING:
    from upcall.catalog.kafka.admin import Admin

T = TypeVar("T")
TopicSettings = Annotated[dict[str, Value], settings_of("topic")]
CLUSTER_ID = "cluster-id"
COPY_LOOK_S = 1.0
NEW_TOPIC_S = 5.0
LOOK_PART = 4.0
"""Between two looks at what is in sync passes so many times what one took."""
_EXISTS = "its topic has so many {} since it was made, and this is read only then"
NEVER = {
    "client_auth": "brokers that ask who somebody is and brokers that do not cannot talk to each other; install another"
    " one beside it",
    **{
        f"settings.{topic}.num.partitions": _EXISTS.format("partitions")
        for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    },
    **{
        f"settings.{topic}.replication.factor": f"{_EXISTS.format('replicas')}; `raise-replication` gives it more"
        for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    },
}
"""Options that are not changed, and why."""
ALONE = (
    "a lone broker's topics have one replica each, and its quorum one vote; install another one with 3 beside it, and"
    " copy what is to stay"
)
FILLED_MAX = 0.85
"""Share of a broker's volume that may be full once others have left."""
GONE = "gone"
LEFT_S = 1.0
SERVERS = f"bootstrap servers, {config.MECHANISM}"


class Kafka(Service):
    """Apache Kafka in KRaft mode: brokers that are controllers too, in a quorum that can change."""

    options: KafkaOptions
    contents = (
        Contents(
            "topics", show="topics", show_with={"settings": True}, key="topic",
            make="create-topic", change="change-topic", drop="delete-topic",
        ),
    )  # fmt: skip
    cluster_id = ""
    _admin: Any = None
    _voters: tuple[Any, frozenset[int]] | None = None
    """Who votes, in a world of members."""
    _raising: asyncio.Task[None] | None = None

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self._losses = losing.Losses()
        self._moving = Moving(self)
        self._behind: frozenset[Partition] = frozenset()
        self._look_again_s = 0.0

    async def on_start(self) -> None:
        """The cluster's id is made once and kept: volumes that are taken back belong to it."""
        self.cluster_id = await self.state.update(CLUSTER_ID, lambda known: known or config.new_cluster_id())

    def pods(self) -> list[Pod]:
        # All formatted members start together: one by one they would wait for a quorum that is not there yet.
        pod = Pod("broker", count=self.options.brokers, task=self.broker, spread="zone", endpoints=self.endpoints())
        # Those that founded the quorum before still vote in it: with too few of them there is no quorum at all. A
        # majority has all that was ever agreed on, and gives the others their vote anew.
        return [self.takes_back_all(pod, "brokers", majority=True)]

    def endpoints(self) -> list[Endpoint]:
        """``client`` is for applications; ``admin`` for whoever runs the brokers: as him they talk to each other."""
        if self.options.client_auth == "none":
            return [Endpoint("client", description="bootstrap servers, nobody is asked who he is")]
        return [
            Endpoint("client", description=SERVERS, user="client", secret=self.own_secret("client")),
            Endpoint("admin", "client", description=SERVERS, user="admin", secret=self.own_secret("admin")),
        ]

    def broker(self, member: Member) -> Declaration:
        options, names = self.options, self.pod("broker").member_names
        # At a new place the volume is empty, and one that comes later finds others that have data: both join the quorum
        # that exists (see after_ready). A lone broker has none to join, whatever was there before.
        founders = self.members.of("broker")[: config.FOUNDERS]
        founding = {node_id(each): each.name for each in founders if each.role != "joining"}
        joins = (member.replacing or node_id(member) not in founding) and len(names) > 1
        first = () if joins else config.voters(self.cluster_id, founding)
        return broker_task(
            node_id=node_id(member),
            members=names,
            format_volume=config.format_command(self.cluster_id, first),
            resources=Resources(cpus=options.cpus, memory_mib=options.memory_mib, disk_mib=options.disk_mib),
            cores=max((node.cpus for node in self.nodes), default=1.0),
            logins=self._logins(),
            options=as_texts({**options.settings, **options.unchecked_settings}),
            artifacts=self.artifacts(),
        )

    def _logins(self) -> Logins | None:
        if self.options.client_auth == "none":
            return None
        return Logins(
            admin=self.own_secret("admin", config.SECRET_FORM), client=self.own_secret("client", config.SECRET_FORM)
        )

    @classmethod
    def makes(cls) -> tuple[Training | Compiled, ...]:
        return makes()

    def policy(self) -> Policy:
        """Below every answer: a zone may go, while the controllers keep their majority."""
        usual = self.spares_a_zone("broker")
        brokers = self.options.brokers
        return replace(usual, minimum=max(usual.minimum, brokers // 2 + 1 if brokers > 1 else 0))

    # -- consent ----------------------------------------------------------------------------------------------------

    async def may_stop(self, broker: Member, why: Operation) -> Verdict:
        """While the controllers keep their majority, and every partition its ``min.insync.replicas``."""
        return await self.may_stop_together((broker,), why)

    async def may_stop_together(self, brokers: tuple[Member, ...], why: Operation) -> Verdict:
        """The same without all of them. With a copy of each partition in every zone, that is so of a zone's brokers."""
        cost = await self._cost(*brokers)
        if isinstance(cost, Verdict):
            return cost
        return self._too_few_replicas(cost) if cost.always else accept()

    async def may_restart(self, broker: Member, why: Operation) -> Verdict:
        """Like a stop, but for what has too few replicas to spare a broker ever: it is away for a start's time,
        whenever the restart is."""
        cost = await self._cost(broker)
        if isinstance(cost, Verdict):
            return cost
        if cost.always:
            return accept(f"with too few replicas to spare a broker, so away until it is back: {named(cost.always)}")
        return accept()

    async def may_replace(self, broker: Member, why: Operation) -> Verdict:
        """Its volume is given up: everything on it has to be in sync elsewhere."""
        if self.options.brokers == 1 and why.takes_back:
            return accept("it comes back with what it had before; what it has now is set aside")
        if self.options.brokers == 1:
            return hopeless("it is the only broker: its data would be gone", would_help="more brokers, and replicas")
        return await self.may_stop(broker, why)

    # -- changes ----------------------------------------------------------------------------------------------------

    def how(self, change: OptionChange) -> How:
        """What Kafka changes while a broker runs; but for what has no value again: no override says nothing."""
        if change.name in NEVER:
            return never(NEVER[change.name])
        if change.option == "brokers" and 1 in (change.was, change.wanted):
            return never(ALONE)
        usual = self._usual()
        if change.option == "settings" and change.key in usual and (change.wanted, usual[change.key]) != (None, None):
            return live_change
        return super().how(change)

    async def apply_live(self, changes: tuple[OptionChange, ...]) -> None:
        """One broker after the other: one that refuses a value keeps those after it from being asked."""
        names = {change.key for change in changes}
        ready = [broker for broker in self.members.of("broker") if broker.ready]
        if live.MINIMUM in names and ready:
            value = self._settings_of(ready[0])[live.MINIMUM]
            await ready[0].run(config.cluster_setting_command(live.MINIMUM, value), timeout_s=60.0)
        for broker in ready:
            wanted, file = self._settings_of(broker), await self._file_of(broker)
            await self._tune(broker, live.overrides(names - {live.MINIMUM}, wanted, file, self._usual()), file)

    async def _tune(self, broker: Member, given: dict[str, str | None], file: dict[str, str]) -> None:
        without = {name: file.get(name, usual) for name, usual in self._usual().items() if name in given}
        await self.ask(lambda admin: admin.tune(node_id(broker), given, without))

    def _settings_of(self, broker: Member) -> dict[str, str]:
        """As they are wanted now."""
        (file,) = (file.text for file in self.broker(broker).files if file.path == config.SETTINGS)
        return live.parsed(file)

    async def _file_of(self, broker: Member) -> dict[str, str]:
        """Those that the broker was started with."""
        return live.parsed((await broker.run(("cat", config.PROPERTIES))).output)

    async def overrides(self, broker: Member) -> dict[str, str]:
        """What changed while brokers ran, and wins over the file of this one."""
        found = await self.ask(lambda admin: admin.overrides(node_id(broker)))
        return {name: found[name] for name in self._usual().keys() & found.keys()}

    def _usual(self) -> dict[str, str | None]:
        """What changes live, and what it is where nobody says."""
        return facts(self.version).usual()

    # -- versions ---------------------------------------------------------------------------------------------------

    async def may_update(self, update: Update, why: Operation) -> Verdict:
        """Another version has to be able to read what is there: up to the level that the cluster's features were
        raised to, and down to where it begins."""
        if not update.upgrade:
            return accept()
        beside = next((broker for broker in self.members.ready if broker.back), None)
        if beside is None:
            return defer("no broker is ready to say at which levels its features are", retry_after=5)
        unreadable = features.unreadable(self.version, await features.levels(beside))
        return decline(unreadable) if unreadable else accept()

    async def may_finalize(self, why: Operation) -> Verdict:
        """Once every broker is there in this version: each of them has to know the levels."""
        away = [broker.name for broker in self.members.of("broker") if not broker.back]
        if away:
            return defer(f"{', '.join(away)} is not back", retry_after=5)
        if not features.behind(self.version, await features.levels(self.members.ready[0])):
            return decline(f"its features are at the levels of {self.version} already")
        return accept()

    async def finalize(self, why: Operation) -> None:
        """Raises the levels of all features to those of this version: what is written from then on, nothing older
        reads."""
        beside = next((broker for broker in self.members.ready if broker.back), None)
        if beside is None:
            raise NotNow("no broker is ready to raise the levels of its features", where=self.name)
        if features.behind(self.version, await features.levels(beside)):
            await beside.run(features.raise_command(self.version), timeout_s=features.TIMEOUT_S)
        if behind := features.behind(self.version, await features.levels(beside)):
            raise NotNow(f"not raised yet: {', '.join(behind)}", where=self.name)

    async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
        """Once the changed broker is in sync again in all that it has."""
        own = node_id(canary)
        behind = [each for each in await self.partitions() if own in each.replicas and own not in each.in_sync]
        if behind:
            return defer(f"{canary.name} is not in sync yet in {counted(behind)} ({named(behind)})", retry_after=2)
        return accept()

    async def on_lost(self, broker: Member, why: Operation) -> Verdict:
        """A process that died starts again where it was. A broker that does not come back starts anew, with an empty
        volume, only when the others have all that was on it, and agree without it."""
        loss = self._losses.of(broker, why)
        tried = losing.after(loss, "", ())
        if tried.word == "restart":
            return tried
        others = ("the brokers that are away, when they come back",)
        return self._losses.note(broker, losing.after(loss, await self._missing_without(broker), others))

    async def _cost(self, *brokers: Member) -> Cost | Verdict:
        """What the partitions would lose, or the answer that is clear already."""
        if not self.members.ready:
            return accept("no broker is ready: there is nothing that its stop could take away")
        cost = await self.cost_of_stopping(*brokers)
        if cost.for_now:
            what = f"{counted(cost.for_now)} would fall below min.insync.replicas ({named(cost.for_now)})"
            return defer(what, retry_after=5)
        if len(self.members) > len(brokers) and (short := await self._short_of_majority(*brokers)):
            return defer(short, retry_after=5)
        return cost

    def _too_few_replicas(self, cost: Cost) -> Verdict:
        """No waiting helps. With enough brokers another replica does; a lone one can only be away meanwhile."""
        reason = f"{counted(cost.always)} with too few replicas to spare a broker ({named(cost.always)})"
        if self.options.brokers == 1:
            return hopeless(
                f"{reason}: there is one broker, so they are away while it is",
                would_help="the stop goes over this answer at the end of its window: --on-deadline proceed",
            )
        ways = [
            Way(
                f"give {topic} {copies} replicas",
                action="raise-replication",
                arguments={"topic": topic, "replicas": copies},
                costs="disk and traffic for the new replicas",
            )
            if copies <= self.options.brokers
            else Way(f"lower min.insync.replicas of {topic}, or add brokers: {copies} replicas would spare one")
            for topic, copies in sorted(cost.wanted.items())
        ]
        possible = {topic: copies for topic, copies in cost.wanted.items() if copies <= self.options.brokers}
        if self.options.few_replicas == "raise" and len(possible) == len(cost.wanted):
            self._raise_beside(possible)
            return defer(f"{reason}: they get another one first", retry_after=2)
        return hopeless(reason, would_help=ways[:WAYS_MAX])

    async def watched(self) -> Any:
        """What is not in sync. With many partitions a look takes its time, so that it is a small part of it."""
        clock = asyncio.get_running_loop().time
        began_s = clock()
        if began_s >= self._look_again_s:
            behind = out_of_sync(await self.partitions())
            self._behind = frozenset(behind)
            self._look_again_s = clock() + LOOK_PART * (clock() - began_s)
        return self._behind

    async def cost_of_stopping(self, *without: Member) -> Cost:
        return await self.ask(lambda admin: admin.cost_of_stopping(set(map(node_id, without))))

    async def partitions(self) -> list[Partition]:
        return await self.ask(lambda admin: admin.partitions())

    async def _missing_without(self, broker: Member) -> str:
        """What would be gone with a broker's volume; empty: nothing."""
        others = [other for other in self.members.without(broker) if other.ready]
        if not self.members.without(broker):
            return f"{broker.name} is the only broker: an empty one would have nothing to begin from"
        if not others:
            return "no broker is ready that could say what lies there alone"
        voting, partitions = await self._voting(), await self.partitions()
        return missing_without(node_id(broker), partitions, voting, self._alive(), {node_id(other) for other in others})

    # -- the quorum -------------------------------------------------------------------------------------------------

    async def _short_of_majority(self, *brokers: Member) -> str:
        return quorum.short_of_majority(await self._voting(), self._alive(), set(map(node_id, brokers)))

    def _alive(self) -> set[int]:
        """Who votes now if it has a vote: a broker at a new place gets it in ``after_ready``."""
        return {node_id(member) for member in self.members.values() if member.ready and member.back}

    async def _voting(self) -> frozenset[int]:
        """Node ids of all voters, of dead ones too. Those that founded the quorum are voters as long as they are where
        they were, and alone; else the quorum is asked, once for each change of who is where."""
        members = list(self.members.values())
        if len(members) <= config.FOUNDERS and all(_founded(member) for member in members):
            return frozenset(map(node_id, members))
        world = tuple((member.name, member.place) for member in members)
        if self._voters is None or self._voters[0] != world:
            self._voters = world, frozenset(each.node_id for each in await quorum.voters(self.beside()))
        return self._voters[1]

    def beside(self, *without: Member) -> Member:
        """Beside whom Kafka's tools run."""
        others = [member for member in self._but(*without) if member.ready]
        found = next((member for member in others if member.back), others[0] if others else None)
        if found is None:
            raise NotNow("no other broker is ready" if without else "no broker is ready", where=self.name)
        return found

    def _but(self, *without: Member) -> list[Member]:
        """All that are there, who leaves as well, but for these."""
        names = {member.name for member in without}
        return [member for member in self.members.values() if member.name not in names]

    async def _seat(self, *leaving: Member) -> None:
        """An odd number votes, the first ones: who has no vote and should gets one, before others lose theirs."""
        brokers = self._but(*leaving)
        seats = {node_id(broker): broker for broker in brokers[: quorum.seats(len(brokers))]}
        beside = self.beside(*leaving)
        standing = await quorum.voters(beside)
        self._voters = None
        for voter in seats.keys() - {each.node_id for each in standing}:
            if seats[voter].ready:
                self.log.info("%s: %s", seats[voter], await quorum.join(seats[voter], voter, self.beside(seats[voter])))
        for each in standing:
            if each.node_id not in seats:
                await quorum.part(each, beside)
        self._voters = None

    # -- brokers come and leave -------------------------------------------------------------------------------------

    async def spread(self, came: tuple[Member, ...], why: Operation) -> None:
        """Replicas move until all brokers have as many; called off, what moves stays where it was."""
        await self._seat()
        await self._unregister()
        ready = self.ready_ids()
        try:
            await self._moving.carry_out(lambda found: moves.evened(found, ready, self._zones()), "spread")
        except asyncio.CancelledError:
            await self._moving.call_off()
            raise

    async def may_scale_in(self, broker: Member, why: Operation) -> Verdict:
        """While those that stay have room for all replicas, and are enough for them and for a majority."""
        staying = self._staying(broker, why)
        if len(staying) < config.FOUNDERS:
            return decline(f"{len(staying)} brokers would be left: the quorum needs {config.FOUNDERS} to spare one")
        partitions = await self.partitions()
        if many := moves.too_many_replicas(await self._moving.arrived(partitions), len(staying)):
            said = ", ".join(f"{topic} has {copies} replicas" for topic, copies in sorted(many.items())[:WAYS_MAX])
            return decline(f"{said}, and {len(staying)} brokers would be left")
        if behind := out_of_sync(partitions):
            return defer(f"{counted(behind)} not in sync ({named(behind)})", retry_after=5)
        wanted = moves.away(partitions, {node_id(broker), *map(_id_of, why.leaving)}, staying, self._zones())
        sizes, limit = await self._moving.sizes(self.ready_ids()), int((self.options.disk_mib << 20) * FILLED_MAX)
        if full := moves.without_room(wanted, sizes, limit):
            said = ", ".join(f"broker-{each - 1} {size >> 20} MiB" for each, size in sorted(full.items()))
            return decline(f"no room: with what {broker} has, {said} of {self.options.disk_mib} MiB of disk each")
        return accept()

    async def leave(self, broker: Member | None, why: Operation) -> None:
        """Its replicas go to those that stay; it ends once nothing of them is left on it, and it has no vote."""
        if broker is None or why.kind != "scale_in":
            await super().leave(broker, why)
            return
        own, staying = node_id(broker), self._staying(broker, why)
        await self._moving.carry_out(lambda found: moves.away(found, {own}, staying, self._zones()), f"{broker} leaves")
        while there := (await self._moving.sizes([own])).get(own):
            self.progress(f"{broker} leaves: {len(there)} replicas are being deleted there")
            await asyncio.sleep(LEFT_S)
        await self._seat(broker)
        await self.state.update(GONE, lambda known: sorted({*(known or ()), own}))

    async def stay(self, broker: Member, why: Operation) -> None:
        """What moves stays, what has moved comes back, and it has its vote again."""
        await self._moving.call_off()
        await self.spread((broker,), why)

    async def on_told(self, told: Told) -> None:
        if told.operation.kind == "scale_in" and told.what == "done":
            await self._unregister()

    async def _unregister(self) -> None:
        """Kafka forgets those that have left; one that came again has its registration anew."""
        present = {node_id(member) for member in self.members.values()}
        gone = await self.state.get(GONE, [])
        for each in set(gone) - present:
            await self.beside().run(config.unregister_command(each), timeout_s=60.0)
        if gone:
            await self.state.update(GONE, lambda known: [each for each in known or () if each not in gone])

    def _staying(self, broker: Member, why: Operation) -> list[int]:
        """Who is left when this one and all that leave with it are gone."""
        leaving = {broker.name, *why.leaving}
        wanted = range(1, self.options.brokers + 1)
        return [each for each in wanted if f"broker-{each - 1}" not in leaving]

    def ready_ids(self) -> list[int]:
        return [node_id(member) for member in self.members.values() if member.ready]

    def _zones(self) -> dict[int, str]:
        return {node_id(member): member.zone for member in self.members.values()}

    # -- recovery ---------------------------------------------------------------------------------------------------

    async def after_ready(self, broker: Member) -> None:
        """A broker that was replaced or came later fills its replicas by itself, but it has no vote until it is given
        one. What was changed while it ran stands in its file now."""
        self._losses.back(broker)
        if present := await self.overrides(broker):
            wanted, file = self._settings_of(broker), await self._file_of(broker)
            await self._tune(broker, live.forgotten(present, wanted, file, self._usual()), file)
        if _founded(broker) or node_id(broker) > quorum.seats(self.options.brokers) or not self.members.without(broker):
            return
        beside = self.beside(broker)
        self.log.info("%s: %s", broker.name, await quorum.join(broker, node_id(broker), beside))
        self._voters = None

    # -- replicas ---------------------------------------------------------------------------------------------------

    def _raise_beside(self, wanted: dict[str, int]) -> None:
        """Beside the answer, which is given again when it is done."""
        if self._raising is None or self._raising.done():
            self._raising = asyncio.create_task(self._raise_all(wanted))

    async def _raise_all(self, wanted: dict[str, int]) -> None:
        for topic, copies in wanted.items():
            try:
                await self._more_copies(topic, copies)
            except Exception as error:
                self.log.warning("%s keeps its replicas: %s", topic, error or type(error).__name__)

    async def _more_copies(self, topic: str, copies: int) -> int:
        """Of how many partitions; returns when the new replicas are in sync."""
        ready = [member for member in self.members.of("broker") if member.ready]
        if copies > len(ready):
            raise Conflict(f"{copies} replicas on {len(ready)} brokers that are ready", where="replicas")
        found = await self._partitions_of(topic)
        wanted = with_more_copies(found, (node_id(member) for member in ready), copies)
        if not wanted:
            return 0
        await ready[0].run(config.reassign_command(), input=json.dumps(reassignment(wanted)), timeout_s=60.0)
        while not await self._has(topic, copies):  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(COPY_LOOK_S)
        return len(wanted)

    async def _partitions_of(self, topic: str) -> list[Partition]:
        """A topic that was just made is not known to every broker yet."""
        deadline = time.monotonic() + NEW_TOPIC_S
        while not (found := [each for each in await self.partitions() if each.topic == topic]):
            if time.monotonic() > deadline:
                raise NotFound(f"no topic {topic!r}")
            await asyncio.sleep(COPY_LOOK_S)
        return found

    async def _has(self, topic: str, copies: int) -> bool:
        """Whether every partition has so many replicas, all in sync."""
        found = [each for each in await self.partitions() if each.topic == topic]
        return all(len(each.replicas) >= copies and len(each.in_sync) == len(each.replicas) for each in found)

    # -- what a person asks -----------------------------------------------------------------------------------------

    @action
    async def create_topic(
        self,
        name: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$"),
        partitions: int = Field(3, ge=1, le=1000),
        replication: int = Field(0, ge=0, le=9, description="0: three, or as many as there are brokers"),
        config: TopicSettings = Field(
            default={},
            description="the topic's own settings; without retention.bytes a partition keeps at most a sixteenth of a"
            " broker's disk_mib",
        ),
        unchecked_config: dict[str, Value] = Field(
            default={}, description="settings of the topic that this version of Kafka does not know"
        ),
    ) -> dict[str, Any]:
        """Creates a topic; one that exists is left as it is."""
        copies = replication or min(3, self.options.brokers)
        if copies > self.options.brokers:
            raise Conflict(f"{copies} replicas on {self.options.brokers} brokers", where="replication")
        given = as_texts({**config, **unchecked_config})
        created = await self.ask(lambda admin: admin.create_topic(name, partitions, copies, given))
        return {"topic": name, "partitions": partitions, "replication": copies, "created": created}

    @action(timeout_s=3600.0)
    async def change_topic(
        self,
        name: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$"),
        partitions: int = Field(0, ge=0, le=1000, description="more than it has; 0: as it has"),
        replication: int = Field(0, ge=0, le=9, description="at least; 0: as it has"),
        config: TopicSettings = Field(default={}),
        unchecked_config: dict[str, Value] = Field(default={}),
    ) -> dict[str, Any]:
        """Gives a topic more partitions, more replicas, or other settings; what is not named stays."""
        given = as_texts({**config, **unchecked_config})
        await self.ask(lambda admin: admin.change_topic(name, partitions, given))
        if replication:
            await self._more_copies(name, replication)
        return {"topic": name, "partitions": partitions, "replication": replication, "config": given}

    @action(timeout_s=3600.0)
    async def raise_replication(
        self, topic: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$"), replicas: int = Field(3, ge=2, le=9)
    ) -> dict[str, Any]:
        """Gives the partitions of a topic more replicas, on the brokers that have the fewest, and waits until they are
        in sync."""
        return {"topic": topic, "replication": replicas, "changed": await self._more_copies(topic, replicas)}

    @action
    async def delete_topic(self, name: str) -> dict[str, Any]:
        """Deletes a topic with all that is in it."""
        await self.ask(lambda admin: admin.delete_topic(name))
        return {"topic": name, "deleted": True}

    @action
    async def topics(
        self, settings: bool = Field(False, description="with what was set of each itself")
    ) -> list[dict[str, Any]]:
        """All topics, with how many of their partitions are not fully in sync."""
        return await self.ask(lambda admin: admin.topics(settings=settings))

    @action
    async def voters(self) -> list[dict[str, Any]]:
        """The controllers that vote."""
        found = await quorum.voters(self.beside())
        return [{"node_id": each.node_id, "directory_id": each.directory_id} for each in found]

    @action
    async def features(self) -> dict[str, str]:
        """The level of each feature: up to which version what is written can be read."""
        return await features.levels(self.beside())

    async def ask(self, question: "Callable[[Admin], T]") -> T:
        """Asks the brokers that are ready, in a thread of this service; the connection is kept."""
        from upcall.catalog.kafka.admin import Admin

        servers = ",".join(member.at("client") for member in self.members.values() if member.ready)
        if not servers:
            raise NotNow("no broker is ready", where=self.name)
        if self._admin is None or self._admin.servers != servers:
            found = None if self.options.client_auth == "none" else await self.credentials(self.endpoints()[1])
            self._admin = Admin(servers, (found.user, found.password) if found else None)
        admin: Admin = self._admin
        return await self.blocking(question, admin)


def node_id(member: Member) -> int:
    """Kafka counts from 1; a member keeps its id at every place, also while it leaves and is in no pod any more."""
    return _id_of(member.name)


def _id_of(name: str) -> int:
    return int(name.rpartition("-")[2]) + 1


def _founded(broker: Member) -> bool:
    """It has been a voter from the first day."""
    return node_id(broker) <= config.FOUNDERS and broker.role == "founding" and broker.place == 1
