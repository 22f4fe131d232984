"""A recording of what the ledger was given replays any run: also one in which the master died.

Everything that a ledger does follows from its records, its start number and its inputs. So a recording has a line for
each input, and one for each start of the master: which start it is, and how many record writes of the run were
durable when it began. What was written later, or only decided, was lost with the master before it.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from upcall.operations.effects import Outcome
from upcall.operations.inputs import Input
from upcall.operations.ledger import Ledger
from upcall.operations.records import Put, Record, RecordChange, decode, encode, kind_of


class Began(msgspec.Struct, frozen=True, kw_only=True, tag="began"):
    """A start of the master."""

    start: int
    written: int
    """Record writes since the recording began that were durable at this moment."""


class Took(msgspec.Struct, frozen=True, kw_only=True, tag="took"):
    """One input, and when."""

    input: Input
    now_s: float
    wall_s: float


Line: TypeAlias = Began | Took


def replay(lines: Iterable[Line]) -> Iterator[tuple[Ledger, Outcome]]:
    """The ledger after each input, and what it gave. A recording begins with a start."""
    writes: list[RecordChange] = []
    ledger: Ledger | None = None
    for line in lines:
        if isinstance(line, Began):
            if line.written > len(writes):
                raise ValueError(f"start {line.start} counts {line.written} writes, but {len(writes)} were made")
            del writes[line.written :]
            ledger = Ledger(records_after(writes), start=line.start)
        elif ledger is None:
            raise ValueError("a recording begins with a start of the master")
        else:
            outcome = ledger.handle(line.input, line.now_s, line.wall_s)
            writes += outcome.changes
            yield ledger, outcome


def records_after(writes: Iterable[RecordChange]) -> list[Record]:
    """What a store gives back after these writes: encoded once, in the order of its keys."""
    stored: dict[tuple[str, str], bytes] = {}
    for write in writes:
        if isinstance(write, Put):
            stored[kind_of(write.record), write.record.key] = encode(write.record)
        else:
            stored.pop((write.kind, write.key), None)
    return [decode(stored[key]) for key in sorted(stored)]
