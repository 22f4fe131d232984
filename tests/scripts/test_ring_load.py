"""The open loop on Cassandra: what is due waits for no answer, what fails is asked again, what is wrong is seen."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import cql
from benchmarks.cql import Requests, read_all, text_of

Callback = Callable[..., None]


class Answer:
    def __init__(self, give: Callable[[Callback, Callback], None]) -> None:
        self._give = give

    def add_callbacks(
        self, callback: Callback, errback: Callback, callback_args: tuple[int], errback_args: tuple[int]
    ) -> None:
        self._give(lambda rows: callback(rows, *callback_args), lambda error: errback(error, *errback_args))


class Prepared:
    is_idempotent = False

    def __init__(self, query: str) -> None:
        self.query = query


class Table:
    """A session with one table, which answers at once, or not."""

    def __init__(self, *, silent: bool = False, refuses: int = 0, forgets: bool = False) -> None:
        self.rows: dict[int, str] = {}
        self.silent, self.refuses, self.forgets = silent, refuses, forgets

    def prepare(self, query: str) -> Prepared:
        return Prepared(query)

    def execute_async(self, statement: Prepared, values: tuple[Any, ...], timeout: float) -> Answer:
        assert statement.is_idempotent
        assert timeout > 0

        def give(callback: Callback, errback: Callback) -> None:
            if self.silent:
                return
            if self.refuses:
                self.refuses -= 1
                errback(TimeoutError("no quorum"))
            elif statement.query.startswith("INSERT"):
                if not self.forgets:
                    self.rows[values[0]] = values[1]
                callback([])
            else:
                callback([(self.rows[values[0]],)] if values[0] in self.rows else [])

        return Answer(give)

    def execute(self, query: Any, timeout: float) -> list[tuple[int, str]]:
        return list(self.rows.items())


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60.0
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_is_due_waits_for_no_answer_and_what_has_none_has_failed() -> None:
    with Requests(Table(silent=True), deadline_s=0.1) as load:
        until(lambda: load.due >= 20)
    assert load.failed == load.due >= 20
    assert not load.acknowledged


@pytest.mark.parametrize("again", [True, False])
def test_what_fails_is_asked_again_where_it_may_be(again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cql, "AGAIN_AFTER_S", 0.01)
    with Requests(Table(refuses=3), deadline_s=60.0, again=lambda _: again) as load:
        until(lambda: load.ended > 20)
    assert load.ended == load.due
    assert load.failed == load.errors.total() == (0 if again else 3)


def test_an_answer_that_is_told_twice_counts_once() -> None:
    class Twice(Table):
        def execute_async(self, statement: Prepared, values: tuple[Any, ...], timeout: float) -> Answer:
            one = super().execute_async(statement, values, timeout)

            def give(callback: Callback, errback: Callback) -> None:
                for _ in range(2):
                    one._give(callback, errback)

            return Answer(give)

    with Requests(Twice(refuses=4), deadline_s=60.0) as load:
        until(lambda: load.ended > 20)
    assert (load.ended, load.failed) == (load.due, 0)


def test_rows_begin_where_it_is_told_and_the_next_one_is_nobodys() -> None:
    table = Table()
    with Requests(table, first=1000, deadline_s=60.0) as load:
        until(lambda: len(load.acknowledged) > 5)
    assert sorted(load.acknowledged) == sorted(table.rows) == list(range(1000, load.next))
    assert set(read_all(table)) == set(table.rows)


def test_a_read_that_does_not_find_what_was_acknowledged_is_seen() -> None:
    with Requests(Table(forgets=True), deadline_s=60.0) as load:
        until(lambda: len(load.unread) > 0)
    assert load.unread <= set(load.acknowledged)
    assert load.failed > 0


def test_a_row_with_another_text_is_not_the_row() -> None:
    table = Table()
    table.rows = {1: text_of(1), 2: "another"}
    assert read_all(table) == {1: 1}
