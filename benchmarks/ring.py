"""Cassandra on a benchmark's own cluster: what a person does with it, and looks at."""

from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar, Final

from cassandra import DriverException, OperationTimedOut, RequestExecutionException
from cassandra.cluster import NoHostAvailable

from benchmarks.driven import Driven
from upcall.catalog.cassandra.ring import Ring as Asked

NOT_NOW: Final = (NoHostAvailable, OperationTimedOut, RequestExecutionException, DriverException, OSError)


@dataclass(frozen=True)
class Ring(Driven):
    service: ClassVar[str] = "cassandra"
    pod: ClassVar[str] = "node"

    def until_whole(self) -> None:
        """All nodes are ready, each of them is a member to all others, and nothing is on its way."""
        self.until_ready()
        self.until("the ring is whole", self._whole)

    def _whole(self) -> bool:
        said = self.cluster.client.credentials(self.service, "admin")
        nodes = self.cluster.ready(self.service)
        addresses = {node.address for node in nodes}
        try:
            with closing(Asked(sorted(addresses), nodes[0].ports["cql"], (said.user, said.password))) as ring:
                there = {each.address for each in ring.node_states()}
                normal = all(ring.words_of(address) == {"NORMAL"} for address in addresses)
                return there == addresses and normal and not ring.moving()
        except NOT_NOW:
            return False
