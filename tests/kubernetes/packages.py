"""What a member of a package is told, by the package's own code: of two systems that have nothing in common."""

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.kafka.service import Kafka
from upcall.protocol.declaration import Declaration
from upcall.service import Service
from upcall.testing import Scenario

PACKAGES: Final[dict[str, tuple[type[Service], dict[str, Any], str]]] = {
    "cassandra": (Cassandra, {"nodes": 3}, "node-1"),
    "kafka": (Kafka, {"brokers": 3}, "broker-1"),
}
"""Its code, of what size, and who of it."""


@functools.cache
def declared(package: str) -> Declaration:
    code, options, member = PACKAGES[package]
    with ThreadPoolExecutor(1) as apart:  # it has an event loop of its own
        return apart.submit(Scenario(code, options, fresh=True).run).result().task(member)
