"""Kafka's own settings are checked where they are typed in: by name, type and range of the locked version."""

import json
from importlib.resources import files
from typing import Any

import pytest

from upcall.catalog.cassandra.service import Cassandra
from upcall.catalog.kafka import config
from upcall.catalog.kafka.service import Kafka
from upcall.catalog.kafka.settings import checked, facts, settings_schema
from upcall.catalog.kafka.sizing import size_broker
from upcall.catalog.spark.service import Spark
from upcall.protocol import schema
from upcall.protocol.errors import Invalid
from upcall.service.actions import action_named
from upcall.service.context import Context
from upcall.testing import Scenario


def refused(settings: dict[str, Any]) -> str:
    """By the master, which has the schema and not the code."""
    with pytest.raises(Invalid) as caught:
        schema.check(
            Kafka.Options.model_json_schema(),
            {"settings": settings},
            noun="option",
            of="package kafka",
            where="options",
        )
    return str(caught.value)


@pytest.mark.parametrize("version", Kafka.versions())
def test_the_settings_are_those_of_the_locked_version(version: str) -> None:
    lock = json.loads((files("upcall.catalog.kafka") / "versions" / version / "lock" / "kafka.json").read_bytes())
    assert facts(version).version == lock["version"] == Kafka.at(version).version == version


def test_the_newest_version_is_the_one_that_nobody_has_to_name() -> None:
    assert Kafka.version == Kafka.versions()[-1]


def test_settings_are_checked_against_the_version_that_is_to_run() -> None:
    """4.1 still had a switch for share groups; what it lacks came later."""
    old, new = Kafka.at("4.1.2"), Kafka.at("4.3.1")
    assert old.Options(settings={"group.share.enable": True}).model_dump()["settings"] == {"group.share.enable": "true"}  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"group\.share\.enable.* of Kafka 4\.3\.1"):
        new.Options(settings={"group.share.enable": True})  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"cordoned\.log\.dirs.* of Kafka 4\.1\.2"):
        old.Options(settings={"cordoned.log.dirs": "*"})  # type: ignore[call-arg]


def test_versions_share_the_code_and_the_runtime_and_differ_in_the_jars() -> None:
    old, new = ({one.name: one.lock for one in Kafka.at(version).artifacts()} for version in ("4.1.2", "4.3.1"))
    assert {name for name in new if old[name] != new[name]} == {"kafka"}
    assert set(old) == set(new) == {"java", "kafka", "compiler", "extras", "archive"}


def test_an_unknown_setting_is_refused_with_the_nearest_known_one() -> None:
    assert "unknown name 'no.such.option'" in refused({"no.such.option": "1"})
    assert "`unchecked_settings` takes any other, and nobody checks those" in refused({"no.such.option": "1"})
    assert "did you mean 'log.segment.bytes'?" in refused({"log.segment.byte": "1"})


def test_who_insists_is_told_how_also_where_the_code_itself_refuses() -> None:
    """Before an install by goals, and of an upgrade, the model speaks before the schema."""
    for code in (Kafka, Cassandra, Spark):
        with pytest.raises(ValueError, match=r"unknown setting 'no\.such.* `unchecked_settings` takes any other"):
            code.Options(settings={"no.such": "1"})  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"is not allowed \(made here: the member's number\)") as barred:
        Kafka.Options(settings={"node.id": "1"})  # type: ignore[call-arg]
    assert "unchecked" not in str(barred.value), "that is no way to have it"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log.segment.bytes", "banana"),
        ("log.segment.bytes", 5),
        ("auto.create.topics.enable", "yes"),
        ("compression.type", "zip"),
        ("log.cleanup.policy", "compac"),
        ("num.io.threads", "0"),
        ("num.io.threads", "2.5"),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_refused(name: str, value: object) -> None:
    assert name in refused({name: value})


def test_a_text_is_held_to_the_same_bounds_as_a_number() -> None:
    for value in (5, "5"):
        with pytest.raises(ValueError, match=r"5 is not allowed; at .*; expected a whole number from 1048576 to"):
            checked(Kafka.version, "broker", {"log.segment.bytes": value})
    number, text = ({"log.segment.bytes": 1048576}, {"log.segment.bytes": "1048576"})
    assert checked(Kafka.version, "broker", number) == checked(Kafka.version, "broker", text)
    given = {"auto.create.topics.enable": True}
    assert checked(Kafka.version, "broker", given) == {"auto.create.topics.enable": "true"}


def test_what_is_made_here_cannot_be_set_and_says_where_it_comes_from() -> None:
    assert "the broker's volume" in refused({"log.dirs": "/tmp"})
    assert "the option `client_auth`" in refused({"listener.security.protocol.map": "CLIENT:PLAINTEXT"})


@pytest.mark.parametrize("version", Kafka.versions())
def test_what_we_set_ourselves_is_known_to_the_locked_version(version: str) -> None:
    text = config.server_properties(node_id=1, members=("broker-0",), sizing=size_broker(448, 2, 2048))
    own = dict(line.split("=", 1) for line in text.splitlines())
    of_clients, of_plug_ins = {"security.protocol", "sasl.mechanism"}, ("listener.name.", "config.providers")
    known = facts(version).broker
    assert not [
        name for name in own if not name.startswith(of_plug_ins) and name not in known | dict.fromkeys(of_clients)
    ]
    templated = {name: value for name, value in own.items() if "{{" not in value and name in known}
    properties = settings_schema(version, "broker")["properties"]
    free = {name: value for name, value in templated.items() if properties[name].get("not") is None}
    checked(version, "broker", free)


def test_a_plug_ins_settings_pass_unchecked() -> None:
    task = Scenario(Kafka, {"unchecked_settings": {"my.plug.in": 3}}, fresh=True).run().task("broker-0")
    assert "my.plug.in=3\n" in next(file.text for file in task.files if file.path == "server.properties")


@pytest.mark.parametrize("given", [{"retention.bites": "1"}, {"retention.ms": "long"}, {"cleanup.policy": "keep"}])
async def test_a_topics_settings_are_checked_too(given: dict[str, str]) -> None:
    create = action_named(Kafka, "create-topic")
    with pytest.raises(Invalid, match=next(iter(given))):
        await create.call(Kafka(Context(name="kafka", options={})), {"name": "t", "config": given})
    arguments = {"name": "t", "config": given}
    with pytest.raises(Invalid):
        schema.check(create.spec.arguments, arguments, noun="argument", of="create-topic", where="arguments")
