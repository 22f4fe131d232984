"""What a store does with a node that goes away in the middle of a write."""

from typing import Any

import pytest
from cassandra import InvalidRequest
from cassandra.connection import ConnectionShutdown

from upcall.fastdata import store as stores
from upcall.fastdata.store import Store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(stores, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(stores, "RETRY_MAX_S", 0.001)
    made = object.__new__(Store)  # without a session: what is written is given below
    made._session = None
    return made


def test_what_a_lost_node_did_not_answer_is_written_again_and_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[Any]] = []

    def execute(_session: object, statements: list[Any], **_: object) -> list[tuple[bool, Any]]:
        asked.append(list(statements))
        lost = ConnectionShutdown("Connection to 127.0.0.1 was closed")
        return [(True, None) if len(asked) > 1 or number != 1 else (False, lost) for number in range(len(statements))]

    monkeypatch.setattr(stores, "execute_concurrent", execute)
    store.write([("a", ()), ("b", ()), ("c", ())])
    assert asked == [[("a", ()), ("b", ()), ("c", ())], [("b", ())]]


def test_what_stays_wrong_is_told_at_the_end_of_patience(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "WRITE_PATIENCE_S", 0.01)
    monkeypatch.setattr(stores, "execute_concurrent", lambda *_, **__: [(False, InvalidRequest("no such table"))])
    with pytest.raises(InvalidRequest):
        store.write([("a", ())])
