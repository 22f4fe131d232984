"""Rows that lie together in the store are written together."""

from collections.abc import Sequence
from typing import Any

import pytest

from upcall.fastdata import partition_writes
from upcall.fastdata.partition_writes import as_writes, by_partition


class Prepared:
    """What the driver knows of a statement: which columns make the partition."""

    def __init__(self, *routing_key_indexes: int) -> None:
        self.routing_key_indexes: Sequence[int] | None = routing_key_indexes or None


def test_rows_of_one_partition_are_one_write_and_keep_their_order() -> None:
    seconds, blocks = Prepared(0, 1), Prepared(0)
    rows: list[Any] = [(seconds, ("run", strip, second)) for second in range(3) for strip in range(2)]
    rows += [(blocks, ("run", 7)), (blocks, ("other", 7))]
    groups = by_partition(rows)
    assert [[row[1:] for _, row in group] for group in groups] == [
        [(0, 0), (0, 1), (0, 2)],
        [(1, 0), (1, 1), (1, 2)],
        [(7,)],
        [(7,)],
    ]
    assert sorted(map(repr, (each for group in groups for each in group))) == sorted(map(repr, rows))


def test_equal_keys_of_two_tables_are_two_writes() -> None:
    one, other = Prepared(0), Prepared(0)
    assert len(by_partition([(one, ("run",)), (other, ("run",))])) == 2


def test_a_statement_without_a_known_partition_stands_alone() -> None:
    unknown = Prepared()
    assert len(by_partition([(unknown, ("run",)), (unknown, ("run",)), ("text", ()), ("text", ())])) == 4


def test_a_write_is_bounded_in_rows_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_writes, "ROWS_MAX", 4)
    monkeypatch.setattr(partition_writes, "BYTES_MAX", 100)
    table = Prepared(0)
    assert [len(group) for group in by_partition([(table, ("run", n)) for n in range(10)])] == [4, 4, 2]
    assert [len(group) for group in by_partition([(table, ("run", bytes(60))) for _ in range(3)])] == [1, 1, 1]
    assert [len(group) for group in by_partition([(table, ("run", bytes(500)))])] == [1], "a large row is not refused"


def test_a_single_row_needs_no_batch() -> None:
    row = (Prepared(0), ("run", 1))
    assert list(as_writes([[row]])) == [row]
