"""Sizing: what is told to a process never adds up to more than it was given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upcall.catalog.cassandra import sizing as cassandra
from upcall.catalog.kafka import sizing as kafka
from upcall.catalog.spark import sizing as spark

CORES = st.floats(0.1, 64)
DISK = st.integers(256, 1 << 20)


@given(st.integers(kafka.MEMORY_MIB_MIN, 1 << 18), CORES, DISK)
def test_a_brokers_heap_leaves_the_page_cache_more_than_half(memory: int, cores: float, disk: int) -> None:
    sized = kafka.size_broker(memory, cores, disk)
    assert sized.heap_mib <= max(kafka.HEAP_MIB_MIN, memory / 2)
    assert sized.cleaner_buffer_bytes < sized.heap_mib * (1 << 20) / 4, "the cleaner must not fill the heap"
    assert 4 << 20 <= sized.segment_bytes <= 1 << 30
    assert sized.io_threads >= 2


@given(CORES, DISK)
def test_as_many_partitions_as_planned_fit_a_brokers_volume_with_what_kafka_keeps_for_itself(
    cores: float, disk: int
) -> None:
    sized = kafka.size_broker(448, cores, disk)
    assert sized.retention_bytes >= sized.segment_bytes, "what is closed last is kept"
    each = sized.retention_bytes + sized.segment_bytes
    assert kafka.PARTITIONS_PLANNED * each <= (disk << 20) * kafka.TOPICS_SHARE
    assert each <= (disk << 20) / 16, "as the options say"


@given(st.integers(cassandra.MEMORY_MIB_MIN, 1 << 18), CORES, DISK)
def test_a_nodes_heap_and_buffers_fit_its_memory(memory: int, cores: float, disk: int) -> None:
    sized = cassandra.size_node(memory, cores, disk)
    off_heap = sized.direct_mib + sized.code_cache_mib
    assert sized.heap_mib + off_heap <= memory
    hints = sized.hint_buffers * cassandra.HINT_BUFFER_MIB
    assert hints + cassandra.DIRECT_BESIDE_MIB <= sized.direct_mib, "it has room for a neighbour's hints"
    assert sized.commitlog_total_mib >= 2 * sized.commitlog_segment_mib
    assert sized.memtable_heap_mib < sized.heap_mib


@given(st.integers(1, 16), st.integers(0, 1 << 16))
def test_a_worker_keeps_room_for_itself_and_its_python_processes(cores: int, extra: int) -> None:
    least = (
        spark.DAEMON_MEMORY_MIB
        + spark.EXECUTOR_OVERHEAD_MIB
        + cores * spark.PYTHON_MEMORY_MIB
        + spark.EXECUTOR_HEAP_MIB_MIN
    )
    sized = spark.size_worker(least + extra, cores)
    assert sized.executor_memory_mib == spark.EXECUTOR_HEAP_MIB_MIN + extra
    with pytest.raises(ValueError, match=str(least)):
        spark.size_worker(least - 1, cores)


def test_too_little_memory_names_what_is_needed() -> None:
    with pytest.raises(ValueError, match=f"at least {kafka.MEMORY_MIB_MIN} MiB"):
        kafka.size_broker(kafka.MEMORY_MIB_MIN - 1, 1, 1024)
    with pytest.raises(ValueError, match=f"at least {cassandra.MEMORY_MIB_MIN} MiB"):
        cassandra.size_node(cassandra.MEMORY_MIB_MIN - 1, 1, 1024)
    with pytest.raises(ValueError, match="at least 800 MiB"):
        spark.driver_heap_mib(799)


def test_the_least_driver_is_one_that_spark_accepts() -> None:
    assert spark.driver_heap_mib(800) >= 450
