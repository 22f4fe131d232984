"""What an expert declares as commands is of his actions, and each word leads to one."""

from typing import Any

import pytest

from upcall.protocol.service import ActionSpec
from upcall.service import Command
from upcall.service.commands import specs_of
from upcall.service.package import build_installed, installed

MAKE = ActionSpec(name="make", arguments={"properties": {"name": {"type": "string"}}})
ACTIONS = {"make": MAKE}


def test_a_command_says_of_which_action_it_is_and_what_it_takes() -> None:
    (spec,) = specs_of((Command("thing make", "make", takes=("name",)),), ACTIONS)
    assert (spec.words, spec.action, spec.takes) == ("thing make", "make", ("name",))


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        ([Command("x", "made")], "names the action 'made', which is none"),
        ([Command("x", "make", takes=("nam",))], "make has no argument 'nam'"),
        ([Command("x", "make", given={"a": 1})], "no argument 'a'"),
        ([Command("x", "make", lines="all")], "no argument 'all'"),
        ([Command("x")], "one of the two"),
        ([Command("x", "make", member="m")], "one of the two"),
        ([Command("x  y", "make")], "one space"),
        ([Command("", "make")], "one space"),
        ([Command("x", "make"), Command("x", "make")], "none below it"),
        ([Command("x", "make"), Command("x y", "make")], "none below it"),
    ],
)
def test_what_cannot_be_a_command_is_refused_where_it_is_declared(commands: list[Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        specs_of(tuple(commands), ACTIONS)


def test_each_system_of_the_catalog_brings_its_own() -> None:
    packages = {entry.split(".")[2]: build_installed(entry).package for entry in installed() if ".catalog." in entry}
    words = {name: {one.words for one in package.commands} for name, package in packages.items()}
    assert words["kafka"] >= {f"topic {verb}" for verb in ("create", "list", "describe", "delete", "alter")}
    assert words["kafka"] >= {"groups", "lag", "produce", "consume"}
    assert words["cassandra"] >= {"cql", "keyspace create", "keyspace list", "status", "repair"}
    assert words["spark"] >= {"submit", "jobs", "logs", "stop"}
