"""A question to a store that is short of time for a moment: asked again by the patient, told at once to others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import ReadTimeout

from upcall.fastdata import queries as asked
from upcall.fastdata.queries import Queries


class Busy:
    """A session whose first answers are that replicas did not answer in time."""

    def __init__(self, late: int) -> None:
        self.late = late
        self.executed = 0

    def prepare(self, query: str) -> Any:
        return SimpleNamespace(query=query)

    def execute(self, prepared: Any, values: tuple[Any, ...]) -> list[Any]:
        self.executed += 1
        if self.executed <= self.late:
            raise ReadTimeout("1 of 2 answered", required_responses=2, received_responses=1)
        return [SimpleNamespace(block=0, second=7)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "AGAIN_S", 0.0)


async def test_one_who_has_patience_asks_again() -> None:
    session = Busy(late=2)
    queries = Queries(session, patience_s=3_600)
    assert await queries.complete_until("run", blocks=1) == 7
    assert session.executed == 3


async def test_one_who_has_none_is_told_at_once() -> None:
    session = Busy(late=1)
    with pytest.raises(ReadTimeout):
        await Queries(session).complete_until("run", blocks=1)
    assert session.executed == 1
