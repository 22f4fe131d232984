"""Settings that change while a broker runs: which, and what a broker is told, so that asked is what it works with."""

from typing import Any

import pytest

from upcall.catalog.kafka import live
from upcall.catalog.kafka.service import Kafka
from upcall.catalog.kafka.settings import facts
from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid
from upcall.service import Member, OptionChange
from upcall.service.context import Context

USUAL = {"log.retention.bytes": "-1", "num.io.threads": "8", "log.retention.ms": None}


def change(key: str, was: Any, wanted: Any) -> OptionChange:
    return OptionChange("settings", key, was, wanted)


@pytest.mark.parametrize(
    ("of", "word"),
    [
        (change("log.retention.ms", None, "1000"), "live"),
        (change("num.io.threads", 4, None), "live"),
        (change("log.retention.ms", "1000", None), "restart"),
        (change("log.retention.hours", None, 71), "restart"),
        (change("num.partitions", None, 3), "restart"),
        (change("offsets.topic.num.partitions", 4, 8), "never"),
        (OptionChange("unchecked_settings", "log.retention.ms", None, "1000"), "restart"),
        (OptionChange("memory_mib", "", 448, 512), "restart"),
    ],
)
def test_kafka_itself_says_what_changes_while_a_broker_runs(of: OptionChange, word: str) -> None:
    assert Kafka(Context(name="kafka", options={})).how(of).word == word


def test_what_changes_live_is_from_the_definitions_of_the_version_and_has_its_usual_value() -> None:
    for version in Kafka.versions():
        usual = facts(version).usual()
        assert usual["compression.type"] == "producer"
        assert usual["log.retention.ms"] is None
        assert not {"node.id", "log.dirs", "num.partitions", "log.retention.hours"} & usual.keys()


def test_a_broker_is_told_only_what_its_own_file_does_not_say() -> None:
    wanted = {"log.retention.bytes": "100"}
    for file, told in (({}, "100"), ({"log.retention.bytes": "7"}, "100"), ({"log.retention.bytes": "100"}, None)):
        assert live.overrides(["log.retention.bytes"], wanted, file, USUAL) == {"log.retention.bytes": told}


def test_what_has_its_default_again_is_told_so_until_the_file_says_nothing_of_it() -> None:
    assert live.overrides(["num.io.threads"], {}, {"num.io.threads": "4"}, USUAL) == {"num.io.threads": "8"}
    assert live.overrides(["num.io.threads"], {}, {}, USUAL) == {"num.io.threads": None}


def test_at_its_start_a_broker_forgets_what_wins_over_a_file_that_says_what_is_asked() -> None:
    present = {"num.io.threads": "4", "log.retention.bytes": "100"}
    wanted = {"num.io.threads": "4", "log.retention.bytes": "50"}
    assert live.forgotten(present, wanted, dict(wanted), USUAL) == {"num.io.threads": None, "log.retention.bytes": None}
    older = {"num.io.threads": "2", "log.retention.bytes": "7"}
    assert live.forgotten(present, wanted, older, USUAL) == {"log.retention.bytes": None}, "the other came meanwhile"


def test_threads_are_changed_as_far_at_once_as_a_broker_takes_it() -> None:
    assert list(live.between("num.io.threads", "2", "16")) == ["4", "8"]
    assert list(live.between("num.io.threads", "16", "3")) == ["8", "4"]
    assert list(live.between("num.io.threads", "2", "4")) == []
    assert list(live.between("log.retention.bytes", "2", "1000")) == []
    assert list(live.between("log.cleaner.threads", "1", "0")) == [], "none at all is the broker's to refuse"


def test_a_broker_hears_at_once_of_settings_that_it_judges_by_each_other() -> None:
    kept, local = "log.retention.bytes", "log.local.retention.bytes"
    given = {local: "50", "num.io.threads": "16", kept: "100", "compression.type": None}
    without = {local: "-2", "num.io.threads": "2", kept: "10", "compression.type": "producer"}
    assert list(live.rounds(given, {**without, "compression.type": "zstd"}, without)) == [
        {local: "50", "num.io.threads": "4", kept: "100", "compression.type": None},
        {"num.io.threads": "8"},
        {"num.io.threads": "16"},
    ]
    back = dict.fromkeys(given)
    assert list(live.rounds(back, {**without, "num.io.threads": "16"}, without)) == [
        {**back, "num.io.threads": "8"},
        {"num.io.threads": "4"},
        {"num.io.threads": None},
    ]
    assert list(live.rounds({}, {}, {})) == []


def test_of_many_settings_those_are_blamed_that_the_broker_names() -> None:
    told = ["max.connections", "max.connections.per.ip", "num.io.threads"]
    assert live.blamed(told, "Invalid value x for configuration max.connections.per.ip: no.") == told[1:2]
    assert live.blamed(told, "Something is wrong.") == told


def test_the_same_value_in_other_words_is_the_same() -> None:
    assert live.same("0.80", "0.8")
    assert live.same(None, None)
    assert not live.same("zstd", "lz4")
    assert not live.same(None, "1")


class Told(Kafka):
    """Kafka whose brokers take what a test lets them take."""

    package = "kafka"

    def __init__(self, context: Context, refuses: str = "") -> None:
        super().__init__(context)
        self.refuses = refuses
        self.told: dict[str, dict[str, str | None]] = {}

    async def _file_of(self, broker: Member) -> dict[str, str]:
        return {}

    async def _tune(self, broker: Member, given: dict[str, str | None], file: dict[str, str]) -> None:
        if broker.name == self.refuses:
            raise Invalid("Invalid value", where="settings")
        self.told[broker.name] = given


def three_brokers(settings: dict[str, Any], **states: str) -> Context:
    names = ("broker-0", "broker-1", "broker-2")
    members = {name: wire.Member(name=name, state=states.get(name[-1], "ready"), incarnation=1) for name in names}
    return Context(name="kafka", options={"settings": settings}, members=members)


async def test_every_broker_that_is_ready_is_told_and_one_that_is_away_starts_with_it() -> None:
    service = Told(three_brokers({"log.retention.ms": 1000}, **{"1": "held"}))
    await service.apply_live((change("log.retention.ms", None, 1000),))
    assert service.told == {name: {"log.retention.ms": "1000"} for name in ("broker-0", "broker-2")}


async def test_a_value_that_one_broker_refuses_is_not_tried_on_the_others() -> None:
    service = Told(three_brokers({"log.retention.ms": 1000}), refuses="broker-0")
    with pytest.raises(Invalid):
        await service.apply_live((change("log.retention.ms", None, 1000),))
    assert service.told == {}
