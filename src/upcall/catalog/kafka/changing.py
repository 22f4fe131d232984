"""How a running Kafka is changed: its settings, live where it can, and its version."""

from upcall.catalog.kafka import bounds, config, features, live, properties
from upcall.catalog.kafka.brokers import Brokers, node_id
from upcall.catalog.kafka.options import KafkaOptions
from upcall.catalog.kafka.partitions import counted, named
from upcall.catalog.kafka.settings import as_texts, facts
from upcall.catalog.known import own
from upcall.protocol.errors import NotNow
from upcall.service import (
    How,
    Member,
    Operation,
    OptionChange,
    Update,
    Verdict,
    accept,
    action,
    decline,
    defer,
    live_at_once,
    never,
)
from upcall.service import live as live_change

_EXISTS = "its topic has so many {} since it was made, and this is read only then"
NEVER = {
    "client_auth": "brokers that ask who somebody is and brokers that do not cannot talk to each other; install another"
    " one beside it",
    **{
        f"settings.{topic}.num.partitions": _EXISTS.format("partitions")
        for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    },
    **{
        f"settings.{topic}.replication.factor": f"{_EXISTS.format('replicas')}; `raise-replication` gives it more"
        for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    },
}
"""Options that are not changed, and why."""
ONE_VALUE = "Kafka keeps one value of it for the whole cluster, so no broker can go first"
ALONE = (
    "a lone broker's topics have one replica each, and its quorum one vote; install another one with 3 beside it, and"
    " copy what is to stay"
)


class Changing(Brokers):
    """What differs between two revisions reaches the brokers."""

    def how(self, change: OptionChange) -> How:
        """What Kafka changes while a broker runs; but for what has no value again: no override says nothing."""
        if change.name in NEVER:
            return never(NEVER[change.name])
        if change.option == "brokers" and 1 in (change.was, change.wanted):
            return never(ALONE)
        usual = self._usual()
        if change.option == "settings" and change.key in usual and (change.wanted, usual[change.key]) != (None, None):
            return live_at_once(ONE_VALUE) if change.key == live.MINIMUM else live_change
        return super().how(change)

    async def apply_live(self, changes: tuple[OptionChange, ...]) -> None:
        """What Kafka keeps once for all brokers."""
        beside = next((broker for broker in self.members.of("broker") if broker.ready), None)
        if beside is not None:
            value = self._settings_of(beside)[live.MINIMUM]
            await beside.run(config.cluster_setting_command(live.MINIMUM, value), timeout_s=60.0)

    async def apply_live_at(self, broker: Member, changes: tuple[OptionChange, ...]) -> None:
        """Until the broker works with it."""
        wanted, file = self._settings_of(broker), await self._file_of(broker)
        names = [change.key for change in changes]
        await self._tune(broker, live.overrides(names, wanted, file, self._usual()), file)

    async def take_live_back(self, broker: Member, changes: tuple[OptionChange, ...]) -> None:
        """An override stands in the metadata, and ends a broker that cannot live with it at every start. So one that
        does not answer loses it there, by the controllers; its file says what it had, at its next start at the latest.
        """
        if broker.ready:
            try:
                await self.apply_live_at(broker, changes)
                return
            except Exception as error:
                self.log.warning("%s does not take back what it had: %s", broker.name, error)
        others = [each for each in self.but(broker) if each.ready]
        names = "".join(f"{change.key}\n" for change in changes)
        beside = others[0] if others else broker  # A lone one answers for a moment of each start, if at all.
        await beside.run(config.forget_command(node_id(broker)), input=names, timeout_s=60.0)
        self.log.info("%s has no overrides any more of %s", broker.name, ", ".join(names.split()))
        if broker.ready:
            raise NotNow(f"{broker.name} does not work yet with what it had", where=self.name)

    async def _tune(self, broker: Member, given: dict[str, str | None], file: dict[str, str]) -> None:
        without = {name: file.get(name, usual) for name, usual in self._usual().items() if name in given}
        await self.ask(lambda admin: admin.tune(node_id(broker), given, without))

    def _settings_of(self, broker: Member) -> dict[str, str]:
        """As they are wanted now."""
        (file,) = (file.text for file in self.broker(broker).files if file.path == config.SETTINGS)
        return {**properties.parsed(file), **as_texts(own(self.options))}

    async def _file_of(self, broker: Member) -> dict[str, str]:
        """Those that the broker was started with."""
        return properties.parsed((await broker.run(("cat", config.PROPERTIES))).output)

    async def overrides(self, broker: Member) -> dict[str, str]:
        """What changed while brokers ran, and wins over the file of this one."""
        found = await self.ask(lambda admin: admin.overrides(node_id(broker)))
        return {name: found[name] for name in self._usual().keys() & found.keys()}

    def _usual(self) -> dict[str, str | None]:
        """What changes live, and what it is where nobody says."""
        return facts(self.version).usual()

    async def may_update(self, update: Update, why: Operation) -> Verdict:
        """A broker has to have the memory for what it is told. And another version has to be able to read what is
        there: up to the level that the cluster's features were raised to, and down to where it begins."""
        if too_much := self._too_much(update):
            return decline(too_much)
        if not update.upgrade:
            return accept()
        beside = next((broker for broker in self.members.ready if broker.back), None)
        if beside is None:
            return defer("no broker is ready to say at which levels its features are", retry_after=5)
        unreadable = features.unreadable(self.version, await features.levels(beside))
        return decline(unreadable) if unreadable else accept()

    def _too_much(self, update: Update) -> str:
        """What of the change no broker of this size could carry. Who has too much already, from before this was known,
        is changed otherwise all the same."""
        names = {change.key if change.option == "settings" else change.option for change in update.changes}
        if not names & {*bounds.SETTINGS, "memory_mib", "brokers"}:
            return ""
        wanted = update.options
        assert isinstance(wanted, KafkaOptions)
        return self.cannot_carry(wanted)

    async def may_finalize(self, why: Operation) -> Verdict:
        """Once every broker is there in this version: each of them has to know the levels."""
        away = self.members.away("broker")
        if away:
            return defer(f"{', '.join(away)} is not back", retry_after=5)
        if not features.behind(self.version, await features.levels(self.members.ready[0])):
            return decline(f"its features are at the levels of {self.version} already")
        return accept()

    async def finalize(self, why: Operation) -> None:
        """Raises the levels of all features to those of this version: what is written from then on, nothing older
        reads."""
        beside = next((broker for broker in self.members.ready if broker.back), None)
        if beside is None:
            raise NotNow("no broker is ready to raise the levels of its features", where=self.name)
        if features.behind(self.version, await features.levels(beside)):
            await beside.run(features.raise_command(self.version), timeout_s=features.TIMEOUT_S)
        if behind := features.behind(self.version, await features.levels(beside)):
            raise NotNow(f"not raised yet: {', '.join(behind)}", where=self.name)

    def canary(self, members: list[Member]) -> Member:
        """Where a broker is away, one of its zone: as a rule the two share no partition, so it waits for nobody."""
        zones = self.zones()
        away = {zones[node_id(member)] for member in self.members.values() if not member.ready}
        beside = [member for member in members if zones[node_id(member)] in away]
        return super().canary(beside if beside and all(member.back for member in members) else members)

    async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
        """Once the changed broker is in sync again in all that it has."""
        own = node_id(canary)
        behind = [each for each in await self.partitions() if own in each.replicas and own not in each.in_sync]
        if behind:
            return defer(f"{canary.name} is not in sync yet in {counted(behind)} ({named(behind)})", retry_after=2)
        return accept()

    @action
    async def features(self) -> dict[str, str]:
        """The level of each feature: up to which version what is written can be read."""
        return await features.levels(self.beside())

    async def forget_live(self, broker: Member) -> None:
        """What was changed while it ran stands in its file now."""
        if present := await self.overrides(broker):
            wanted, file = self._settings_of(broker), await self._file_of(broker)
            await self._tune(broker, live.forgotten(present, wanted, file, self._usual()), file)
