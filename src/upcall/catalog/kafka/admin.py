"""What is asked of a running cluster: its partitions and topics. Blocking; run beside the loop."""

import time
from collections.abc import Iterable, Mapping, Set
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

from confluent_kafka import ElectionType, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from upcall.catalog.kafka import live, reading
from upcall.catalog.kafka.config import client_settings
from upcall.catalog.kafka.health import Served
from upcall.catalog.kafka.moves import Targets
from upcall.catalog.kafka.partitions import Cost, Partition, cost_of_stopping, out_of_sync
from upcall.protocol.errors import Conflict, Invalid, NotFound, NotNow

TIMEOUT_S: Final = 6.0
"""Below the deadline of an answer."""
CHANGE_S: Final = 60.0
"""What a person changes of topics is waited for longer: brokers that are busy do it all the same."""
CONFIGS_AT_ONCE: Final = 200
TAKES_OVER_S: Final = 10.0
"""So long a broker may take until it works with what it was told."""
BLAMED_MAX: Final = 5
"""So many settings that were refused are told with their values."""
WRONG: Final = (KafkaError.INVALID_REQUEST, KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION)
PASSES: Final = (
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.NOT_CONTROLLER,
    KafkaError.REQUEST_TIMED_OUT,
)
"""Brokers that are coming, or have no controller for a moment."""
SET: Final = AlterConfigOpType.SET
PATIENT: Final = {"request_timeout": CHANGE_S, "operation_timeout": CHANGE_S}
RATES: Final = ("leader.replication.throttled.rate", "follower.replication.throttled.rate")
THROTTLED: Final = ("leader.replication.throttled.replicas", "follower.replication.throttled.replicas")
MINIMUM_FOR_S: Final = 60.0
"""So long a topic's ``min.insync.replicas`` counts as known; a person may change it by other tools."""


class _Told(NamedTuple):
    value: int
    at_s: float


class Admin:
    """Blocking questions to a cluster; run beside the loop."""

    def __init__(self, servers: str, login: tuple[str, str] | None = None) -> None:
        """``login``: user and password, of the brokers' own user."""
        self.servers = servers
        self._minimums: dict[str, _Told] = {}
        self._heard_of: set[int] = set()
        """Brokers that the client knows an address of."""
        self.connection = client_settings(servers, login)
        """For other clients of the same cluster."""
        self.client = AdminClient(
            {
                **self.connection,
                "client.id": "upcall",
                "socket.timeout.ms": int(TIMEOUT_S * 1000),
                "log_level": 2,  # that a broker is away is said by us; the client says it once a second
            }
        )

    def partitions(self) -> list[Partition]:
        found = self.client.list_topics(timeout=TIMEOUT_S)
        return [
            Partition(str(topic.topic), number, tuple(each.replicas), tuple(each.isrs))
            for topic in found.topics.values()
            for number, each in topic.partitions.items()
        ]

    def read(self) -> tuple[int, int]:
        return reading.read(self.client)

    def served(self) -> Served:
        """Who is let in, and of each partition who leads it."""
        found = self.client.list_topics(timeout=TIMEOUT_S)
        leads = {
            Partition(str(topic.topic), number, tuple(each.replicas), tuple(each.isrs)): each.leader
            for topic in found.topics.values()
            for number, each in topic.partitions.items()
        }
        few = self.minimums(each.topic for each in leads if len(each.in_sync) < len(each.replicas))
        return Served(leads, frozenset(found.brokers), few)

    def minimums(self, topics: Iterable[str]) -> dict[str, int]:
        """``min.insync.replicas`` of each topic. What was told lately is not asked again: it seldom changes, and a
        cluster may have thousands of topics. All that is unknown is asked at once."""
        now_s = time.monotonic()
        wanted = set(topics)
        fresh = {name: told for name, told in self._minimums.items() if now_s - told.at_s < MINIMUM_FOR_S}
        unknown = sorted(wanted - fresh.keys())
        waiting = [
            answer
            for start in range(0, len(unknown), CONFIGS_AT_ONCE)
            for answer in self.client.describe_configs(
                [ConfigResource(ResourceType.TOPIC, name) for name in unknown[start : start + CONFIGS_AT_ONCE]],
                request_timeout=TIMEOUT_S,
            ).items()
        ]
        for resource, answer in waiting:
            value = int(answer.result(TIMEOUT_S)["min.insync.replicas"].value)
            fresh[resource.name] = _Told(value, now_s)
        self._minimums = fresh
        return {name: fresh[name].value for name in wanted if name in fresh}

    def settings(self, broker: int) -> dict[str, Any]:
        """What a broker works with: its settings by name, each with its value and where that is from."""
        self._look_for(broker)
        resource = ConfigResource(ResourceType.BROKER, str(broker))
        (answer,) = self.client.describe_configs([resource], request_timeout=TIMEOUT_S).values()
        try:
            return dict(answer.result(TIMEOUT_S))
        except TimeoutError:
            self._heard_of.discard(broker)
            raise

    def _look_for(self, broker: int) -> None:
        """What is asked of one broker waits until the client has heard of it, and the client asks nobody for it: one
        that had just started when the others were asked would not be known for minutes."""
        if broker in self._heard_of:
            return
        self._heard_of = set(self.client.list_topics(timeout=TIMEOUT_S).brokers)
        if broker not in self._heard_of:
            raise NotNow(f"the others have not heard of broker {broker} yet", where=self.servers)

    def overrides(self, broker: int) -> dict[str, str]:
        """What wins over the broker's file."""
        own = ConfigSource.DYNAMIC_BROKER_CONFIG.value
        return {name: entry.value or "" for name, entry in self.settings(broker).items() if entry.source == own}

    def tune(self, broker: int, given: Mapping[str, str | None], without: Mapping[str, str | None]) -> None:
        """Gives a broker overrides, or takes them away (None); returns once it works with that. ``without``: the values
        that it has without them. ``Invalid`` where it does not take one: then it has what it had, but for numbers of
        threads, which it takes in steps."""
        now = {name: entry.value for name, entry in self.settings(broker).items()}
        for told in live.rounds(given, now, without):
            self._override(broker, told)
            self._until(broker, {name: without[name] if value is None else value for name, value in told.items()})

    def _override(self, broker: int, told: Mapping[str, str | None]) -> None:
        try:
            self._alter(ResourceType.BROKER, str(broker), told)
        except KafkaException as error:
            if error.args[0].code() not in WRONG:
                raise
            said = error.args[0].str()
            names = live.blamed(told, said)
            values = ", ".join(f"{name}={told[name]}" for name in names[:BLAMED_MAX])
            more = f" and {len(names) - BLAMED_MAX} more" if len(names) > BLAMED_MAX else ""
            where = f"settings.{names[0]}" if len(names) == 1 else "settings"
            raise Invalid(f"broker {broker} refuses {values}{more}: {said}", where=where) from error

    def _alter(self, of: ResourceType, name: str, changes: Mapping[str, str | None]) -> None:
        """None: it has no value of its own any more."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.DELETE if value is None else SET)
            for key, value in changes.items()
        ]
        resource = ConfigResource(of, name, incremental_configs=entries)
        (answer,) = self.client.incremental_alter_configs([resource], request_timeout=TIMEOUT_S).values()
        answer.result(TIMEOUT_S)

    def throttle(self, wanted: Targets, rate: int, brokers: Iterable[int]) -> None:
        """What these moves send and take, in bytes a second of each broker; nothing else waits for it."""
        for broker in brokers:
            self._alter(ResourceType.BROKER, str(broker), dict.fromkeys(RATES, str(rate)))
        self.throttle_only(wanted, {each.topic for each in wanted})

    def throttle_only(self, left: Targets, topics: Iterable[str]) -> None:
        """Of all that moves in these topics only what is not there yet. A replica that is in sync and throttled all the
        same fetches nothing while others use the rate up, and every write waits for it."""
        there = self.client.list_topics(timeout=TIMEOUT_S).topics
        for topic in set(topics) & there.keys():
            parts = [each for each in left if each.topic == topic]
            sends = [f"{each.number}:{broker}" for each in parts for broker in each.replicas]
            takes = [f"{each.number}:{broker}" for each in parts for broker in {*left[each]} - {*each.replicas}]
            told = dict(zip(THROTTLED, (",".join(sends) or None, ",".join(takes) or None), strict=True))
            self._alter(ResourceType.TOPIC, topic, told)

    def lead_by_the_first(self, wanted: Targets) -> None:
        """Of each partition leads who is first in its list, where it does not yet."""
        parts = [TopicPartition(each.topic, each.number) for each in wanted]
        # Without a timeout of its own: the binding fails on every keyword of this call.
        self.client.elect_leaders(ElectionType.PREFERRED, parts).result(TIMEOUT_S * 2)

    def unthrottle(self, topics: Iterable[str], brokers: Iterable[int]) -> None:
        self.throttle_only({}, topics)
        for broker in brokers:
            self._alter(ResourceType.BROKER, str(broker), dict.fromkeys(RATES))

    def _until(self, broker: int, values: Mapping[str, str | None]) -> None:
        until = time.monotonic() + TAKES_OVER_S
        while True:
            found = self.settings(broker)
            name = next((name for name, value in values.items() if not live.same(found[name].value, value)), None)
            if name is None:
                return
            if time.monotonic() > until:
                said = f"broker {broker} works with {name}={found[name].value}, {values[name]} is asked"
                raise NotNow(said, where=f"settings.{name}")
            time.sleep(TAKES_OVER_S / 100)

    def cost_of_stopping(self, without: Set[int]) -> Cost:
        partitions = self.partitions()
        # Only a partition that one of the brokers is in sync in can be hurt by their stop.
        minimums = self.minimums(each.topic for each in partitions if not without.isdisjoint(each.in_sync))
        return cost_of_stopping(partitions, lambda topic: minimums.get(topic, 1), without)

    def create_topic(self, name: str, partitions: int, replication: int, config: dict[str, str]) -> bool:
        """False when it exists already."""
        self._minimums.pop(name, None)
        if name in self.client.list_topics(timeout=TIMEOUT_S).topics:
            return False
        topic = NewTopic(name, num_partitions=partitions, replication_factor=replication, config=config)
        try:
            _until_done(self.client.create_topics([topic], **PATIENT)[name])
        except KafkaException as error:
            # A broker that has not heard of it yet said that it is not there.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            return False
        return True

    def change_topic(self, name: str, partitions: int, config: dict[str, str]) -> None:
        """More partitions, and settings of its own; what is not named stays."""
        self._minimums.pop(name, None)
        has = sum(each.topic == name for each in self.partitions())
        if not has:
            raise NotFound(f"no topic {name!r}")
        if partitions and partitions < has:
            raise Conflict(f"{name} has {has} partitions, and they never become fewer", where="partitions")
        if partitions > has:
            _until_done(self.client.create_partitions([NewPartitions(name, partitions)], **PATIENT)[name])
        if config:
            self._alter(ResourceType.TOPIC, name, config)

    def set_topic(self, name: str, settings: Mapping[str, str | None]) -> None:
        """What is None has no value of its own any more."""
        self._minimums.pop(name, None)
        self._alter(ResourceType.TOPIC, name, settings)

    def own_settings(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """What was set of each topic itself."""
        wanted = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        found = self.client.describe_configs(wanted, request_timeout=TIMEOUT_S) if wanted else {}
        return {
            resource.name: {
                key: str(entry.value)
                for key, entry in answer.result(TIMEOUT_S).items()
                if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
            }
            for resource, answer in found.items()
        }

    def delete_topic(self, name: str) -> None:
        self._minimums.pop(name, None)
        _until_done(self.client.delete_topics([name], **PATIENT)[name])

    def topics(self, *, settings: bool = False) -> list[dict[str, Any]]:
        grouped: dict[str, list[Partition]] = {}
        for each in self.partitions():
            grouped.setdefault(each.topic, []).append(each)
        # Those of Kafka itself are nobody's to state.
        own = self.own_settings(name for name in grouped if not name.startswith("__")) if settings else {}
        return [
            {
                "topic": topic,
                "partitions": len(found),
                "replication": max(len(each.replicas) for each in found),
                "out_of_sync": len(out_of_sync(found)),
                **({"config": own[topic]} if settings else {}),
            }
            for topic, found in sorted(grouped.items())
            if not settings or topic in own
        ]


def passes(error: BaseException, *, few: bool) -> str:
    """Why it was not done, if that passes by itself; else empty. ``few``: fewer brokers are ready than are needed."""
    if isinstance(error, TimeoutError):
        return f"no broker answered within {TIMEOUT_S:g} s"
    if not isinstance(error, KafkaException):
        return ""
    code = error.args[0].code()
    too_few = few and code == KafkaError.INVALID_REPLICATION_FACTOR
    return str(error.args[0].str()) if too_few or code in PASSES else ""


def _until_done(answer: Future[None]) -> None:
    """Raises :class:`NotNow` where Kafka does not say that it is done: it may be all the same, a moment later."""
    try:
        answer.result(CHANGE_S + TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        if isinstance(error, KafkaException) and error.args[0].code() != KafkaError._TIMED_OUT:
            raise
        raise NotNow(f"Kafka did not say within {CHANGE_S:g} s that it is done; it may be all the same") from error
