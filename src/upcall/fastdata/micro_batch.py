"""What a Spark task does with its part of a micro-batch, and how its answer comes back: Arrow in, Arrow out, no Spark.

The task is sent to the workers with each micro-batch, because it carries what the one before left open: packed frames
of incomplete seconds, and which seconds are final. It yields one row for each complete second (26 KB for the statistics
and scores of a block: this is what the driver collects), for each second still open, for each refused message, and one
tally for the partition.

A Python worker runs one task after the other, and after each Spark collects garbage: it visits every object of numpy
and pyarrow, which takes longer than a small task. So the first task of a worker sets aside what was imported by then.
"""

from __future__ import annotations

import gc
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field
from typing import Any, Final

import pyarrow as pa

from upcall.fastdata.detect.tests import score_bytes
from upcall.fastdata.windows import Assembler, BlockKey, OpenSecond, Refused, Tally, Window

WINDOW, OPEN, REFUSED, TALLY = range(4)

SCHEMA: Final = pa.schema(
    [
        ("what", pa.int8()),
        ("run_id", pa.string()),
        ("block", pa.int32()),
        ("second", pa.int64()),
        ("rate_hz", pa.int32()),
        ("count", pa.int32()),
        ("first_sample", pa.int64()),
        ("last_sample", pa.int64()),
        ("partition", pa.int32()),
        ("first_offset", pa.int64()),
        ("last_offset", pa.int64()),
        ("body", pa.binary()),
        ("more", pa.binary()),
    ]
)
DDL: Final = (
    "what tinyint, run_id string, block int, second bigint, rate_hz int, `count` int, first_sample bigint, "
    "last_sample bigint, `partition` int, first_offset bigint, last_offset bigint, body binary, more binary"
)
"""The same for Spark."""
ROWS_MAX: Final = 32
"""Rows of one Arrow batch that a task yields: bounds what a worker holds."""

_TALLY: Final = struct.Struct("<9q")
_FRAME: Final = struct.Struct("<qI")

_is_light = False


def lighten_worker() -> None:
    """Once in each worker; see above."""
    global _is_light
    if not _is_light:
        _is_light = True
        gc.collect()
        gc.freeze()


def lighten(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Callable for `mapInArrow`, as a task is: passes over what it gets, in a worker that is light afterwards."""
    lighten_worker()
    for _ in batches:
        pass
    return iter(())


@dataclass(frozen=True, slots=True)
class Task:
    """Callable for `mapInArrow` over columns (partition, offset, value) of one partition, in the order of the log."""

    opened: tuple[OpenSecond, ...] = ()
    stored_until: Mapping[BlockKey, int] = field(default_factory=dict)
    count_from: Mapping[int, int] = field(default_factory=dict)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        lighten_worker()
        rows: list[tuple[Any, ...]] = []
        assembler: Assembler | None = None
        for batch in batches:
            partitions, offsets, values = batch.columns
            for at in range(batch.num_rows):
                if assembler is None:
                    assembler = self._assembler(partitions[at].as_py())
                assert assembler.tally.partition == partitions[at].as_py(), "a task reads one partition"
                data = values[at].as_py() or b""
                rows.extend(_window_row(window) for window in assembler.add(offsets[at].as_py(), data))
                if len(rows) >= ROWS_MAX:
                    yield _batch(rows)
                    rows = []
        if assembler is not None:
            rows.extend(_open_row(second) for second in assembler.still_open())
            rows.extend(_refused_row(refused) for refused in assembler.refused)
            rows.append(_tally_row(assembler.tally))
            yield _batch(rows)

    def _assembler(self, partition: int) -> Assembler:
        mine = [second for second in self.opened if second.partition == partition]
        return Assembler(partition, mine, self.stored_until, score_bytes, self.count_from.get(partition, 0))


@dataclass(frozen=True, slots=True)
class Result:
    """The answer of all tasks. `opened` holds every open second of the partitions that have a tally."""

    windows: list[Window]
    opened: list[OpenSecond]
    refused: list[Refused]
    tallies: list[Tally]


def read_result(table: pa.Table) -> Result:
    """Windows by run, block and second: the order in which they are judged and stored."""
    result = Result([], [], [], [])
    for row in table.to_pylist():
        what = row["what"]
        if what == WINDOW:
            result.windows.append(
                Window(
                    row["run_id"], row["block"], row["second"], row["rate_hz"], row["count"], row["first_sample"],
                    row["last_sample"], row["partition"], row["first_offset"], row["last_offset"], row["body"],
                    row["more"],
                )
            )  # fmt: skip
        elif what == OPEN:
            frames = tuple(_unpack_frames(row["body"]))
            result.opened.append(
                OpenSecond(row["run_id"], row["block"], row["second"], row["partition"], frames, row["count"])
            )
        elif what == REFUSED:
            result.refused.append(Refused(row["partition"], row["first_offset"], row["more"].decode(), row["body"]))
        else:
            result.tallies.append(Tally(*_TALLY.unpack(row["body"])))
    result.windows.sort(key=lambda window: (window.run_id, window.block, window.second))
    return result


def _window_row(w: Window) -> tuple[Any, ...]:
    return (
        WINDOW, w.run_id, w.block, w.second, w.rate_hz, w.count, w.first_sample, w.last_sample, w.partition,
        w.first_offset, w.last_offset, w.values, w.scores,
    )  # fmt: skip


def _open_row(opened: OpenSecond) -> tuple[Any, ...]:
    body = b"".join(part for offset, data in opened.frames for part in (_FRAME.pack(offset, len(data)), data))
    return (
        OPEN, opened.run_id, opened.block, opened.second, 0, opened.passed_by, 0, 0, opened.partition,
        opened.first_offset, 0, body, None,
    )  # fmt: skip


def _refused_row(refused: Refused) -> tuple[Any, ...]:
    return (
        REFUSED, None, 0, 0, 0, 0, 0, 0, refused.partition, refused.offset, refused.offset, refused.data,
        refused.reason.encode(),
    )  # fmt: skip


def _tally_row(tally: Tally) -> tuple[Any, ...]:
    return (TALLY, None, 0, 0, 0, 0, 0, 0, tally.partition, 0, 0, _TALLY.pack(*astuple(tally)), None)


def _unpack_frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(body):
        offset, length = _FRAME.unpack_from(body, at)
        at += _FRAME.size
        yield offset, body[at : at + length]
        at += length


def _batch(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = [pa.array(column, kind.type) for column, kind in zip(zip(*rows, strict=True), SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
