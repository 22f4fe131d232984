"""How a Cassandra node uses what it was given: memory in, settings out. Pure.

Cassandra's defaults are for a machine of its own: caches and buffers are shares of *that machine's* memory, not of
the node's. So each is set here. Beside the heap live memtables and buffers off the heap, compiled code, class data
and thread stacks: a node with a heap of 256 MiB holds about 480 MiB in all.
"""

from dataclasses import dataclass
from typing import Final

from upcall.catalog import jvm

MEMORY_MIB_MIN: Final = 560
HEAP_SHARE: Final = 0.42
HEAP_MIB_MIN: Final = 224
HEAP_MIB_MAX: Final = 31 << 10
"""Above this, references are no longer compressed and the heap is worth less."""
HINT_BUFFER_MIB: Final = 32
"""Outside of the heap, at the least. Cassandra takes up to three of them from the moment on at which another node is
away: on a small node they alone are more than its direct memory has room for, and it ends for want of memory just
when it is needed. With two, writes of hints wait until one is on disk; with one it could not go on at all."""
HINT_BUFFERS: Final = (2, 3)
DIRECT_BESIDE_MIB: Final = 96
"""Of direct memory, for memtables, the network and reading files: 71 MiB were measured on a node of 640 MiB."""


@dataclass(frozen=True)
class NodeSizing:
    """What the JVM and the node are told."""

    heap_mib: int
    direct_mib: int
    hint_buffers: int
    code_cache_mib: int
    memtable_heap_mib: int
    memtable_offheap_mib: int
    key_cache_mib: int
    file_cache_mib: int
    networking_cache_mib: int
    commitlog_segment_mib: int
    commitlog_total_mib: int
    data_mib: int
    """Of the volume, beside the commit log."""
    concurrent_reads: int
    concurrent_writes: int
    concurrent_compactors: int
    native_transport_threads: int


def size_node(memory_mib: int, cores: float, disk_mib: int) -> NodeSizing:
    """Settings for a node with this memory, this many cores it may use at most, and this much disk."""
    if memory_mib < MEMORY_MIB_MIN:
        raise ValueError(f"a Cassandra node needs at least {MEMORY_MIB_MIN} MiB of memory, got {memory_mib}")
    heap = jvm.heap_of(memory_mib, share=HEAP_SHARE, least_mib=HEAP_MIB_MIN, most_mib=HEAP_MIB_MAX)
    threads = max(1, round(cores))
    # A mutation may be half a segment, so a segment of 8 MiB takes rows of up to 4 MiB.
    segment = 8 if heap < 1024 else 32
    commitlog_total = max(8 * segment, min(8192, disk_mib // 16))
    direct = max(HINT_BUFFERS[0] * HINT_BUFFER_MIB + DIRECT_BESIDE_MIB, heap // 2)
    least, most = HINT_BUFFERS
    # Half of direct memory at the most, where that is more than two.
    return NodeSizing(
        heap_mib=heap,
        direct_mib=direct,
        hint_buffers=max(least, min(most, direct // 2 // HINT_BUFFER_MIB)),
        code_cache_mib=96 if heap < 1024 else 240,
        memtable_heap_mib=max(32, heap // 8),
        memtable_offheap_mib=max(32, heap // 8),
        key_cache_mib=max(4, min(100, heap // 64)),
        file_cache_mib=max(16, min(512, heap // 16)),
        networking_cache_mib=max(16, min(128, heap // 16)),
        commitlog_segment_mib=segment,
        commitlog_total_mib=commitlog_total,
        data_mib=max(64, disk_mib - commitlog_total),
        concurrent_reads=max(8, 8 * threads),
        concurrent_writes=max(8, 8 * threads),
        concurrent_compactors=max(1, threads // 2),
        native_transport_threads=max(16, 16 * threads),
    )
