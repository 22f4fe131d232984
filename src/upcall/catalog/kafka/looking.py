"""What a person looks at and tries: partitions of a topic, records, groups; and the commands that all of it is."""

from typing import Any, Literal

from upcall.catalog.kafka.clients import CLIENTS
from upcall.catalog.kafka.topics import Topics
from upcall.service import Command, Field, action

TOPIC = r"^[a-zA-Z0-9._-]{1,249}$"


class Looking(Topics):
    """A look by hand."""

    clients = CLIENTS
    commands = (
        Command("topic create", "create-topic", takes=("name",)),
        Command("topic list", "topics"),
        Command("topic describe", "describe-topic", takes=("topic",)),
        Command("topic alter", "change-topic", takes=("name",)),
        Command("topic delete", "delete-topic", takes=("name",), loses="all that is in it"),
        Command("groups", "groups"),
        Command("lag", "lag", takes=("group",)),
        Command("produce", "produce", takes=("topic", "records"), lines="records"),
        Command("consume", "consume", takes=("topic",), prints="value"),
    )

    @action
    async def describe_topic(self, topic: str = Field(pattern=TOPIC)) -> list[dict[str, Any]]:
        """Partitions of a topic: who leads each, who has it, who is in sync, and which records are there."""
        from upcall.catalog.kafka import trying

        return await self.ask_now(lambda admin: trying.described(admin, topic))

    @action
    async def groups(self) -> list[dict[str, Any]]:
        """Groups of readers, and how many records each has not read."""
        from upcall.catalog.kafka import trying

        return await self.ask_now(trying.groups)

    @action
    async def lag(
        self, group: str = Field("", max_length=249, description="default: of all groups")
    ) -> list[dict[str, Any]]:
        """Where a group of readers is in each partition, and how many records it has not read."""
        from upcall.catalog.kafka import trying

        return await self.ask_now(lambda admin: trying.lag(admin, group))

    @action
    async def produce(
        self,
        topic: str = Field(pattern=TOPIC),
        records: list[str] = Field(
            min_length=1, max_length=10_000, description="texts; default: standard input's lines"
        ),
        key: str = Field("", max_length=10_000, description="of all of them; none: spread over the partitions"),
    ) -> dict[str, Any]:
        """Writes texts into a topic, and waits until all are acknowledged: for a try."""
        from upcall.catalog.kafka import trying

        return {"topic": topic, "written": await self.ask_now(lambda admin: trying.write(admin, topic, records, key))}

    @action
    async def consume(
        self,
        topic: str = Field(pattern=TOPIC),
        count: int = Field(10, ge=1, le=10_000, description="how many at most"),
        start: Literal["newest", "first"] = Field(
            "newest", description="the last that are there, or from the first on"
        ),
        wait_s: float = Field(0.0, ge=0.0, le=40.0, description="so long for more to come"),
    ) -> list[dict[str, Any]]:
        """Records of a topic, as texts: for a look. It is in no group, so nobody reads less for it."""
        from upcall.catalog.kafka import trying

        return await self.ask_now(lambda admin: trying.read(admin, topic, count, start, wait_s))
