"""A service's own memory: compare-and-swap, fenced."""

from typing import Any

import pytest

from upcall.protocol.errors import Conflict, Invalid
from upcall.service.context import Volatile
from upcall.service.link import Fenced
from upcall.service.state import State


class Racing(Volatile):
    """Somebody else writes between each read and write, so many times."""

    def __init__(self, races: int) -> None:
        super().__init__()
        self.races = races

    async def write(self, key: str, value: Any, version: int) -> int:
        if self.races:
            self.races -= 1
            old, at = self.entries.get(key, ([], 0))
            self.entries[key] = ([*old, "theirs"], at + 1)
            raise Conflict("version", where=key)
        return await super().write(key, value, version)


async def test_a_key_that_is_not_there_reads_as_the_default() -> None:
    assert await State(Volatile()).get("jobs", []) == []


async def test_an_update_that_lost_a_race_is_made_anew_from_the_newer_value() -> None:
    state = State(Racing(2))
    assert await state.update("jobs", lambda jobs: [*jobs, "mine"], []) == ["theirs", "theirs", "mine"]
    assert await state.get("jobs") == ["theirs", "theirs", "mine"]


async def test_an_update_that_never_wins_gives_up() -> None:
    with pytest.raises(Conflict, match="changed 8 times"):
        await State(Racing(100)).set("jobs", [])


async def test_a_host_that_was_fenced_off_does_not_try_again() -> None:
    class Fence(Volatile):
        tries = 0

        async def write(self, key: str, value: Any, version: int) -> int:
            self.tries += 1
            raise Fenced("newer subscription")

    keep = Fence()
    with pytest.raises(Fenced):
        await State(keep).set("jobs", [])
    assert keep.tries == 1


@pytest.mark.parametrize("key", ["", "a b", "../x", "a/b", "x" * 201])
async def test_a_key_that_would_not_survive_a_path_is_refused(key: str) -> None:
    with pytest.raises(Invalid, match="no key"):
        await State(Volatile()).get(key)


async def test_deleting_is_idempotent() -> None:
    state = State(Volatile())
    await state.set("a", 1)
    await state.delete("a")
    await state.delete("a")
    assert await state.get("a") is None
