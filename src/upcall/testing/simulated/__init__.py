"""The simulated substrate: a cluster of either kind of placement, in virtual time."""

from upcall.testing.simulated.cluster import SimulatedKind, Timing, small_nodes
from upcall.testing.simulated.substrate import SimulatedSubstrate

__all__ = ["SimulatedKind", "SimulatedSubstrate", "Timing", "small_nodes"]
