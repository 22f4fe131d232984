"""What a person asks for of a cluster for his tests."""

from pathlib import Path
from typing import Any

import pytest

from upcall.protocol.errors import Invalid
from upcall.pytest import asked
from upcall.pytest.asked import Small

STORE = Small("store", "replicas", {"replicas": 1, "memory_mib": 256})


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 0), ("0", 0), ("90s", 90), ("15m", 900), ("1.5h", 5400), (" 2d ", 172_800), ("7", 7)]
)
def test_a_time_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert asked.seconds(text, "upcall_keep") == seconds


@pytest.mark.parametrize("text", ["soon", "-5m", "15 minutes", "8d", "1e3", "nan"])
def test_what_is_no_time_is_said_with_what_would_be(text: str) -> None:
    with pytest.raises(Invalid, match=r"is no time; at upcall_keep; expected 90s, 15m, 2h"):
        asked.seconds(text, "upcall_keep")


@pytest.mark.parametrize(
    ("given", "name", "members"),
    [
        ({}, "store", 1),
        ({"replicas": 1}, "store", 1),
        ({"replicas": 3}, "store-3", 3),
        ({"replicas": "many"}, "store-many", 1),
    ],
)
def test_a_service_is_named_by_what_differs_from_the_usual(given: dict[str, Any], name: str, members: int) -> None:
    found = asked.wanted(STORE, given)
    assert (found.name, found.members, found.given()) == (name, members, {**STORE.options, **given})


def test_services_with_other_options_are_others_and_those_with_the_same_are_one() -> None:
    large, larger = asked.wanted(STORE, {"memory_mib": 512}), asked.wanted(STORE, {"memory_mib": 1024})
    assert large.name.startswith("store-")
    assert len({large.name, larger.name, "store"}) == 3
    assert large == asked.wanted(STORE, {"memory_mib": 512, "replicas": 1})


def test_a_file_of_ones_own_is_another_service_in_another_place_with_other_options_or_edited(tmp_path: Path) -> None:
    here, there = tmp_path / "My Store.py", tmp_path / "other" / "My Store.py"
    others = [asked.of_file(there, {}), asked.of_file(here, {"size": 2}), asked.of_file(here, {}, b"edited")]
    names = {asked.of_file(here, {}).name, *(one.name for one in others)}
    assert len(names) == 4
    assert all(name.startswith("my-store-") for name in names)


def test_options_that_json_cannot_say_are_refused() -> None:
    with pytest.raises(Invalid, match="options of a service"):
        asked.wanted(STORE, {"memory_mib": object()})


def test_a_marker_gives_options_by_service() -> None:
    found = asked.of_marker(["store", "log"], (), {"store": {"replicas": 3}, "log": {}, "alone": True})
    assert found == {"store": {"replicas": 3}, "log": {}}


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        (
            (),
            {"stroe": {}},
            r"unknown service 'stroe', did you mean 'store'\?; at mark.upcall; expected store",
        ),
        ((), {"store": 3}, r"store is 3; at mark.upcall; expected its options"),
        ((), {"alone": 1}, r"alone is 1; at mark.upcall; expected True or False"),
        (({"replicas": 3},), {}, r"has no name; at mark.upcall; expected store, by name"),
    ],
)
def test_a_mistake_in_a_marker_is_said(args: tuple[Any, ...], kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        asked.of_marker(["store"], args, kwargs)
