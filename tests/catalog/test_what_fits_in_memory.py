"""What no member has the memory for is declined before anything is changed, with what would be needed; what the
packages make themselves, and what is usual, never is."""

from typing import Any

import pytest

from upcall.catalog.cassandra.options import CassandraOptions
from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.kafka.options import KafkaOptions
from upcall.catalog.kafka.service import Kafka
from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid
from upcall.service import Update
from upcall.service.changing import between
from upcall.service.context import Context

WHY = wire.Operation(id="op-1", kind="update", klass="voluntary", state="open", reason="", asked_by="ann")


def kafka(memory_mib: int = 448, brokers: int = 3, **settings: Any) -> str:
    options = KafkaOptions(memory_mib=memory_mib, brokers=brokers, settings=settings)
    return Kafka(Context(name="kafka", options={})).cannot_carry(options)


def cassandra(memory_mib: int = 640, **settings: Any) -> str:
    options = CassandraOptions(memory_mib=memory_mib, settings=settings)
    return Cassandra(Context(name="cassandra", options={})).cannot_carry(options)


@pytest.mark.parametrize("memory_mib", [320, 448, 2048, 65_536])
def test_what_the_packages_make_themselves_always_fits(memory_mib: int) -> None:
    assert kafka(memory_mib) == ""
    assert cassandra(max(memory_mib, 560)) == ""


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num.network.threads": 100_000}, "gives a broker 200,0"),
        ({"num.io.threads": "300"}, "at most "),
        ({"num.replica.fetchers": 400}, "num.replica.fetchers=400 gives a broker 8"),
        ({"log.cleaner.threads": 500}, "room for 448 (256 KiB each, of a quarter of its memory)"),
        ({"log.cleaner.dedupe.buffer.size": 134_217_728}, "takes 128 MiB of heap"),
        ({"queued.max.requests": 100_000_000}, "takes 763 MiB of heap"),
        ({"remote.log.reader.threads": 900, "remote.log.storage.system.enable": True}, "remote.log.reader.threads=900"),
    ],
)
def test_what_no_broker_has_memory_for_is_said_with_its_numbers(settings: dict[str, Any], says: str) -> None:
    assert says in kafka(**settings)
    assert "memory_mib=448" in kafka(**settings)


def test_a_rate_that_has_a_broker_wait_for_its_cleaner_is_declined() -> None:
    slow: dict[str, Any] = {"log.cleaner.io.max.bytes.per.second": 0.75}
    assert "at least 65536 would do" in kafka(**slow)
    assert kafka(**dict.fromkeys(slow, 65_536)) == ""


def test_what_would_fit_does_and_so_does_the_memory_that_is_named() -> None:
    said = kafka(**{"num.io.threads": 300})
    fits = int(said.partition("at most ")[2].split()[0])
    needs = int(said.rpartition("memory_mib=")[2])
    assert kafka(**{"num.io.threads": fits}) == ""
    assert kafka(**{"num.io.threads": fits + 1})
    assert kafka(needs, **{"num.io.threads": 300}) == ""
    heap = kafka(**{"log.cleaner.dedupe.buffer.size": 134_217_728})
    assert kafka(int(heap.rpartition("memory_mib=")[2]) + 1, **{"log.cleaner.dedupe.buffer.size": 134_217_728}) == ""
    nodes = cassandra(native_transport_max_threads=700)
    assert cassandra(int(nodes.rpartition("memory_mib=")[2]), native_transport_max_threads=700) == ""
    assert cassandra(native_transport_max_threads=int(nodes.partition("at most ")[2].split()[0])) == ""


def test_what_no_memory_makes_room_for_names_none() -> None:
    assert "or memory_mib" not in kafka(**{"num.network.threads": 100_000})
    assert "or memory_mib" not in cassandra(concurrent_reads=100_000)


def test_what_is_usual_and_what_is_not_used_fits() -> None:
    assert kafka(**{"num.network.threads": 3, "num.io.threads": 8, "background.threads": 10}) == ""
    assert kafka(**{"remote.log.reader.threads": 900}) == "", "nothing is kept elsewhere, so nobody reads there"
    assert cassandra(concurrent_reads=32, concurrent_writes=32, concurrent_counter_writes=32) == ""


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"concurrent_compactors": 5000}, "concurrent_compactors=5000 lets a node have 5,0"),
        ({"concurrent_writes": 900}, "room for 640 (256 KiB each, of a quarter of its memory)"),
        ({"memtable_heap_space": "1GiB"}, "MiB of heap for that"),
        ({"file_cache_size": "512MiB"}, "MiB of direct memory for that"),
    ],
)
def test_what_no_node_has_memory_for_is_said_with_its_numbers(settings: dict[str, Any], says: str) -> None:
    assert says in cassandra(**settings)


def running(package: type[Kafka] | type[Cassandra], member: str, options: dict[str, Any]) -> Any:
    seen = {member: wire.Member(name=member, state="ready", incarnation=1, starts=1)}
    return package(Context(name="it", options=options, members=seen))


@pytest.mark.parametrize(
    ("package", "member", "was", "wanted", "declined"),
    [
        (Kafka, "broker-0", {}, {"settings": {"num.network.threads": 100_000}}, True),
        (
            Kafka,
            "broker-0",
            {"settings": {"num.io.threads": 50}},
            {"settings": {"num.io.threads": 50}, "brokers": 5},
            False,
        ),
        (Kafka, "broker-0", {"memory_mib": 2048, "settings": {"num.io.threads": 500}}, {"memory_mib": 448}, True),
        (Kafka, "broker-0", {"settings": {"num.io.threads": 900}}, {"move_mib_s": 5}, False),
        (Cassandra, "node-0", {}, {"settings": {"concurrent_reads": 9000}}, True),
        (Cassandra, "node-0", {"settings": {"concurrent_reads": 9000}}, {"cpus": 0.5}, False),
    ],
)
async def test_an_update_that_makes_it_too_much_is_declined_and_any_other_is_not(
    package: type[Kafka] | type[Cassandra], member: str, was: dict[str, Any], wanted: dict[str, Any], declined: bool
) -> None:
    service = running(package, member, was)
    options = package.Options.model_validate({**was, **wanted})
    update = Update(2, package.version, False, options, between(service.options, options))
    said = await service.may_update(update, WHY)
    assert (said.word == "decline") == declined, said


@pytest.mark.parametrize(
    ("package", "member", "settings"),
    [(Kafka, "broker-0", {"num.network.threads": 100_000}), (Cassandra, "node-0", {"concurrent_reads": 9000})],
)
def test_what_was_never_started_is_not_begun_with_it_and_what_runs_goes_on(
    package: type[Kafka] | type[Cassandra], member: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(Invalid, match="memory_mib="):
        package(Context(name="it", options={"settings": settings})).pods()
    assert running(package, member, {"settings": settings}).pods()
