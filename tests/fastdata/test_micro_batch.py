"""A micro-batch through the task and back, as Spark would drive it, without Spark."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa

from upcall.fastdata.detect.tests import score_bytes
from upcall.fastdata.frames import Frame, encode
from upcall.fastdata.micro_batch import SCHEMA, Result, Task, read_result
from upcall.fastdata.sensors import SENSORS_PER_BLOCK
from upcall.fastdata.windows import statistics

RATE = 64
RUN = "run-1"


def counts_of(block: int, second: int) -> np.ndarray:
    return np.random.default_rng([block, second]).integers(-99, 99, (RATE, SENSORS_PER_BLOCK)).astype(np.int16)


def frame(block: int, second: int, begin: int = 0, end: int = RATE) -> bytes:
    return encode(Frame(RUN, block, second * RATE + begin, RATE, counts_of(block, second)[begin:end]))


def run(task: Task, partition: int, first_offset: int, messages: list[bytes]) -> Result:
    task = pickle.loads(pickle.dumps(task))  # it travels to the workers
    offsets = list(range(first_offset, first_offset + len(messages)))
    columns = [pa.array([partition] * len(messages), pa.int32()), pa.array(offsets, pa.int64()), pa.array(messages)]
    table = pa.table(columns, names=["partition", "offset", "value"])
    batches = list(task(table.to_batches(max_chunksize=2)))
    assert all(batch.schema == SCHEMA for batch in batches)
    return read_result(pa.Table.from_batches(batches, SCHEMA))


def test_windows_open_seconds_refused_and_tally_come_back() -> None:
    messages = [frame(0, 5), frame(4, 5, 0, 16), b"nonsense", frame(0, 6), frame(4, 5, 16, 32)]
    result = run(Task(), 3, 100, messages)
    assert [(w.block, w.second, w.count, w.partition, w.first_offset) for w in result.windows] == [
        (0, 5, RATE, 3, 100),
        (0, 6, RATE, 3, 103),
    ]
    assert result.windows[0].values == statistics(counts_of(0, 5), 0).tobytes()
    assert result.windows[0].scores == score_bytes(counts_of(0, 5), 0)
    [opened] = result.opened
    assert (opened.block, opened.second, opened.first_offset, len(opened.frames)) == (4, 5, 101, 2)
    [refused] = result.refused
    assert (refused.partition, refused.offset, refused.data) == (3, 102, b"nonsense")
    assert "shorter" in refused.reason
    [tally] = result.tallies
    assert (tally.partition, tally.frames, tally.corrupt, tally.next_offset) == (3, 5, 1, 105)
    assert tally.readings == (RATE + RATE + 32) * SENSORS_PER_BLOCK


def test_open_second_goes_on_in_the_next_micro_batch() -> None:
    first = run(Task(), 0, 0, [frame(0, 1, 0, 40)])
    second = run(Task(opened=tuple(first.opened)), 0, 1, [frame(0, 1, 40)])
    [window] = second.windows
    assert (window.count, window.first_offset, window.last_offset) == (RATE, 0, 1)
    assert window.values == statistics(counts_of(0, 1), 0).tobytes()
    assert second.opened == []


def test_task_takes_only_the_open_seconds_of_its_partition_and_gives_them_all_back() -> None:
    others = run(Task(), 1, 0, [frame(1, 1, 0, 40)]).opened
    mine = run(Task(), 0, 0, [frame(0, 1, 0, 40)]).opened
    result = run(Task(opened=(*others, *mine)), 0, 1, [frame(4, 1, 0, 8)])
    assert sorted(opened.block for opened in result.opened) == [0, 4]


def test_seconds_that_are_stored_are_passed_over() -> None:
    result = run(Task(stored_until={(RUN, 0): 1}, count_from={0: 1}), 0, 0, [frame(0, 1), frame(0, 2)])
    assert [window.second for window in result.windows] == [2]
    assert result.tallies[0].frames == 1


def test_windows_come_in_the_order_in_which_they_are_judged() -> None:
    result = run(Task(), 0, 0, [frame(4, 1), frame(0, 1), frame(4, 2), frame(0, 2)])
    assert [(w.block, w.second) for w in result.windows] == [(0, 1), (0, 2), (4, 1), (4, 2)]


def test_task_without_messages_yields_nothing() -> None:
    assert list(Task()([])) == []
