"""Both streams of a task as one text, in the order in which they came."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upcall.agent import logs
from upcall.agent.merging import ERR, LINE_BYTES_MAX, OUT, Mark, Merging
from upcall.agent.watching import Watching
from upcall.keeper.logs import ORDER, OrderedLogs

NAMES = ("stdout", "stderr")
Writes = list[tuple[int, int]]
"""Of each write: the stream, and how many lines."""


def written(folder: Path, writes: Writes, max_bytes: int = 1 << 20, files: int = 4, first: int = 0) -> list[str]:
    """All lines, as they were written."""
    return write(OrderedLogs(str(folder), NAMES, max_bytes, files), writes, first)


def write(log: OrderedLogs, writes: Writes, first: int = 0) -> list[str]:
    lines: list[str] = []
    for stream, count in writes:
        some = [f"{NAMES[stream]} {first + len(lines) + number:05d}\n" for number in range(count)]
        log.write(stream, "".join(some).encode())
        lines += some
    return lines


async def read(folder: Path, lines: int = 100, stream: str = "both") -> str:
    said: list[str] = []

    async def say(text: str) -> None:
        said.append(text)

    watching = Watching()
    try:
        await logs.read(folder, logs.Asked(stream, lines), watching, asyncio.Event(), say)
    finally:
        watching.close()
    return "".join(said)


def fresh(folder: Path, number: list[int]) -> Path:
    number[0] += 1
    found = folder / str(number[0])
    found.mkdir()
    return found


some_writes = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 4)), max_size=60)


@settings(deadline=None, max_examples=60)
@given(writes=some_writes, max_bytes=st.integers(40, 300), last=st.integers(0, 40))
def test_the_last_lines_stand_in_the_order_in_which_they_came(
    tmp_path_factory: pytest.TempPathFactory, writes: Writes, max_bytes: int, last: int
) -> None:
    """Also across files that are rotated, as far as they are kept."""
    folder = tmp_path_factory.mktemp("logs")
    lines = written(folder, writes, max_bytes, files=4)
    kept = {name: logs.last_lines(folder / name, 1000).decode().splitlines(keepends=True) for name in NAMES}
    of_each = {name: found[-last:] if last else [] for name, found in kept.items()}
    known = [line for line in lines if line in of_each["stdout"] or line in of_each["stderr"]]
    assert asyncio.run(read(folder, last)) == "".join(known[-last:] if last else [])
    assert logs.last_of_both(folder, last) == [line.rstrip("\n") for line in known[-last:] if last]


def test_one_stream_alone_is_as_before(tmp_path: Path) -> None:
    lines = written(tmp_path, [(0, 2), (1, 1), (0, 1)])
    for stream, name in enumerate(NAMES):
        assert asyncio.run(read(tmp_path, stream=name)) == "".join(line for line in lines if NAMES[stream] in line)


def test_who_writes_to_one_stream_alone_pays_one_line(tmp_path: Path) -> None:
    written(tmp_path, [(0, 3)] * 20)
    assert (tmp_path / ORDER).read_text() == f"0 0 0 0 0 {(tmp_path / 'stdout').stat().st_ino} 0\n"


def test_where_nobody_kept_the_order_a_line_says_so(tmp_path: Path) -> None:
    """As of a task that an older release began."""
    lines = written(tmp_path, [(1, 1), (0, 1), (1, 1)])
    (tmp_path / ORDER).unlink()
    assert asyncio.run(read(tmp_path)) == OUT.decode() + lines[1] + ERR.decode() + lines[0] + lines[2]
    (tmp_path / "stdout").unlink()
    assert asyncio.run(read(tmp_path)) == lines[0] + lines[2], "of one stream there is nothing to say"


def test_what_came_before_the_order_that_is_kept_is_told_apart(tmp_path: Path) -> None:
    lines = written(tmp_path, [(1, 1), (0, 1), (1, 1), (0, 1)])
    order = (tmp_path / ORDER).read_text().splitlines(keepends=True)
    (tmp_path / ORDER).write_text("".join(order[2:]))
    text = asyncio.run(read(tmp_path))
    assert text.startswith(OUT.decode() + lines[1] + ERR.decode() + lines[0])
    assert text.endswith("".join(lines[2:]))


def test_a_line_stays_whole_though_the_other_stream_spoke_between(tmp_path: Path) -> None:
    log = OrderedLogs(str(tmp_path), NAMES)
    for stream, text in ((0, b"half a "), (1, b"oops\n"), (0, b"line\nno end")):
        log.write(stream, text)
    assert asyncio.run(read(tmp_path)) == "oops\nhalf a line\nno end\n"


def test_an_endless_line_is_said_in_pieces() -> None:
    merging = Merging((0, 0))
    merging.mark([Mark(0, (0, 0), (0, 0), (0, 0))])
    merging.feed(0, b"x" * (LINE_BYTES_MAX + 1))
    assert len(merging.take(all_of_it=True)) == LINE_BYTES_MAX + 1


@pytest.mark.parametrize("max_bytes", [1 << 20, 500])
def test_who_follows_hears_all_of_both_in_their_order(tmp_path: Path, max_bytes: int) -> None:
    """In whichever pieces it is read, and across rotations."""
    log = OrderedLogs(str(tmp_path), NAMES, max_bytes, files=16)
    before = write(log, [(0, 2), (1, 1)])
    lines = list(before)

    async def follow() -> str:
        said: list[str] = []
        begun, ended, watching = asyncio.Event(), asyncio.Event(), Watching()

        async def say(text: str) -> None:
            said.append(text)
            if len("".join(said)) >= len("".join(before)):
                begun.set()

        reading = asyncio.create_task(logs.read(tmp_path, logs.Asked("both", 2, follow=True), watching, ended, say))
        try:
            await begun.wait() if len(before) <= 2 else await asyncio.sleep(0)
            for turn in range(30):
                lines.extend(write(log, [(turn % 2, 1), (0, turn % 3 + 1), (1, 1)], first=len(lines)))
                await asyncio.sleep(0)
            ended.set()
            await reading
        finally:
            reading.cancel()
            watching.close()
        return "".join(said)

    text = asyncio.run(follow())
    assert "".join(lines).endswith(text)
    assert lines[-1] in text


@pytest.mark.parametrize("follow", [False, True])
def test_what_is_written_between_the_reading_of_one_stream_and_of_the_other_stands_where_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follow: bool
) -> None:
    log = OrderedLogs(str(tmp_path), NAMES)
    lines = write(log, [(0, 2), (1, 1)])
    end = logs._end

    def writes_meanwhile(path: Path, last: int) -> logs.LogEnd:
        found = end(path, last)
        if len(lines) == 3:
            lines.extend(write(log, [(0, 2), (1, 1), (0, 1), (1, 2)], first=3))
        return found

    monkeypatch.setattr(logs, "_end", writes_meanwhile)
    said: list[str] = []

    async def say(text: str) -> None:
        said.append(text)

    async def reading() -> None:
        ended, watching = asyncio.Event(), Watching()
        ended.set()
        try:
            await logs.read(tmp_path, logs.Asked("both", 4, follow), watching, ended, say)
        finally:
            watching.close()

    asyncio.run(reading())
    assert "".join(said) == "".join(lines[-4:])


def test_what_is_rotated_away_unread_is_marked_and_the_rest_said_as_it_comes(tmp_path: Path) -> None:
    log = OrderedLogs(str(tmp_path), NAMES, max_bytes=60, files=2)
    write(log, [(0, 1)])

    async def follow() -> str:
        said: list[str] = []
        begun, ended, watching = asyncio.Event(), asyncio.Event(), Watching()

        async def say(text: str) -> None:
            said.append(text)
            begun.set()

        reading = asyncio.create_task(logs.read(tmp_path, logs.Asked("both", 5, follow=True), watching, ended, say))
        try:
            await begun.wait()
            last = write(log, [(turn % 2, 1) for turn in range(200)], first=1)[-1]
            ended.set()
            await reading
        finally:
            reading.cancel()
            watching.close()
        assert last in "".join(said)
        return "".join(said)

    assert logs.SKIPPED in asyncio.run(follow())
