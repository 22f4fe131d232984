"""Kafka in a test: where its clients connect and as whom, and topics of the test's own."""

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from upcall.catalog.kafka.config import MECHANISM, SCRAM, client_settings
from upcall.protocol.errors import Conflict, Invalid
from upcall.pytest.asked import Small
from upcall.pytest.service import Login, Service
from upcall.pytest.use import Use

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

SMALL: Final = Small("kafka", "brokers", {"brokers": 1})
TIMEOUT_S: Final = 60.0
LOOK_S: Final = 0.002
"""Nobody tells a client of a new topic, and a test waits for it."""
TRY_S: Final = 5.0
"""A client that has just come may wait for news of the controller until its request is over; the next one has them."""
REPLICAS_USUAL: Final = 3
PREFIX: Final = "test-"
QUIET: Final = {"log_level": 2}
"""A broker that a test kills is no news on its standard error."""

_asked: "dict[tuple[str, str], tuple[str, Login | None]]" = {}
"""By folder and service: the servers, and whom clients log in as."""
_admins: dict[tuple[str, str], "AdminClient"] = {}
"""By servers and user: a connection is made once in a process, so the next test finds it."""


class Kafka(Service):
    """A fresh part of the run's Kafka."""

    size = "brokers"
    member_kind = "broker"

    @property
    def bootstrap_servers(self) -> str:
        return self._known[0]

    @property
    def _login(self) -> tuple[str, str] | None:
        return self._known[1]

    @property
    def _known(self) -> "tuple[str, Login | None]":
        """Asked once in a process: brokers come back where they were."""
        key = (str(self.cluster.folder), self.name)
        if key not in _asked:
            _asked[key] = (",".join(self.addresses("client")), self.login("client"))
        return _asked[key]

    @cached_property
    def prefix(self) -> str:
        """Of this test's topics, and of its consumer groups where one is named so."""
        return f"{PREFIX}{self.test}-"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Of a client built on librdkafka: ``Producer(kafka.settings(acks="all"))``; a name with dots is given with
        underscores: ``group_id``."""
        found: dict[str, Any] = dict(client_settings(self.bootstrap_servers, self._login))
        return {**found, **QUIET, **{name.replace("_", "."): value for name, value in more.items()}}

    def java_properties(self) -> dict[str, str]:
        """Of a client of Java's: Kafka's own, or Spark's source with ``kafka.`` before each name."""
        found = {"bootstrap.servers": self.bootstrap_servers}
        if self._login is None:
            return found
        user, password = self._login
        return {
            **found,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": MECHANISM,
            "sasl.jaas.config": f'{SCRAM} required username="{user}" password="{password}";',
        }

    def topic(
        self, name: str = "topic", *, partitions: int = 1, replicas: int = 0, config: dict[str, str] | None = None
    ) -> str:
        """A new topic, gone after the test; gives its whole name. ``replicas`` 0: three, or one for each broker."""
        from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

        whole = f"{self.prefix}{name}"
        copies = replicas or min(REPLICAS_USUAL, self.wanted.members)
        new = NewTopic(whole, num_partitions=partitions, replication_factor=copies, config=config or {})
        self._topics.append(whole)
        if said := created(self.admin, new):
            raise Invalid(f"topic {name!r}: {said}", where=self.name, expected="what the brokers take")
        self._until_led(whole, partitions)
        return whole

    def _until_led(self, topic: str, partitions: int) -> None:
        """The controller has it; a broker that serves clients hears of it a moment later, and leads it then."""
        until = time.monotonic() + TIMEOUT_S
        while time.monotonic() < until:
            found = self.admin.list_topics(timeout=TIMEOUT_S).topics.get(topic)
            led = [one for one in found.partitions.values() if one.leader >= 0] if found is not None else []
            if len(led) == partitions:
                return
            time.sleep(LOOK_S)
        raise Conflict(f"topic {topic} has no leaders within {TIMEOUT_S:g} s", where=self.name)

    @property
    def admin(self) -> "AdminClient":
        """A client for what a person does with topics and groups; one for all tests of this process."""
        from confluent_kafka.admin import AdminClient

        key = (self.bootstrap_servers, str(self._login))
        if key not in _admins:
            _admins[key] = AdminClient(self.settings())
        return _admins[key]

    @cached_property
    def _topics(self) -> list[str]:
        return []

    def undo(self) -> None:
        """What it made goes beside the next test: nobody waits for it."""
        try:
            if self._topics:
                self.admin.delete_topics(self._topics)
        finally:
            super().undo()

    def sweep(self, use: Use) -> None:
        """Topics of runs that were killed, on a cluster that was kept."""
        left = [name for name in self.admin.list_topics(timeout=TIMEOUT_S).topics if _is_left(name, use)]
        if left:
            for answer in self.admin.delete_topics(left, request_timeout=TIMEOUT_S).values():
                answer.exception(TIMEOUT_S)


def created(admin: "AdminClient", new: "NewTopic") -> str:
    """Why not; empty: it is there. What the brokers have not heard, or not answered, is said again."""
    from confluent_kafka import KafkaError, KafkaException

    unheard = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.REQUEST_TIMED_OUT)
    until = time.monotonic() + TIMEOUT_S
    again = False
    while True:
        (answer,) = admin.create_topics([new], request_timeout=TRY_S).values()
        try:
            answer.result(TIMEOUT_S)
        except KafkaException as error:
            code = error.args[0].code()
            if again and code == KafkaError.TOPIC_ALREADY_EXISTS:
                return ""
            if code not in unheard or time.monotonic() > until:
                return str(error.args[0].str())
            again = True
        else:
            return ""


def _is_left(topic: str, use: Use) -> bool:
    session = topic.removeprefix(PREFIX).partition("-")[0]
    return topic.startswith(PREFIX) and session != use.name and not use.is_alive(session)
