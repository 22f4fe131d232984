"""Topics: made, changed and dropped by a person or a platform file, and given more replicas."""

import asyncio
import json
import time
from typing import Annotated, Any

from upcall.catalog.kafka import config as commands
from upcall.catalog.kafka.brokers import Brokers, node_id
from upcall.catalog.kafka.partitions import Partition, reassignment, with_more_copies
from upcall.catalog.kafka.settings import Value, as_texts, settings_of
from upcall.protocol.errors import Conflict, NotFound
from upcall.service import Contents, Field, action, checks, until

TopicSettings = Annotated[dict[str, Value], settings_of("topic")]
COPY_LOOK_S = 1.0
NEW_TOPIC_S = 5.0


class Topics(Brokers):
    """What a Kafka holds that people name one by one."""

    contents = (
        Contents(
            "topics", show="topics", show_with={"settings": True}, key="topic",
            make="create-topic", change="change-topic", drop="delete-topic",
        ),
    )  # fmt: skip
    _raising: asyncio.Task[None] | None = None

    @action
    async def create_topic(
        self,
        name: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$"),
        partitions: int = Field(3, ge=1, le=1000),
        replication: int = Field(0, ge=0, le=9, description="0: three, or as many as there are brokers"),
        config: TopicSettings = Field(
            default={},
            description="the topic's own settings; without retention.bytes a partition keeps at most a sixteenth of a"
            " broker's disk_mib",
        ),
        unchecked_config: dict[str, Value] = Field(
            default={}, description="settings of the topic that this version of Kafka does not know"
        ),
    ) -> dict[str, Any]:
        """Creates a topic; one that exists is left as it is."""
        there = len(self.members.there("broker"))
        copies = replication or min(3, there)
        if copies > there:
            raise Conflict(f"{copies} replicas on {there} brokers", where="replication")
        given = as_texts({**config, **unchecked_config})
        created = await self.ask_now(lambda admin: admin.create_topic(name, partitions, copies, given), copies)
        if created:
            return {"topic": name, "partitions": partitions, "replication": copies, "created": True}
        found: dict[str, Any] = next((each for each in await self.topics() if each["topic"] == name), {})
        shape: dict[str, Any] = {what: found[what] for what in ("partitions", "replication") if what in found}
        said = "it was there before, and is left as it is; `change-topic` changes it"
        return {"topic": name, **shape, "created": False, "said": said}

    @checks(create_topic)
    async def may_create_topic(self, replication: int) -> None:
        self._have_brokers_for(replication)

    @action(timeout_s=3600.0)
    async def change_topic(
        self,
        name: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$"),
        partitions: int = Field(0, ge=0, le=1000, description="more than it has; 0: as it has"),
        replication: int = Field(0, ge=0, le=9, description="at least; 0: as it has"),
        config: TopicSettings = Field(default={}),
        unchecked_config: dict[str, Value] = Field(default={}),
    ) -> dict[str, Any]:
        """Gives a topic more partitions, more replicas, or other settings; what is not named stays."""
        given = as_texts({**config, **unchecked_config})
        await self.ask_now(lambda admin: admin.change_topic(name, partitions, given))
        if replication:
            await self._more_copies(name, replication)
        return {"topic": name, "partitions": partitions, "replication": replication, "config": given}

    @checks(change_topic)
    async def may_change_topic(self, name: str, partitions: int, replication: int) -> None:
        self._have_brokers_for(replication)
        found = {each["topic"]: each["partitions"] for each in await self.topics()}
        if name not in found:
            raise NotFound(f"no topic {name!r}", where="name", expected=", ".join(sorted(found)[:20]) or "a topic")
        if 0 < partitions < found[name]:
            raise Conflict(
                f"{name} has {found[name]} partitions, and they never become fewer",
                where="partitions",
                expected=f"at least {found[name]}, or another topic",
            )

    def _have_brokers_for(self, replication: int) -> None:
        """By what it is to have, too: brokers may come before this is done."""
        if replication > (brokers := max(self.options.brokers, len(self.members.there("broker")))):
            raise Conflict(f"{replication} replicas on {brokers} brokers", where="replication")

    @action(timeout_s=3600.0)
    async def raise_replication(
        self, topic: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$"), replicas: int = Field(3, ge=2, le=9)
    ) -> dict[str, Any]:
        """Gives the partitions of a topic more replicas, on the brokers that have the fewest, and waits until they are
        in sync."""
        return {"topic": topic, "replication": replicas, "changed": await self._more_copies(topic, replicas)}

    @action
    async def delete_topic(self, name: str) -> dict[str, Any]:
        """Deletes a topic with all that is in it."""
        await self.ask_now(lambda admin: admin.delete_topic(name))
        return {"topic": name, "deleted": True}

    @action
    async def topics(
        self, settings: bool = Field(False, description="with what was set of each itself")
    ) -> list[dict[str, Any]]:
        """All topics, with how many of their partitions are not fully in sync."""
        return await self.ask_now(lambda admin: admin.topics(settings=settings))

    def raise_beside(self, wanted: dict[str, int]) -> None:
        """Beside the answer, which is given again when it is done."""
        if self._raising is None or self._raising.done():
            self._raising = asyncio.create_task(self._raise_all(wanted))

    async def _raise_all(self, wanted: dict[str, int]) -> None:
        for topic, copies in wanted.items():
            try:
                await self._more_copies(topic, copies)
            except Exception as error:
                self.log.warning("%s keeps its replicas: %s", topic, error or type(error).__name__)

    async def _more_copies(self, topic: str, copies: int) -> int:
        """Of how many partitions; returns when the new replicas are in sync."""
        ready = [member for member in self.members.of("broker") if member.ready]
        if copies > len(ready):
            raise Conflict(f"{copies} replicas on {len(ready)} brokers that are ready", where="replicas")
        found = await self._partitions_of(topic)
        wanted = with_more_copies(found, (node_id(member) for member in ready), copies)
        if not wanted:
            return 0
        await ready[0].run(commands.reassign_command(), input=json.dumps(reassignment(wanted)), timeout_s=60.0)
        await until(lambda: self._has(topic, copies))
        return len(wanted)

    async def _partitions_of(self, topic: str) -> list[Partition]:
        """A topic that was just made is not known to every broker yet."""
        deadline = time.monotonic() + NEW_TOPIC_S
        while not (found := [each for each in await self.partitions() if each.topic == topic]):
            if time.monotonic() > deadline:
                raise NotFound(f"no topic {topic!r}")
            await asyncio.sleep(COPY_LOOK_S)
        return found

    async def _has(self, topic: str, copies: int) -> bool:
        """Whether every partition has so many replicas, all in sync."""
        found = [each for each in await self.partitions() if each.topic == topic]
        return all(len(each.replicas) >= copies and len(each.in_sync) == len(each.replicas) for each in found)
