"""Rows of one partition of a table travel together: one write for the store instead of one for each row.

An unlogged batch within a partition is a single mutation, applied wholly or not at all, so it costs the coordinator and
each replica about what one row costs. While the job keeps up, a micro-batch has few rows of a partition; when it begins
late or after a fault, it has many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from cassandra.query import BatchStatement, BatchType

Statement = tuple[Any, Sequence[Any]]

ROWS_MAX: Final = 32
BYTES_MAX: Final = 256 * 1024
"""Of the rows' blobs: far below what a replica takes as one mutation."""


def by_partition(statements: Sequence[Statement]) -> list[list[Statement]]:
    """Groups of prepared statements of one partition each, in the order in which they first appear. No row may stand
    in ``statements`` twice: in one group both would have one timestamp."""
    groups: list[list[Statement]] = []
    latest: dict[Any, tuple[list[Statement], int]] = {}
    for statement in statements:
        prepared, row = statement
        size = sum(len(value) for value in row if isinstance(value, bytes))
        key = (id(prepared), *(row[at] for at in getattr(prepared, "routing_key_indexes", None) or ()))
        group, held = latest.get(key, ([], 0))
        alone = len(key) == 1
        if alone or not group or len(group) == ROWS_MAX or held + size > BYTES_MAX:
            group, held = [], 0
            groups.append(group)
        group.append(statement)
        latest[key] = group, held + size
    return groups


def as_writes(groups: Sequence[Sequence[Statement]]) -> Iterator[tuple[Any, Sequence[Any] | None]]:
    """What the driver executes for each group."""
    for group in groups:
        if len(group) == 1:
            yield group[0]
            continue
        batch = BatchStatement(BatchType.UNLOGGED)
        batch.is_idempotent = True
        for prepared, row in group:
            batch.add(prepared, row)
        yield batch, None
