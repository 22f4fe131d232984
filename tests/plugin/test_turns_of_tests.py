"""Tests of parallel workers share a service, or one has it alone: by locks, with no cluster behind them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from upcall.pytest import end, use
from upcall.pytest.cluster import Cluster
from upcall.pytest.service import Turn

WAIT_S = 120.0
"""A condition, not a speed."""
NOT_YET_S = 0.3
"""Who would come although he must not has come by then."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(use.enter(tmp_path / "clusters", "one", 0))
    yield found
    found.use.leave()
    assert end.end_all(tmp_path / "clusters") == []


class Other:
    """A turn that another worker waits for."""

    def __init__(self, cluster: Cluster, *, alone: bool) -> None:
        self.has_it = threading.Event()
        self.turn: Turn | None = None
        self._thread = threading.Thread(target=self._take, args=(cluster, alone))
        self._thread.start()

    def _take(self, cluster: Cluster, alone: bool) -> None:
        self.turn = Turn(cluster, "store", alone=alone)
        self.has_it.set()

    def end(self) -> None:
        assert self.has_it.wait(WAIT_S)
        self._thread.join(WAIT_S)
        assert self.turn is not None
        self.turn.end()


def test_tests_share_a_service_and_none_of_them_may_do_something_to_it_meanwhile(cluster: Cluster) -> None:
    one, other = Turn(cluster, "store", alone=False), Turn(cluster, "store", alone=False)
    assert not one.only_mine()
    assert not one.only_mine(), "it shares it still"
    other.end()
    assert one.only_mine()
    one.end()


def test_a_service_that_is_one_tests_is_waited_for_by_the_next(cluster: Cluster) -> None:
    one = Turn(cluster, "store", alone=False)
    assert one.only_mine()
    other = Other(cluster, alone=False)
    assert not other.has_it.wait(NOT_YET_S)
    one.end()
    other.end()


def test_who_wants_it_alone_is_before_those_who_come_later(cluster: Cluster) -> None:
    one = Turn(cluster, "store", alone=False)
    alone = Other(cluster, alone=True)
    assert not alone.has_it.wait(NOT_YET_S)
    later = Other(cluster, alone=False)
    assert not later.has_it.wait(NOT_YET_S)
    one.end()
    assert alone.has_it.wait(WAIT_S)
    assert not later.has_it.wait(NOT_YET_S)
    alone.end()
    later.end()


def test_other_services_have_turns_of_their_own(cluster: Cluster) -> None:
    one, other = Turn(cluster, "store", alone=True), Turn(cluster, "log", alone=True)
    assert one.only_mine()
    assert other.only_mine()
    one.end()
    other.end()
