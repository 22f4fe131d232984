"""Whether fewer nodes can hold what a ring has, in numbers. Pure.

Cassandra lets no node leave when a keyspace would have more copies than nodes, its own keyspaces included; and what
leaves one node comes to the others, which need room for it and for compactions beside it.
"""

from collections.abc import Mapping
from typing import Final

FULL: Final = 0.8
"""Share of a node's volume that data may take; compactions need the rest."""
NAMED_MAX: Final = 3


def objection(left: int, copies: Mapping[str, int], used_mib: int, disk_mib: int) -> str:
    """Why ``left`` nodes are too few; empty: they are enough."""
    many = [f"{count} of {keyspace}" for keyspace, count in sorted(copies.items()) if count > left]
    if many:
        more = f" and {len(many) - NAMED_MAX} more" if len(many) > NAMED_MAX else ""
        return f"{left} nodes cannot keep as many copies as there are: {', '.join(many[:NAMED_MAX])}{more}"
    each_mib = used_mib / left
    if each_mib > FULL * disk_mib:
        share = f"{each_mib:.0f} MiB on each, of {disk_mib} MiB; {FULL:.0%} are the most"
        return f"{left} nodes cannot hold {used_mib} MiB: {share}"
    return ""


def how_far(done: int, total: int) -> str:
    """``12.0 of 340.5 MiB``"""
    return f"{done / 2**20:.1f} of {total / 2**20:.1f} MiB"


def share(done: int, total: int) -> float:
    return done / total if total else 0.0
