"""The clusters of tests, by their kind."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from upcall.master.core import Listener
from upcall.substrate.interface import Node, Send
from upcall.testing.kubernetes import PlayedKubernetes
from upcall.testing.simulated import SimulatedKind, SimulatedSubstrate, Timing

Cluster: TypeAlias = SimulatedSubstrate | PlayedKubernetes


def cluster_of(
    kind: SimulatedKind,
    nodes: Sequence[Node],
    *,
    seed: int = 0,
    loss: float = 0.0,
    repeat: float = 0.0,
    timing: Timing | None = None,
    wall: Callable[[], float] | None = None,
) -> Cluster:
    """``wall``: the clock of stamps on objects, where there are any."""
    if kind == "kubernetes":
        return PlayedKubernetes(nodes, seed=seed, loss=loss, repeat=repeat, timing=timing, wall=wall)
    return SimulatedSubstrate(kind, nodes, seed=seed, loss=loss, repeat=repeat, timing=timing or Timing())


def begun(cluster: Cluster) -> Cluster:
    """As a new life of the master finds it."""
    return cluster.begin() if isinstance(cluster, PlayedKubernetes) else cluster


def delivered(cluster: Cluster, send: Send) -> None:
    """After a commit."""
    if isinstance(cluster, PlayedKubernetes):
        cluster.perform(send)


def speaks(cluster: Cluster, now_s: float) -> bool:
    """Whether there is something to hear at this moment, without time passing."""
    return isinstance(cluster, PlayedKubernetes) and cluster.speaks(now_s)


class Delivering:
    """Implements :class:`upcall.master.core.Listener`: what goes to machines arrives there, besides."""

    def __init__(self, listener: Listener, deliver: Callable[[Send], None]) -> None:
        self.show, self.members = listener.show, listener.members
        self.wanted, self.news = listener.wanted, listener.news
        self._send, self._deliver = listener.send, deliver

    def send(self, send: Send) -> None:
        self._send(send)
        self._deliver(send)
