"""How a broker uses what it was given: memory and cores in, settings out. Pure.

A broker lives off the page cache, so its heap stays small and the rest of the memory is left to the kernel. What must
fit beside the heap: direct buffers (network and log reads), compiled code, class data, thread stacks. The constants
come from brokers measured near idle and under 50 MB/s: with a heap of 192 MiB a broker holds about 210 MiB in all.

Kafka's own defaults are for machines of its own and do not fit here: the log cleaner alone reserves 128 MiB of heap,
and a topic keeps a week of whatever comes, however small the disk. Kafka bounds the bytes of a partition, never those
of a broker, so the bound follows from how many partitions a broker is planned for; a topic that needs another share
says `retention.bytes` of its own.
"""

from dataclasses import dataclass
from typing import Final

from upcall.catalog import jvm

MEMORY_MIB_MIN: Final = 320
HEAP_SHARE: Final = 0.45
HEAP_MIB_MIN: Final = 160
HEAP_MIB_MAX: Final = 6144
"""Above this Kafka gains nothing; the page cache does."""
TOPICS_SHARE: Final = 0.75
"""Of the volume, for topics; the rest is for Kafka's own ones, indexes, and what is written between two checks."""
PARTITIONS_PLANNED: Final = 12
"""So many partitions with the default bound fill a broker's share for topics."""
METADATA_SEGMENT_BYTES_MIN: Final = 8 << 20
"""Kafka refuses less."""


@dataclass(frozen=True)
class BrokerSizing:
    """What the JVM and the broker are told."""

    heap_mib: int
    direct_mib: int
    code_cache_mib: int
    metaspace_mib: int
    network_threads: int
    io_threads: int
    replica_fetchers: int
    recovery_threads: int
    background_threads: int
    cleaner_buffer_bytes: int
    segment_bytes: int
    metadata_segment_bytes: int
    retention_bytes: int
    """Of a partition whose topic says nothing else, closed segments; the open one comes on top."""


def size_broker(memory_mib: int, cores: float, disk_mib: int) -> BrokerSizing:
    """Settings for a broker with this memory, this many cores it may use at most, and this much disk."""
    if memory_mib < MEMORY_MIB_MIN:
        raise ValueError(f"a broker needs at least {MEMORY_MIB_MIN} MiB of memory, got {memory_mib}")
    heap = jvm.heap_of(memory_mib, share=HEAP_SHARE, least_mib=HEAP_MIB_MIN, most_mib=HEAP_MIB_MAX)
    threads = max(1, round(cores))
    # Retention drops whole segments, so a small disk wants small ones: at least 64 of them.
    segment_bytes = max(4 << 20, min(1 << 30, (disk_mib << 20) // 64))
    return BrokerSizing(
        heap_mib=heap,
        direct_mib=max(64, heap // 2),
        code_cache_mib=64 if heap < 1024 else 128,
        metaspace_mib=128,
        network_threads=max(1, threads // 2),
        io_threads=max(2, threads),
        replica_fetchers=max(1, threads // 4),
        recovery_threads=min(4, max(2, threads)),
        background_threads=max(2, threads),
        # The cleaner needs 24 bytes for each key it holds; 8 MiB hold 300,000 keys, more than the offsets topic has.
        cleaner_buffer_bytes=max(8 << 20, (heap << 20) // 32),
        segment_bytes=segment_bytes,
        metadata_segment_bytes=max(METADATA_SEGMENT_BYTES_MIN, segment_bytes),
        retention_bytes=int((disk_mib << 20) * TOPICS_SHARE) // PARTITIONS_PLANNED - segment_bytes,
    )
