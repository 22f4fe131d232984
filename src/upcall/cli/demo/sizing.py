"""Which size of a composition this machine can hold, and what nodes a new cluster needs for it.

``up`` by itself makes three nodes of equal parts and keeps one more part for ``node add``. A composition that needs
what is kept gets it, and one that names fewer nodes gets so few: it might not fit in parts. The largest size that can
run is the one that runs.
"""

from dataclasses import dataclass
from typing import Final

from upcall.cli import cluster, machine
from upcall.cli.composition import Composition, Requires

STEP_MIB: Final = 64


@dataclass(frozen=True, slots=True)
class Nodes:
    """Arguments of ``up``; nothing said is what it does by itself."""

    count: int | None = None
    memory_mib: int | None = None


def nodes_for(composition: Composition, total_mib: int, cores: float) -> Nodes:
    """For the largest size that fits ``total_mib`` and ``cores`` of this machine; as usual where none does."""
    room = total_mib - machine.SPARE_MIB
    for need in composition.needs():
        if need.memory_mib <= room and need.cpus <= cores:
            return _nodes(need, room)
    return Nodes()


def _nodes(need: Requires, room: int) -> Nodes:
    count = need.nodes or cluster.NODES_DEFAULT
    usual = room // (cluster.NODES_DEFAULT + 1) // machine.STEP_MIB * machine.STEP_MIB
    if count == cluster.NODES_DEFAULT and usual * cluster.NODES_DEFAULT >= need.memory_mib:
        return Nodes()
    return Nodes(count, room // count // STEP_MIB * STEP_MIB)
