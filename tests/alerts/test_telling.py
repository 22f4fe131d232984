"""Nothing is marked told before it was taken, and nothing is left out."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from upcall.alerts import telling
from upcall.alerts.channels import Channel
from upcall.alerts.notices import Notice
from upcall.alerts.sending import Untold
from upcall.alerts.telling import Teller, load
from upcall.protocol.operator import Event

CHANNEL = Channel(name="ops", kind="webhook", target="https://example.org/key")


def event(sequence: int, *, alert: bool = True, kind: str = "alert") -> Event:
    return Event(
        sequence=sequence, cluster="c", at=1.0, kind=kind, subject="s", text=f"text {sequence}", data={"alert": alert}
    )


class Other:
    """The other side, which may be away."""

    def __init__(self) -> None:
        self.away = False
        self.got: list[int] = []
        self.asked = 0

    async def send(self, channel: Channel, notices: Sequence[Notice], cluster: str) -> None:
        assert (channel, cluster) == (CHANNEL, "c")
        self.asked += 1
        if self.away:
            raise Untold("it answered 503")
        self.got += [one.sequence for one in notices]


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "AGAIN_S", (0.0, 0.0))


async def until_asked(other: Other, times: int) -> None:
    while other.asked < times:  # noqa: ASYNC110 - a turn of the loop each
        await asyncio.sleep(0)
    await asyncio.sleep(0)


async def run_until_told(teller: Teller) -> None:
    running = asyncio.create_task(teller.run())
    while teller.state.pending:  # noqa: ASYNC110 - a turn of the loop each
        await asyncio.sleep(0)
    running.cancel()


async def test_told_once_and_in_order(tmp_path: Path) -> None:
    other = Other()
    teller = Teller(CHANNEL, "c", tmp_path / "ops.json", other.send)
    teller.begin_at(10)
    for number in (9, 10, 11, 12, 12, 11):
        teller.take(event(number))
    teller.take(event(13, alert=False))
    await run_until_told(teller)
    assert other.got == [11, 12]
    assert load(tmp_path / "ops.json").told == 2


async def test_what_was_not_taken_is_told_again_also_by_the_next_process(tmp_path: Path) -> None:
    other, path = Other(), tmp_path / "ops.json"
    other.away = True
    first = Teller(CHANNEL, "c", path, other.send)
    first.begin_at(0)
    first.take(event(1))
    running = asyncio.create_task(first.run())
    await until_asked(other, 3)
    running.cancel()  # As SIGKILL would: what is on disk is all that the next one has.
    written = load(path)
    assert written.error == "it answered 503"
    assert written.failing_since > 0
    assert [one.sequence for one in written.pending] == [1]

    other.away = False
    second = Teller(CHANNEL, "c", path, other.send)
    second.begin_at(99)  # It has begun already: nothing is passed over.
    second.take(event(2))
    await run_until_told(second)
    assert other.got == [1, 2]
    assert load(path).error == ""


async def test_what_comes_while_one_is_told_is_told_too(tmp_path: Path) -> None:
    other = Other()
    teller = Teller(CHANNEL, "c", tmp_path / "ops.json", other.send)
    teller.begin_at(0)

    async def send(channel: Channel, notices: Sequence[Notice], cluster: str) -> None:
        if notices[0].sequence == 1:
            teller.take(event(2))
        await other.send(channel, notices, cluster)

    teller._send = send
    teller.take(event(1))
    await run_until_told(teller)
    assert other.got == [1, 2]


async def test_of_a_place_that_is_away_for_long_the_newest_are_kept(tmp_path: Path) -> None:
    teller = Teller(CHANNEL, "c", tmp_path / "ops.json", Other().send)
    teller.begin_at(0)
    for number in range(1, telling.PENDING_MAX + 4):
        teller.take(event(number))
    kept = load(tmp_path / "ops.json")
    assert (len(kept.pending), kept.dropped, kept.pending[0].sequence) == (telling.PENDING_MAX, 3, 4)


async def test_a_gap_is_told_although_its_number_was_seen(tmp_path: Path) -> None:
    other = Other()
    teller = Teller(CHANNEL, "c", tmp_path / "ops.json", other.send)
    teller.begin_at(5)
    teller.take(event(5, kind="gap"))
    await run_until_told(teller)
    assert other.got == [5]


async def test_a_damaged_record_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "ops.json"
    path.write_text('{"seen": ')
    assert load(path).seen == -1


async def test_events_without_news_are_counted_on_disk_now_and_then(tmp_path: Path) -> None:
    path = tmp_path / "ops.json"
    teller = Teller(CHANNEL, "c", path, Other().send)
    teller.begin_at(0)
    for number in range(1, telling.SAVED_EACH + 1):
        teller.take(event(number, alert=False))
    assert load(path).seen == telling.SAVED_EACH
