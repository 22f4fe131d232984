"""A log is followed over breaks of its stream: each line once, also what is written while it is asked for again."""

from collections.abc import Callable, Iterator
from itertools import count, islice, pairwise
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from upcall.cli import log_following
from upcall.client.blocking import Client
from upcall.protocol import read_before
from upcall.protocol.errors import NotFound


class Played:
    """A master whose streams break after three lines; its member writes before and after each of them."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self._numbers = count()

    def task(self, name: str) -> Any:
        return SimpleNamespace(task="count.member-0.1", state="running")

    def lines(self, path: str, unfinished: Callable[[str], None]) -> Iterator[str]:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        self._writes(2)
        known = "".join(f"{line}\n" for line in self.written[-int(asked["lines"]) :] if int(asked["lines"])).encode()
        known = read_before.after(known, asked["after"]) if "after" in asked else known
        yield from known.decode().splitlines()
        if asked["follow"] == "true":
            for _ in range(3):
                self._writes(1)
                yield self.written[-1]
        self._breaks_off(unfinished)
        self._writes(2)

    def _breaks_off(self, unfinished: Callable[[str], None]) -> None:
        """In the middle of a line, of which its member has written the rest."""
        self._writes(1)
        unfinished(self.written[-1][:3])

    def _writes(self, more: int) -> None:
        self.written += [f"line {number}" for number in islice(self._numbers, more)]


class Starting(Played):
    """Its member has written nothing when it is first asked for; it ends by itself."""

    def __init__(self, state: str = "starting") -> None:
        super().__init__()
        self.state = state
        self.asked = 0

    def task(self, name: str) -> Any:
        return SimpleNamespace(task="count.member-0.1", state=self.state)

    def lines(self, path: str, unfinished: Callable[[str], None]) -> Iterator[str]:
        self.asked += 1
        if self.asked < 3:
            raise NotFound("no logs of count.member-0.1 are kept on this node")
        self.state = "finished"
        yield "first"
        unfinished("last, without an end")


def test_who_follows_what_is_just_being_started_waits_for_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_following.time, "sleep", lambda seconds: None)
    notes: list[str] = []
    found = log_following.followed(cast(Client, Starting()), "count.member-0", 10, "both", notes.append)
    assert list(found) == ["first", "last, without an end"]
    assert notes == []


def test_of_what_has_ended_and_has_no_log_that_is_said_at_once() -> None:
    played = Starting("finished")
    with pytest.raises(NotFound, match="no logs of"):
        list(log_following.followed(cast(Client, played), "count.member-0", 10, "both", lambda note: None))
    assert played.asked == 1


def test_each_line_comes_once_although_streams_break(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_following.time, "sleep", lambda seconds: None)
    found = log_following.followed(cast(Client, Played()), "count.member-0", 10, "both", lambda note: None)
    numbers = [int(line.split()[1]) for line in islice(found, 100)]
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers)), numbers
