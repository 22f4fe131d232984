"""What a person writes into a setting reaches the system as it was written, whatever stands in it."""

import re
from typing import Any

import pytest
import yaml

from upcall.agent.render import names_of, render
from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.kafka import properties
from upcall.catalog.kafka.service import Kafka
from upcall.catalog.spark.service import Spark
from upcall.fastdata.services.windows import Windows
from upcall.protocol.agent import Launch
from upcall.protocol.declaration import Declaration
from upcall.testing import Scenario

TEXTS = (
    "{{address}}",
    "{{no.such.name}} and {{{{x}}",
    "{",
    "{{",
    "{{brace}}",
    " C:\\new\\{{zone}}\ttab",
    "two\nlines=of it",
    "ü {{node}} 𝄞",
    "#no: comment!",
)


def as_launched(task: Declaration) -> tuple[list[str], dict[str, str]]:
    """The command and the files of a task as its node writes them."""
    names = re.findall(r"{{((?:address|artifact|endpoint|volume|secret)\.[a-z0-9.-]+)}}", repr(task))
    launch = Launch(task="some.member-0.1", declaration=task, generation=1, fence=1, address="127.1.2.3", values={})
    known = names_of(launch, node="n", attributes={}, sandbox="/s", volumes={}, artifacts={}, secrets={})
    known = dict.fromkeys(names, "/filled-in") | known
    files = {each.path: each.text if each.verbatim else render(each.text, known, each.path) for each in task.files}
    return [render(word, known, "command") for word in task.command], files


@pytest.mark.parametrize("text", TEXTS)
def test_a_setting_of_kafka_is_what_was_written(text: str) -> None:
    task = Scenario(Kafka, {"unchecked_settings": {"of.a.plug.in": text}}, fresh=True).run().task("broker-0")
    _, files = as_launched(task)
    found = properties.parsed(files["server.properties"])
    assert found["of.a.plug.in"] == text
    assert found["listeners"].startswith("CLIENT://127.1.2.3:9092")


@pytest.mark.parametrize("text", TEXTS)
def test_a_setting_of_cassandra_is_what_was_written_at_any_depth(text: str) -> None:
    given = {"text": text, "parameters": [{"of": [text], text: 1}]}
    task = Scenario(Cassandra, {"unchecked_settings": {"plug_in": given}}, fresh=True).run().task("node-0")
    _, files = as_launched(task)
    found: dict[str, Any] = yaml.safe_load(files["cassandra.yaml"])
    assert found["plug_in"] == given
    assert found["rpc_address"] == "127.1.2.3"


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("member", ["master-0", "worker-0"])
def test_a_setting_of_spark_is_what_was_written(text: str, member: str) -> None:
    task = Scenario(Spark, {"unchecked_settings": {"my.library": text}}, fresh=True).run().task(member)
    command, _ = as_launched(task)
    assert f"-Dmy.library={text}" in command


@pytest.mark.parametrize("text", TEXTS)
def test_a_setting_of_the_flights_job_is_what_was_written(text: str) -> None:
    command, _ = as_launched(Scenario(Windows, {"settings": {"my.library": text}}, fresh=True).run().task("driver-0"))
    assert f"my.library={text}" in command


def test_a_settings_file_is_read_back_as_java_reads_it() -> None:
    """Checked against ``java.util.Properties`` by hand; here: no line but those of the settings, and plain letters."""
    text = properties.written({f"name {number}:=": text for number, text in enumerate(TEXTS)})
    assert text.isascii()
    assert len(text.splitlines()) == len(TEXTS)
    assert properties.parsed(text) == {f"name {number}:=": text for number, text in enumerate(TEXTS)}
