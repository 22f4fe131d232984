"""What a node's memory can carry of the settings that cost threads or memory, before anything is changed. Pure.

Cassandra takes any number. Threads are made as requests come, each with a stack (256 KiB), so a number that is far too
high works until it matters and ends the node under load, where it is needed. What a node of this size cannot carry is
declined with its numbers.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from upcall.catalog.cassandra.jmx import SCALE
from upcall.catalog.cassandra.sizing import NodeSizing

THREAD_KIB: Final = 256
THREADS_SHARE: Final = 0.25
"""Of a node's memory, for threads; the rest is heap, direct memory, code, classes."""
THREADS_MAX: Final = 8192
"""Of one node, however much memory it has: a machine gives a task 16,384 processes and threads in all."""
THREADS: Final = (
    "concurrent_reads",
    "concurrent_writes",
    "concurrent_counter_writes",
    "concurrent_materialized_view_writes",
    "concurrent_materialized_view_builders",
    "concurrent_index_builders",
    "concurrent_compactors",
    "concurrent_validations",
    "memtable_flush_writers",
    "max_hints_delivery_threads",
    "native_transport_max_threads",
    "native_transport_max_auth_threads",
)
HEAP: Final = ("memtable_heap_space", "key_cache_size", "counter_cache_size", "prepared_statements_cache_size")
HEAP_SHARE: Final = 0.5
DIRECT: Final = ("memtable_offheap_space", "file_cache_size", "networking_cache_size")
"""Beside the heap, of direct memory; hints take theirs of it too."""
SETTINGS: Final = (*THREADS, *HEAP, *DIRECT)
_AMOUNT: Final = re.compile(r"(\d+)\s*([A-Za-z]+)")


def objection(values: Mapping[str, Any], *, memory_mib: int, sizing: NodeSizing) -> str:
    """Why a node of this size cannot carry these, and what would be needed; empty: it can. ``values``: as they stand in
    its file."""
    return (
        _threads(values, memory_mib)
        or _memory(
            values, HEAP, int(sizing.heap_mib * HEAP_SHARE), f"half of {sizing.heap_mib} MiB of heap", memory_mib
        )
        or _memory(values, DIRECT, sizing.direct_mib, f"{sizing.direct_mib} MiB of direct memory", memory_mib)
    )


def _threads(values: Mapping[str, Any], memory_mib: int) -> str:
    found = {name: int(values[name]) for name in THREADS if _is_number(values.get(name))}
    wanted = sum(found.values())
    room = min(THREADS_MAX, int(memory_mib * THREADS_SHARE * 1024) // THREAD_KIB)
    if wanted <= room:
        return ""
    most = max(found, key=lambda name: found[name])
    needs_mib = -(-wanted * THREAD_KIB // int(1024 * THREADS_SHARE))
    more = f", or memory_mib={needs_mib}" if wanted <= THREADS_MAX else ""
    return (
        f"{most}={found[most]} lets a node have {wanted:,} threads, with those of the others; with memory_mib="
        f"{memory_mib} it has room for {room:,} ({THREAD_KIB} KiB each, of a quarter of its memory): at most"
        f" {max(0, room - wanted + found[most])} would fit{more}"
    )


def _memory(values: Mapping[str, Any], names: tuple[str, ...], room_mib: int, of: str, memory_mib: int) -> str:
    found = {name: _mib(values.get(name)) for name in names}
    wanted = sum(found.values())
    if wanted <= room_mib:
        return ""
    most = max(found, key=lambda name: found[name])
    needs_mib = -(-wanted * memory_mib // room_mib)
    return (
        f"{most}={values[most]} makes {wanted:,.0f} MiB with what is like it; with memory_mib={memory_mib} a node has"
        f" {of} for that: {max(0.0, room_mib - wanted + found[most]):.0f} MiB would fit, or about"
        f" memory_mib={needs_mib:.0f}"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.isdigit())


def _mib(value: Any) -> float:
    found = _AMOUNT.fullmatch(str(value)) if value is not None else None
    return int(found[1]) * SCALE[found[2]] / 2**20 if found is not None and found[2] in SCALE else 0.0
