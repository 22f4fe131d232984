"""Applications that want each of their records to stand in a topic once, and write down what their client told them.

A client of Kafka gives a record up when it was not acknowledged in time. It cannot know then whether the record stands
in the log. An application that must not lose it sends it again, as another *attempt*, and it may stand there twice.
Which attempt a record is from stands in the record, so that what is read back says whose doing it was.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

RATE_HZ: Final = 50
AT_ONCE: Final = 5
"""Records of a transaction."""
WAIT_S: Final = 900.0
"""A condition, not a speed."""
ASK_S: Final = 30.0
PAYLOAD: Final = b"x" * 500
NUMBER_BYTES: Final = 8
ATTEMPT_BYTES: Final = 4


class Attempt(NamedTuple):
    number: int
    attempt: int
    """1: the first."""


class Place(NamedTuple):
    partition: int
    offset: int


@dataclass
class Application:
    """Sends records at a steady rate for as long as its ``with`` lasts, and then until each was acknowledged."""

    client: Mapping[str, str]
    topic: str
    timeout_s: float
    """After which its client gives a record up (``delivery.timeout.ms``)."""
    in_flight: int = 5
    """Requests at once of a connection. With more than one librdkafka may begin another epoch where leaders move: what
    follows a request that failed comes out of order (its issue 4953)."""
    due: int = 0
    acknowledged: dict[int, int] = field(default_factory=dict)
    """Number of a record -> the attempt that was acknowledged."""
    given_up: dict[Attempt, str] = field(default_factory=dict)
    """Of these the client said that they failed, and how."""
    errors: Counter[str] = field(default_factory=Counter)
    """What else its client said."""
    _again: deque[Attempt] = field(default_factory=deque)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="application", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        assert self._thread is not None
        self._thread.join(2 * WAIT_S)
        assert not self._thread.is_alive(), f"{self.due - len(self.acknowledged)} of {self.due} are not acknowledged"

    def until(self, what: str, look: Callable[[], bool]) -> None:
        """Also while there is nobody to be asked."""
        end = time.monotonic() + WAIT_S
        while not look():
            said = f"{len(self.acknowledged)} of {self.due} acknowledged, {len(self.given_up)} given up, {self.errors}"
            assert time.monotonic() < end, f"not within {WAIT_S:g} s: {what}; {said}"
            time.sleep(1 / RATE_HZ)

    def until_acknowledged(self, count: int) -> None:
        self.until(f"{count} records are acknowledged", lambda: len(self.acknowledged) >= count)

    def settings(self) -> dict[str, Any]:
        return {
            **self.client,
            "acks": "all",
            "enable.idempotence": True,
            "delivery.timeout.ms": round(self.timeout_s * 1000),
            "max.in.flight.requests.per.connection": self.in_flight,
            "linger.ms": 5,
            "log_level": 2,
        }

    def _run(self) -> None:
        producer = Producer(self.settings())
        began = time.monotonic()
        while not self._stopping.is_set() or len(self.acknowledged) < self.due:
            try:
                while self._again:
                    self._send(producer, self._again[0])
                    self._again.popleft()
                if not self._stopping.is_set() and began + self.due / RATE_HZ <= time.monotonic():
                    self._send(producer, Attempt(self.due, 1))
                    self.due += 1
                producer.poll(1 / RATE_HZ)
            except KafkaException as error:
                # An idempotent producer that cannot go on says so, and fails all that it still had.
                self.errors[error.args[0].name()] += 1
                producer.flush(self.timeout_s)
                producer = Producer(self.settings())

    def _send(self, producer: Producer, one: Attempt) -> None:
        def told(error: KafkaError | None, _: Message) -> None:
            if error is None:
                self.acknowledged[one.number] = one.attempt
            else:
                self.given_up[one] = error.name()
                self._again.append(Attempt(one.number, one.attempt + 1))

        producer.produce(self.topic, value_of(one), key_of(one), on_delivery=told)


class InTransactions(Application):
    """The same, a few records at a time: they stand there together, or not at all to who reads what is committed."""

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "transactional.id": self.topic, "transaction.timeout.ms": round(WAIT_S * 1000)}

    def _run(self) -> None:
        producer = self._begun()
        began = time.monotonic()
        while not self._stopping.is_set():
            if began + (self.due + AT_ONCE) / RATE_HZ > time.monotonic():
                time.sleep(1 / RATE_HZ)
                continue
            numbers = range(self.due, self.due + AT_ONCE)
            self.due += AT_ONCE
            attempt = 1
            while not self._commits(producer, [Attempt(number, attempt) for number in numbers]):
                if not self._aborts(producer):
                    producer = self._begun()
                attempt += 1
            self.acknowledged |= dict.fromkeys(numbers, attempt)

    def _begun(self) -> Producer:
        """Whatever an earlier one of this name left open is over then."""
        producer = Producer(self.settings())
        self._until_said(lambda: producer.init_transactions(ASK_S))
        return producer

    def _commits(self, producer: Producer, records: list[Attempt]) -> bool:
        try:
            producer.begin_transaction()
            for one in records:
                producer.produce(self.topic, value_of(one), key_of(one))
            self._until_said(lambda: producer.commit_transaction(ASK_S))
        except KafkaException as error:
            self.given_up |= dict.fromkeys(records, error.args[0].name())
            return False
        return True

    def _aborts(self, producer: Producer) -> bool:
        """False: this producer cannot go on."""
        try:
            self._until_said(lambda: producer.abort_transaction(ASK_S))
        except KafkaException as error:
            self.errors[error.args[0].name()] += 1
            return False
        return True

    def _until_said(self, ask: Callable[[], object]) -> None:
        """What its client calls retriable has no end yet: it is asked for the same again."""
        until = time.monotonic() + WAIT_S
        while True:
            try:
                ask()
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > until:
                    raise
                self.errors[error.args[0].name()] += 1
                continue
            return


def key_of(one: Attempt) -> bytes:
    return one.number.to_bytes(NUMBER_BYTES, "big")


def value_of(one: Attempt) -> bytes:
    return one.attempt.to_bytes(ATTEMPT_BYTES, "big") + PAYLOAD


def read_committed(client: Mapping[str, str], topic: str) -> dict[int, list[tuple[int, Place]]]:
    """Number of a record -> of each time that it stands there, from which attempt, and where."""
    consumer = Consumer(
        {
            **client,
            "group.id": "read-committed",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "log_level": 2,
        }
    )
    found: dict[int, list[tuple[int, Place]]] = {}
    try:
        left = set(consumer.list_topics(topic, timeout=WAIT_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in left])
        until = time.monotonic() + WAIT_S
        while left:
            assert time.monotonic() < until, f"partitions {sorted(left)} of {topic} were not read"
            for message in consumer.consume(1000, timeout=1.0):
                partition: Any = message.partition()
                offset: Any = message.offset()
                if (error := message.error()) is None:
                    attempt = int.from_bytes((message.value() or b"")[:ATTEMPT_BYTES], "big")
                    number = int.from_bytes(message.key() or b"", "big")
                    found.setdefault(number, []).append((attempt, Place(partition, offset)))
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(partition)
        return found
    finally:
        consumer.close()
