import asyncio

from upcall.master.events import Journal


def journal(count: int, *, kept: int = 100) -> Journal:
    found = Journal("c", kept=kept)
    found.release([found.make("task", f"s{n}", "text", 0.0) for n in range(count)])
    return found


def test_since_gives_what_came_after_in_order() -> None:
    assert [event.sequence for event in journal(5).since(2)] == [3, 4, 5]


def test_who_resumes_too_late_gets_a_gap_that_counts_what_is_missing() -> None:
    first, *rest = journal(10, kept=4).since(2)
    assert (first.kind, first.data) == ("gap", {"missing": 4})
    assert [event.sequence for event in rest] == [7, 8, 9, 10]


def test_a_batch_is_bounded_and_the_next_one_goes_on() -> None:
    found = journal(9)
    batch = found.since(0, limit=4)
    assert [event.sequence for event in batch] == [1, 2, 3, 4]
    assert [event.sequence for event in found.since(batch[-1].sequence, limit=4)] == [5, 6, 7, 8]


def test_numbers_of_a_failed_commit_are_used_again() -> None:
    found = journal(3)
    assert found.make("task", "lost", "never seen", 0.0).sequence == 4
    found.forget_unreleased()
    assert found.make("task", "next", "seen", 0.0).sequence == 4


def test_an_event_is_not_visible_before_its_release() -> None:
    found = journal(1)
    event = found.make("task", "s", "text", 0.0)
    assert found.last == 1
    found.release([event])
    assert found.last == 2


async def test_a_follower_hears_what_comes_later() -> None:
    found = journal(1)
    follower = found.follow(0)
    assert [event.sequence for event in await anext(follower)] == [1]
    waiting = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0)
    found.release([found.make("task", "s", "later", 0.0)])
    assert [event.text for event in await asyncio.wait_for(waiting, 180)] == ["later"]


async def test_a_reader_of_an_older_life_of_the_cluster_starts_at_its_beginning() -> None:
    follower = journal(2).follow(999)
    assert [event.sequence for event in await anext(follower)] == [1, 2]


def mixed() -> Journal:
    """1 and 4 are news, the rest is detail."""
    found = Journal("c")
    found.release([found.make("task", f"s{n}", "text", 0.0, detail=n not in (1, 4)) for n in range(1, 7)])
    return found


def test_details_are_read_only_by_who_asks_for_them() -> None:
    found = mixed()
    assert [event.sequence for event in found.newest(10, detail=False)] == [1, 4]
    assert [event.sequence for event in found.newest(1, detail=False)] == [4]
    assert [event.sequence for event in found.since(1, detail=False)] == [4]
    assert [event.sequence for event in found.since(0, limit=1, detail=False)] == [1]
    assert [event.sequence for event in found.since(1)] == [2, 3, 4, 5, 6]


async def test_a_follower_without_details_wakes_for_the_next_news_only() -> None:
    found = mixed()
    stream = found.follow(4, detail=False)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    found.release([found.make("task", "quiet", "text", 0.0, detail=True)])
    await asyncio.sleep(0)
    assert not waiting.done()
    found.release([found.make("task", "news", "text", 0.0)])
    assert [event.subject for event in await waiting] == ["news"]
