"""Settings that change while a broker runs: which, and what a broker is told, so that asked is what it works with."""

from typing import Any

import pytest

from upcall.catalog.kafka import live
from upcall.catalog.kafka.service import Kafka
from upcall.catalog.kafka.settings import facts
from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid, NotNow
from upcall.service import Member, OptionChange
from upcall.service.context import Context

USUAL = {"log.retention.bytes": "-1", "num.io.threads": "8", "log.retention.ms": None}


def change(key: str, was: Any, wanted: Any) -> OptionChange:
    return OptionChange("settings", key, was, wanted)


@pytest.mark.parametrize(
    ("of", "word"),
    [
        (change("min.insync.replicas", None, 1), "live"),
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


async def test_a_broker_is_told_alone() -> None:
    service = Told(three_brokers({"log.retention.ms": 1000}))
    await service.apply_live_at(service.members["broker-2"], (change("log.retention.ms", None, 1000),))
    assert service.told == {"broker-2": {"log.retention.ms": "1000"}}


def test_what_kafka_keeps_once_for_all_brokers_says_that_no_one_goes_first() -> None:
    kafka = Kafka(Context(name="kafka", options={}))
    assert not kafka.how(change("num.io.threads", 4, 8)).at_once
    how = kafka.how(change("min.insync.replicas", 2, 1))
    assert how.at_once
    assert "no broker can go first" in str(how)


class Tools:
    """Beside which broker which tool ran, and what it was given."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, str, str]] = []

    async def run(self, tool: wire.RunTool) -> wire.ToolResult:
        self.ran.append((tool.member, next(word for word in tool.command if word.startswith("upcall.")), tool.input))
        return wire.ToolResult(code=0)


BACK = (change("num.io.threads", 4096, 4), change("log.retention.ms", 1000, 2000))


async def test_a_broker_that_ends_by_what_it_was_told_loses_it_by_the_controllers() -> None:
    tools, context = Tools(), three_brokers({}, **{"2": "ended"})
    context.run_tool = tools.run
    service = Told(context)
    await service.take_live_back(service.members["broker-2"], BACK)
    assert service.told == {}, "itself it is asked nothing"
    assert tools.ran == [("broker-0", "upcall.Overrides", "num.io.threads\nlog.retention.ms\n")]


async def test_a_broker_that_is_well_takes_back_what_it_had_itself() -> None:
    tools, context = Tools(), three_brokers({"num.io.threads": 4})
    context.run_tool = tools.run
    service = Told(context)
    await service.take_live_back(service.members["broker-2"], BACK[:1])
    assert service.told == {"broker-2": {"num.io.threads": "4"}}
    assert tools.ran == []


async def test_a_broker_that_does_not_take_it_loses_it_by_the_controllers_and_is_asked_again() -> None:
    tools, context = Tools(), three_brokers({})
    context.run_tool = tools.run
    service = Told(context, refuses="broker-2")
    with pytest.raises(NotNow, match="broker-2 does not work yet with what it had"):
        await service.take_live_back(service.members["broker-2"], BACK)
    assert tools.ran == [("broker-0", "upcall.Overrides", "num.io.threads\nlog.retention.ms\n")]
