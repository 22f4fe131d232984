"""What a running Cassandra node is given, and in which units: from the option to what the tool reads."""

from typing import Any

import pytest

from upcall.catalog.cassandra import config, jmx
from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.cassandra.settings import facts
from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid
from upcall.service.changing import OptionChange
from upcall.service.context import Context


@pytest.mark.parametrize("version", Cassandra.versions())
def test_every_setting_that_changes_live_is_one_that_the_locked_version_knows(version: str) -> None:
    assert len(jmx.table(version)) > 60
    assert jmx.table(version).keys() <= facts(version).settings.keys()


async def test_what_a_file_without_the_setting_means_is_known_of_each_or_made_by_the_package() -> None:
    nodes = Nodes({})
    written = config.written(nodes.service.node(nodes.service.members["node-0"]))
    for name, known in jmx.table(Cassandra.version).items():
        value = written[name] if known.default is None else known.default
        assert known.value(value) is not None, name


@pytest.mark.parametrize(
    ("setting", "wanted", "value"),
    [
        ("compaction_throughput", "16MiB/s", "16"),
        ("compaction_throughput", "2048KiB/s", "2"),
        ("compaction_throughput", "1500KiB/s", None),
        ("read_request_timeout", "7s", "7000"),
        ("max_hint_window", "1h", "3600000"),
        ("key_cache_save_period", "1h", "3600"),
        ("sstable_preemptive_open_interval", "1GiB", "1024"),
        ("hinted_handoff_enabled", False, "false"),
        ("tombstone_warn_threshold", 7, "7"),
        ("paxos_variant", "v2", "v2"),
    ],
)
def test_a_value_is_given_in_whole_units_of_its_attribute_or_takes_a_restart(
    setting: str, wanted: Any, value: str | None
) -> None:
    assert jmx.table(Cassandra.version)[setting].value(wanted) == value
    how = Cassandra(Context(name="cassandra")).how(OptionChange("settings", setting, None, wanted))
    assert how.word == ("restart" if value is None else "live")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (OptionChange("settings", "compaction_throughput", "1MiB/s", None), "live"),
        (OptionChange("settings", "concurrent_reads", None, 4), "restart"),
        (OptionChange("unchecked_settings", "compaction_throughput", None, "16MiB/s"), "restart"),
        (OptionChange("memory_mib", "", 640, 700), "restart"),
        (OptionChange("settings", "num_tokens", None, 4), "never"),
    ],
)
def test_only_what_a_node_can_set_while_it_runs_is_changed_live(change: OptionChange, word: str) -> None:
    assert Cassandra(Context(name="cassandra")).how(change).word == word


class Nodes:
    """Three nodes that play the tool."""

    def __init__(self, settings: dict[str, Any], **states: str) -> None:
        self.given: dict[str, str] = {}
        self.refuses: str = ""
        members = {
            name: wire.Member(name=name, state=states.get(name.replace("-", "_"), "ready"))
            for name in ("node-0", "node-1", "node-2")
        }
        self.context = Context(name="cassandra", options={"settings": settings}, members=members, run_tool=self._run)
        self.service = Cassandra(self.context)

    async def _run(self, tool: wire.RunTool) -> wire.ToolResult:
        assert "upcall.SetLive" in tool.command
        self.given[tool.member] = tool.input
        return wire.ToolResult(code=config.TOOL_REFUSED if self.refuses else 0, error=self.refuses)

    async def change(self, key: str, wanted: Any) -> None:
        await self.at("node-2", OptionChange("settings", key, None, wanted))

    async def at(self, name: str, change: OptionChange) -> None:
        await self.service.apply_live_at(self.service.members[name], (change,))


LINE = "compaction_throughput\torg.apache.cassandra.db:type=StorageService\tCompactionThroughputMbPerSec\t{}\n"


async def test_a_node_is_given_alone_what_its_file_says() -> None:
    nodes = Nodes({"compaction_throughput": "16MiB/s"})
    await nodes.change("compaction_throughput", "16MiB/s")
    assert nodes.given == {"node-2": LINE.format(16)}


async def test_what_was_set_while_a_node_ran_is_taken_back_at_it_and_ends_with_its_process() -> None:
    nodes = Nodes({"compaction_throughput": "64MiB/s"}, node_1="ended")
    back = (OptionChange("settings", "compaction_throughput", "16MiB/s", "64MiB/s"),)
    for name in ("node-1", "node-2"):
        await nodes.service.take_live_back(nodes.service.members[name], back)
    assert nodes.given == {"node-2": LINE.format(64)}


async def test_what_is_not_set_any_more_has_again_what_the_file_means_without_it() -> None:
    nodes = Nodes({})
    await nodes.at("node-1", OptionChange("settings", "compaction_throughput", "16MiB/s", None))
    assert nodes.given["node-1"] == LINE.format(64)
    await nodes.at("node-1", OptionChange("settings", "column_index_size", "4KiB", None))
    assert nodes.given["node-1"].endswith("\t16\n"), "what the package makes of it"


async def test_what_a_node_refuses_is_told_in_its_words() -> None:
    nodes = Nodes({"concurrent_compactors": 0})
    nodes.refuses = "concurrent_compactors: should be greater than 0\n"
    with pytest.raises(Invalid, match="concurrent_compactors: should be greater than 0"):
        await nodes.change("concurrent_compactors", 0)


async def test_a_node_that_read_its_file_right_before_a_live_change_gets_it_once_it_is_ready() -> None:
    nodes = Nodes({"compaction_throughput": "16MiB/s"}, node_1="ended")
    await nodes.change("compaction_throughput", "16MiB/s")
    node = nodes.service.members["node-2"]
    nodes.given.clear()
    await nodes.service.after_ready(node)
    assert nodes.given == {"node-2": LINE.format(16)}
