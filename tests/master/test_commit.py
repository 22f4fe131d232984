"""Nothing is visible before it is durable, and nothing of a failed commit is."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from upcall.master.commit import Committer, Turn
from upcall.master.versions import Versions
from upcall.protocol.errors import NotNow
from upcall.store.interface import Change, CommitFailed, Delete, Put, StoreError


class SlowStore:
    """The edge of the machine: a disk that is slow, or full."""

    def __init__(self) -> None:
        self.batches: list[list[Change]] = []
        self.may_write = threading.Event()
        self.may_write.set()
        self.full = False
        self.leading = True

    def leads(self) -> bool:
        return self.leading

    def commit(self, changes: Sequence[Change]) -> list[int]:
        self.may_write.wait(180)
        if self.full:
            raise CommitFailed("the disk is full")
        self.batches.append(list(changes))
        return [len(self.batches) if isinstance(change, Put) else 0 for change in changes]


def committing(store: SlowStore, failures: list[str] | None = None) -> Committer:
    told = failures if failures is not None else []

    def failed(error: StoreError) -> None:
        told.append(str(error))

    versions = Versions()
    return Committer(store, lambda: versions, lambda events: None, failed)  # type: ignore[arg-type]


def turn(key: str, log: list[str]) -> Turn:
    made = Turn()
    made.put("kind", key, b"1")
    made.after.append(lambda: log.append(key))
    return made


async def test_effects_are_released_in_order_after_their_commit() -> None:
    store, log = SlowStore(), list[str]()
    store.may_write.clear()
    committer = committing(store)
    done = [committer.submit(turn(key, log)) for key in "abc"]
    await asyncio.sleep(0.05)
    assert log == []
    store.may_write.set()
    await asyncio.gather(*done)
    assert log == ["a", "b", "c"]
    committer.close()


async def test_turns_that_arrive_during_a_write_share_the_next_one() -> None:
    store = SlowStore()
    store.may_write.clear()
    committer = committing(store)
    done = [committer.submit(turn(key, [])) for key in "abcd"]
    store.may_write.set()
    await asyncio.gather(*done)
    assert [len(batch) for batch in store.batches] == [1, 3]
    committer.close()


async def test_a_failed_commit_answers_not_now_and_releases_nothing() -> None:
    store, log, failures = SlowStore(), list[str](), list[str]()
    store.full = True
    committer = committing(store, failures)
    done = [committer.submit(turn(key, log)) for key in "ab"]
    for each in done:
        with pytest.raises(NotNow, match="the disk is full"):
            await each
    assert log == []
    assert failures == ["the disk is full"]
    store.full = False
    await committer.submit(turn("c", log))
    assert log == ["c"]
    committer.close()


async def test_who_was_away_while_another_may_have_taken_over_does_nothing_of_what_it_had_written() -> None:
    """As a process that is stopped after its commit: what follows from that is found in the records."""
    store, log, failures = SlowStore(), list[str](), list[str]()
    store.may_write.clear()
    committer = committing(store, failures)
    done = committer.submit(turn("a", log))
    store.leading = False
    store.may_write.set()
    with pytest.raises(NotNow, match="away for so long"):
        await done
    assert (log, len(store.batches), len(failures)) == ([], 1, 1)
    committer.close()


async def test_a_turn_without_changes_waits_for_those_before_it() -> None:
    store, log = SlowStore(), list[str]()
    store.may_write.clear()
    committer = committing(store)
    first = committer.submit(turn("a", log))
    empty = committer.submit(Turn())
    await asyncio.sleep(0.05)
    assert not empty.done()
    store.may_write.set()
    await asyncio.gather(first, empty)
    assert log == ["a"]
    committer.close()


async def test_after_a_mistake_in_a_turn_what_waits_is_thrown_away_and_what_is_being_written_is_told() -> None:
    store, log, failures = SlowStore(), list[str](), list[str]()
    store.may_write.clear()
    committer = committing(store, failures)
    writing = committer.submit(turn("a", log))
    waiting = committer.submit(turn("b", log))
    committer.abandon("a turn failed")
    store.may_write.set()
    await writing
    with pytest.raises(NotNow, match="a turn failed"):
        await waiting
    assert (log, failures) == (["a"], ["a turn failed"])
    committer.close()


async def test_each_write_names_the_version_that_was_read_or_written_last() -> None:
    store = SlowStore()
    store.may_write.clear()
    committer = committing(store)
    done = [committer.submit(turn(key, [])) for key in "aba"]
    store.may_write.set()
    await asyncio.gather(*done)
    await committer.submit(turn("a", []))
    expected = [[(put.key, put.expected_version) for put in batch if isinstance(put, Put)] for batch in store.batches]
    assert expected == [[("a", 0)], [("b", 0), ("a", 1)], [("a", 2)]]
    committer.close()


async def test_what_one_write_changes_twice_is_compared_with_what_stood_there_before() -> None:
    store = SlowStore()
    committer = committing(store)
    twice = turn("a", [])
    twice.delete("kind", "a")
    twice.put("kind", "a", b"2")
    await committer.submit(twice)
    await committer.submit(turn("a", []))
    assert store.batches == [
        [Put("kind", "a", b"1", 0), Delete("kind", "a", 0), Put("kind", "a", b"2", 0)],
        [Put("kind", "a", b"1", 1)],
    ]
    committer.close()
