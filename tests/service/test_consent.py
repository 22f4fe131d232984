"""The words of consent, and what becomes of them on the wire."""

import pytest

from upcall.service import accept, decline, defer, replace, restart, wait


def test_accept_is_a_reservation_that_may_name_what_it_counts_on() -> None:
    answer = accept(valid_s=30, counts_on=("broker-1.3",)).answer_to("op-1")
    assert (answer.operation, answer.verdict, answer.valid_s, answer.counts_on) == (
        "op-1",
        "accept",
        30,
        ("broker-1.3",),
    )


def test_accept_counts_on_all_that_are_ready_by_default() -> None:
    assert accept().answer_to("op-1").counts_on is None


def test_defer_carries_reason_time_and_progress() -> None:
    answer = defer("2 partitions would fall below min.insync.replicas", retry_after=7, progress=0.5).answer_to("op-1")
    assert (answer.verdict, answer.retry_after_s, answer.progress) == ("defer", 7, 0.5)
    assert answer.reason == "2 partitions would fall below min.insync.replicas"


@pytest.mark.parametrize(("asked_s", "bounded_s"), [(0, 0.5), (-3, 0.5), (10_000, 600)])
def test_the_time_of_a_deferral_is_bounded(asked_s: float, bounded_s: float) -> None:
    assert defer("busy", retry_after=asked_s).retry_after_s == bounded_s
    assert wait(retry_after=asked_s).retry_after_s == bounded_s


@pytest.mark.parametrize("word", [defer, decline])
def test_no_without_a_reason_is_refused(word: object) -> None:
    with pytest.raises(ValueError, match="reason"):
        word("")  # type: ignore[operator]


def test_a_reservation_for_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="valid_s=0"):
        accept(valid_s=0)


def test_a_reason_is_cut_to_one_readable_sentence() -> None:
    assert len(defer("x" * 10_000).answer_to("op-1").reason) == 500


def test_only_what_lets_the_operation_go_ahead_takes_a_member_away() -> None:
    assert accept().takes_away
    assert replace().takes_away
    assert not any(verdict.takes_away for verdict in (defer("no"), decline("no"), wait(), restart()))
