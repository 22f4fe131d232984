"""What a person may choose of Cassandra."""

from typing import Annotated, Any, Literal

from pydantic import Field

from upcall.catalog.cassandra.settings import OF_VERSION
from upcall.catalog.storage import Storage
from upcall.protocol.declaration import DISK
from upcall.service import ServiceOptions, amount, in_place, never, size

PLACED = "a node keeps the rack in which it joined; install another one beside it"


class CassandraOptions(ServiceOptions):
    nodes: Annotated[int, size("node")] = Field(
        3, ge=1, le=30, description="nodes of the ring; their zones are its racks"
    )
    per_node: Annotated[int, never(PLACED)] = Field(
        1, ge=1, le=10, description="nodes of the ring on one machine, where there are more: machines are racks then"
    )
    memory_mib: Annotated[int, amount("memory")] = Field(640, ge=560, le=131_072, description="memory of each node")
    cpus: Annotated[float, amount("cpus"), in_place] = Field(
        0.3, gt=0, le=64, description="share of the cores of each node"
    )
    disk_mib: Annotated[int, amount("disk")] = Field(4096, ge=512, description="volume of each node")
    storage: Storage = DISK
    client_auth: Literal["password", "none"] = Field(
        "password", description="none: every user of this machine may read, change and drop everything"
    )
    settings: Annotated[dict[str, Any], OF_VERSION] = Field(
        default={}, description="Cassandra's own settings (cassandra.yaml), over those made here"
    )
    unchecked_settings: dict[str, Any] = Field(
        default={}, description="settings that this version of Cassandra does not know, of a plug-in for instance"
    )
