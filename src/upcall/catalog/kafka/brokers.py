"""The brokers as they are deployed, and how they are asked."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from upcall.catalog.carrying import Carries
from upcall.catalog.kafka import bounds, config, properties
from upcall.catalog.kafka.goals import KafkaGoals, options_for
from upcall.catalog.kafka.options import KafkaOptions
from upcall.catalog.kafka.partitions import Partition
from upcall.catalog.kafka.settings import as_texts, facts
from upcall.catalog.kafka.sizing import size_broker
from upcall.catalog.kafka.task import broker_task, makes
from upcall.catalog.known import own
from upcall.catalog.logins import LogsIn
from upcall.protocol.declaration import Declaration, Resources
from upcall.protocol.errors import NotNow
from upcall.protocol.training import Compiled, Training
from upcall.service import Derived, Endpoint, Machine, Member, Pod, Policy

if TYPE_CHECKING:
    from upcall.catalog.kafka.admin import Admin

T = TypeVar("T")
CLUSTER_ID = "cluster-id"
SERVERS = f"bootstrap servers, {config.MECHANISM}"


class Brokers(LogsIn, Carries):
    """What all that an expert knows of Kafka stands on."""

    Goals = KafkaGoals
    options: KafkaOptions
    cluster_id = ""
    _admin: Any = None

    async def on_start(self) -> None:
        """The cluster's id is made once and kept: volumes that are taken back belong to it."""
        self.cluster_id = await self.state.update(CLUSTER_ID, lambda known: known or config.new_cluster_id())

    def from_goals(self, goals: KafkaGoals, machine: Machine) -> Mapping[str, Derived]:
        return options_for(goals, self.options, machine)

    def cannot_carry(self, options: KafkaOptions) -> str:
        """What of these a broker has no memory for, and what would be needed; empty: it has."""
        sizing = size_broker(options.memory_mib, self.cores, options.disk_mib)
        file = config.server_properties(
            node_id=1, members=("broker-0",), sizing=sizing, logins=self.asks_who, options=as_texts(own(options))
        )
        known = {name: part.get("default") for name, part in facts(self.version).broker.items()}
        values = {**known, **properties.parsed(file)}
        return bounds.objection(values, memory_mib=options.memory_mib, sizing=sizing, brokers=options.brokers)

    def pods(self) -> list[Pod]:
        self.refuse_what_it_cannot_carry()
        # All formatted members start together: one by one they would wait for a quorum that is not there yet.
        count, per_node = self.options.brokers, self.options.per_node
        endpoints = self.endpoints()
        pod = Pod("broker", count, task=self.broker, per_node=per_node, spread="zone", endpoints=endpoints)
        # Those that founded the quorum before still vote in it: with too few of them there is no quorum at all. A
        # majority has all that was ever agreed on, and gives the others their vote anew.
        return [self.takes_back_all(pod, "brokers", majority=True)]

    def endpoints(self) -> list[Endpoint]:
        """``client`` is for applications; ``admin`` for whoever runs the brokers: as him they talk to each other."""
        if not self.asks_who:
            return [Endpoint("client", description="bootstrap servers, nobody is asked who he is")]
        return [
            Endpoint("client", description=SERVERS, user="client", secret=self.own_secret("client")),
            Endpoint("admin", "client", description=SERVERS, user="admin", secret=self.own_secret("admin")),
        ]

    def broker(self, member: Member) -> Declaration:
        options, names = self.options, self.pod("broker").member_names
        # At a new place the volume is empty, and one that comes later finds others that have data: both join the quorum
        # that exists (see after_ready). A lone broker has none to join, whatever was there before.
        founders = [each for each in self.members.of("broker") if node_id(each) <= config.FOUNDERS]
        founding = {node_id(each): each.name for each in founders if each.role != "joining"}
        joins = (member.replacing or node_id(member) not in founding) and len(names) > 1
        first = () if joins else config.voters(self.cluster_id, founding)
        return broker_task(
            node_id=node_id(member),
            members=names,
            format_volume=config.format_command(self.cluster_id, first),
            resources=Resources(cpus=options.cpus, memory_mib=options.memory_mib, disk_mib=options.disk_mib),
            cores=self.cores,
            storage=options.storage,
            logins=self.logins(config.SECRET_FORM),
            rack=config.NODE if self.options.per_node > 1 else config.ZONE,
            options=as_texts(own(options)),
            artifacts=self.artifacts(),
        )

    @classmethod
    def makes(cls) -> tuple[Training | Compiled, ...]:
        return makes()

    def policy(self) -> Policy:
        """Below every answer: a zone may go, while the controllers keep their majority."""
        usual = self.spares_a_zone("broker")
        brokers = self.options.brokers
        return replace(usual, minimum=max(usual.minimum, brokers // 2 + 1 if brokers > 1 else 0))

    async def partitions(self) -> list[Partition]:
        return await self.ask(lambda admin: admin.partitions())

    async def ask(self, question: "Callable[[Admin], T]") -> T:
        """Asks the brokers that are ready, in a thread of this service; the connection is kept."""
        from upcall.catalog.kafka.admin import Admin

        servers = ",".join(member.at("client") for member in self.members.values() if member.ready)
        if not servers:
            raise NotNow("no broker is ready", where=self.name)
        if self._admin is None or self._admin.servers != servers:
            found = await self.own_login()
            self._admin = Admin(servers, (found.user, found.password) if found else None)
        admin: Admin = self._admin
        return await self.blocking(question, admin)

    async def ask_now(self, question: "Callable[[Admin], T]", copies: int = 0) -> T:
        """Asks the same way. What goes wrong because some of them are still coming is "not now", in words for people;
        ``copies``: of what is to be made."""
        from upcall.catalog.kafka.admin import passes

        try:
            return await self.ask(question)
        except Exception as error:
            few = len(self.ready_ids()) < copies
            if said := passes(error, few=few):
                raise NotNow(said, where=self.name, expected="its brokers to be ready") from error
            raise

    def beside(self, *without: Member) -> Member:
        """Beside whom Kafka's tools run."""
        others = [member for member in self.but(*without) if member.ready]
        found = next((member for member in others if member.back), others[0] if others else None)
        if found is None:
            raise NotNow("no other broker is ready" if without else "no broker is ready", where=self.name)
        return found

    def but(self, *without: Member) -> list[Member]:
        """All that are there, who leaves as well, but for these."""
        names = {member.name for member in without}
        return [member for member in self.members.values() if member.name not in names]

    def ready_ids(self) -> list[int]:
        return [node_id(member) for member in self.members.values() if member.ready]

    def zones(self) -> dict[int, str]:
        """The racks: nodes, where several brokers share one."""
        nodes_are = self.options.per_node > 1
        return {node_id(member): member.node if nodes_are else member.zone for member in self.members.values()}

    def alive(self) -> set[int]:
        """Who votes now if it has a vote: a broker at a new place gets it in ``after_ready``."""
        return {node_id(member) for member in self.members.values() if member.ready and member.back}


def node_id(member: Member) -> int:
    """Kafka counts from 1; a member keeps its id at every place, also while it leaves and is in no pod any more."""
    return id_of(member.name)


def id_of(name: str) -> int:
    return int(name.rpartition("-")[2]) + 1


def founded(broker: Member) -> bool:
    """It has been a voter from the first day."""
    return node_id(broker) <= config.FOUNDERS and broker.role == "founding" and broker.place == 1
