"""A restore whose brokers are away: it says so, and sends nothing later, when another attempt has begun."""

from contextlib import closing

import pytest

from upcall.catalog.kafka import copying
from upcall.catalog.kafka.records import Record
from upcall.protocol.errors import NotNow

NOBODY = {"bootstrap.servers": "127.0.0.1:1"}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "WRITTEN_S", 0.5)


def records(count: int, size: int) -> list[Record]:
    return [Record(number, 0, None, b"x" * size, None) for number in range(count)]


def test_what_no_broker_takes_is_told_and_never_sent_later() -> None:
    with closing(copying.Writer(NOBODY)) as writer:
        writer.write("topic", 0, records(10, 10))
        with pytest.raises(NotNow, match="10 records of topic were not acknowledged"):
            writer.flush("topic")
        assert writer.waiting == 10, "none was given up alone, with others behind it"
    assert writer.waiting == 0


def test_more_than_waits_in_memory_ends_too() -> None:
    with closing(copying.Writer(NOBODY)) as writer, pytest.raises(NotNow, match="were not acknowledged"):
        writer.write("topic", 0, records(80, 1 << 20))
    assert writer.waiting == 0
