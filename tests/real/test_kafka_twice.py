"""What stands twice on a real Kafka of three that goes down and comes back, and by whose doing.

Three clients see the same: one that gives a write up before brokers are back, one that waits, one that writes in
transactions. What was acknowledged to them survives, and brokers take nothing twice from one epoch of a producer. But a
client that has given up any write begins another epoch, for its numbers have a gap, and in it sends again whatever it
had no answer to, and its application sends again what was given up. Brokers have no name for either. With several
requests under way librdkafka begins another epoch also where leaders move, seldom: 1 of 4,622 stood twice once.
"""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pytest
from kafka_attempts import RATE_HZ, Application, InTransactions, Place, read_committed
from kafka_batches import Origin, origins, taken_twice
from real_cluster import Cluster
from real_kafka import MAIN, all_in_sync, client
from real_members import WAIT_S, Begin, jvm_of, until_next_incarnation

pytestmark = [pytest.mark.real, pytest.mark.long]

BROKERS: Final = ("kafka.broker-0", "kafka.broker-1", "kafka.broker-2")
PARTITIONS: Final = 6
CLIENTS: Final = ("impatient", "patient", "in_transactions")
SHORT_S, LONG_S = 60.0, 3600.0
"""Of clients that wait shorter, and longer, than brokers are away."""
STEADY: Final = 5 * RATE_HZ
"""So many are acknowledged before something happens, and after it."""


@dataclass
class Found:
    sent: int
    acknowledged: int
    given_up: int
    """Attempts of which the client said that they failed: each was sent again."""
    given_up_with: list[str]
    lost: int
    twice: int
    twice_by_application: int
    """They stand there from two attempts."""
    twice_by_library: int
    """An attempt stands there from two epochs of its client's producer, which began anew and sent it again."""
    twice_by_brokers: int
    """An attempt stands there under the same number of the same epoch."""
    twice_never_given_up: int
    """Of those that stand there twice: the application never heard that they failed."""
    epochs: int
    """How often its client began to count anew, the first time too."""


@pytest.fixture(scope="module")
def kafka(begin: Begin) -> Cluster:
    cluster = begin("kafka", "--set", "brokers=3", nodes=3, memory_mib_per_node=512)
    cluster.until_ready(*BROKERS, wait_s=WAIT_S)
    return cluster


def until_whole(cluster: Cluster) -> None:
    cluster.until_ready(*BROKERS, wait_s=WAIT_S)
    cluster.until("all replicas in sync", lambda: all_in_sync(cluster), WAIT_S)


# -- what happens ---------------------------------------------------------------------------------------------------


def down_and_up(cluster: Cluster, impatient: Application) -> None:
    """Longer than who does not wait long waits."""
    cluster.down()
    cluster.until_no_process()
    before = len(impatient.given_up)
    impatient.until("its client gives writes up", lambda: len(impatient.given_up) > before)
    cluster.up()


def brokers_killed_at_once(cluster: Cluster, _: Application) -> None:
    before = [cluster.task(member) for member in BROKERS]
    for pid in [jvm_of(cluster, task, MAIN) for task in before]:
        os.kill(pid, signal.SIGKILL)
    for task in before:
        until_next_incarnation(cluster, task)


def everything_killed(cluster: Cluster, _: Application) -> None:
    cluster.kill_everything()
    cluster.up()


Happens = Callable[[Cluster, Application], None]


@dataclass
class Lived:
    """The same event as three clients saw it, each with a topic of its own."""

    impatient: Found
    patient: Found
    in_transactions: Found


def live(cluster: Cluster, happens: Happens) -> Lived:
    name = happens.__name__
    for kind in CLIENTS:
        cluster.upcall("service", "do", "kafka", "create-topic", f"name={name}.{kind}", f"partitions={PARTITIONS}")
    until_whole(cluster)
    known = client(cluster)
    with (
        Application(known, f"{name}.impatient", SHORT_S) as impatient,
        Application(known, f"{name}.patient", LONG_S, in_flight=1) as patient,
        InTransactions(known, f"{name}.in_transactions", SHORT_S) as in_transactions,
    ):
        writers = (impatient, patient, in_transactions)
        for one in writers:
            one.until_acknowledged(STEADY)
        happens(cluster, impatient)
        until_whole(cluster)
        for one in writers:
            one.until_acknowledged(one.due + STEADY)
    until_whole(cluster)
    found = [judged(cluster, one) for one in writers]
    for one, each in zip(writers, found, strict=True):
        print(f"{one.topic}: {json.dumps(asdict(each))}; {dict(one.errors)}")
    return Lived(*found)


def judged(cluster: Cluster, writes: Application) -> Found:
    stored = read_committed(client(cluster), writes.topic)
    parts = {number: origins(replica) for number, replica in replicas(cluster, writes.topic).items()}
    twice = {number: copies for number, copies in stored.items() if len(copies) > 1}
    again = {one.number for one in writes.given_up}
    epochs = {(origin.producer, origin.epoch) for part in parts.values() for origin in part.values()}
    return Found(
        sent=writes.due,
        acknowledged=len(writes.acknowledged),
        given_up=len(writes.given_up),
        given_up_with=sorted(set(writes.given_up.values())),
        lost=len(writes.acknowledged.keys() - stored.keys()),
        twice=len(twice),
        twice_by_application=sum(len({attempt for attempt, _ in copies}) > 1 for copies in twice.values()),
        twice_by_library=sum(was_sent_in_two_epochs(copies, parts) for copies in twice.values()),
        twice_by_brokers=sum(len(taken_twice(part)) for part in parts.values()),
        twice_never_given_up=len(twice.keys() - again),
        epochs=len(epochs),
    )


def was_sent_in_two_epochs(copies: list[tuple[int, Place]], parts: dict[int, dict[int, Origin]]) -> bool:
    """One of its attempts."""
    seen: dict[int, set[tuple[int, int]]] = {}
    for attempt, at in copies:
        origin = parts[at.partition][at.offset]
        seen.setdefault(attempt, set()).add((origin.producer, origin.epoch))
    return any(len(each) > 1 for each in seen.values())


def replicas(cluster: Cluster, topic: str) -> dict[int, Path]:
    """The folder of one replica of each partition. All are in sync, and nothing is written."""
    found = (cluster.data / "nodes").glob(f"*/volumes/kafka.broker-*/*/data/logs/{topic}-*")
    return {int(folder.name.rpartition("-")[2]): folder for folder in found}


# -- what is promised -----------------------------------------------------------------------------------------------


@pytest.fixture(
    scope="module", params=[down_and_up, brokers_killed_at_once, everything_killed], ids=lambda it: it.__name__
)
def lived(kafka: Cluster, request: pytest.FixtureRequest) -> Lived:
    return live(kafka, request.param)


def test_what_was_acknowledged_is_there_and_brokers_take_nothing_twice(lived: Lived) -> None:
    for found in (lived.impatient, lived.patient, lived.in_transactions):
        assert found.acknowledged == found.sent
        assert (found.lost, found.twice_by_brokers) == (0, 0)


def test_nothing_stands_twice_for_a_client_that_waits_longer_than_brokers_are_away(lived: Lived) -> None:
    """And has one request under way at a time. All the while it counts on where it was, so brokers know how far."""
    assert (lived.patient.given_up, lived.patient.twice, lived.patient.epochs) == (0, 0, 1)


def test_what_stands_twice_for_one_that_waits_shorter_was_sent_twice_by_its_client(lived: Lived) -> None:
    found = lived.impatient
    assert found.twice <= found.twice_by_application + found.twice_by_library
    assert found.twice == 0 or found.given_up > 0 or found.epochs > 1


def test_nothing_stands_twice_for_one_that_writes_in_transactions(lived: Lived) -> None:
    assert lived.in_transactions.twice == 0
