"""What a person may choose of Kafka."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from upcall.catalog.kafka.settings import Value, settings_of
from upcall.catalog.storage import Storage
from upcall.protocol.declaration import DISK
from upcall.service import ServiceOptions, amount, in_place, never, size

PLACED = "replicas lie where they are by what was a rack when their topics were made; install another one beside it"


class KafkaOptions(ServiceOptions):
    brokers: Annotated[int, size("broker")] = Field(
        3,
        ge=1,
        le=9,
        description="brokers, which are controllers too: 1, or 3 and more (two have no majority without each other)",
        json_schema_extra={"not": {"const": 2, "description": "two have no majority without each other"}},
    )
    per_node: Annotated[int, never(PLACED)] = Field(
        1, ge=1, le=9, description="brokers on one node, where there are more brokers than nodes: nodes are racks then"
    )
    memory_mib: Annotated[int, amount("memory")] = Field(
        448, ge=320, le=65_536, description="memory of each broker, page cache apart"
    )
    cpus: Annotated[float, amount("cpus"), in_place] = Field(
        0.3, gt=0, le=64, description="share of the cores of each broker"
    )
    disk_mib: Annotated[int, amount("disk")] = Field(
        2048,
        ge=256,
        description="volume of each broker; a partition keeps at most a sixteenth of it, then its oldest messages go"
        " (12 such partitions fill three quarters), unless its topic says retention.bytes",
    )
    storage: Storage = DISK
    move_mib_s: float = Field(
        20.0,
        gt=0,
        le=10_000,
        description="at most so much a second of each broker goes into moving replicas when brokers come and leave",
    )
    few_replicas: Literal["ask", "raise"] = Field(
        "ask",
        description="what becomes of topics with too few replicas to spare a broker that is to stop: a person decides,"
        " or they get another replica first",
    )
    client_auth: Literal["password", "none"] = Field(
        "password", description="none: every user of this machine may read, write and delete everything"
    )
    settings: Annotated[dict[str, Value], settings_of("broker")] = Field(
        default={}, description="Kafka's own settings (server.properties), over those made here"
    )
    unchecked_settings: dict[str, Value] = Field(
        default={}, description="settings that this version of Kafka does not know, of a plug-in for instance"
    )

    @field_validator("brokers")
    @classmethod
    def _has_a_majority(cls, brokers: int) -> int:
        if brokers == 2:
            raise ValueError("two brokers have no majority without each other: take 1, or 3 and more")
        return brokers
