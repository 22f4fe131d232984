"""Retention must not overtake the reader."""

import pytest

from upcall.fastdata.retention import Retention, Unread, danger

BY_TIME = Retention(time_ms=100_000)
BY_SIZE = Retention(bytes=100 << 20)


def unread(age_s: int = 0, mib: int = 0) -> Unread:
    return Unread(partition=2, messages=500, about_bytes=mib << 20, oldest_age_ms=age_s * 1_000)


@pytest.mark.parametrize(
    ("retention", "behind", "held", "says"),
    [
        (BY_TIME, unread(age_s=79), False, ""),
        (
            BY_TIME,
            unread(age_s=81),
            False,
            "partition 2: the oldest unread reading is 81 s old, and is deleted after 100 s",
        ),
        (BY_TIME, unread(age_s=75), True, "75 s old"),
        (BY_TIME, unread(age_s=69), True, ""),
        (BY_SIZE, unread(mib=79), False, ""),
        (BY_SIZE, unread(mib=81), False, "about 81 MiB are unread, and no more than 100 MiB are kept"),
        (BY_SIZE, unread(mib=75), True, "75 MiB"),
        (BY_SIZE, unread(mib=69), True, ""),
        (Retention(), unread(age_s=10**6, mib=10**6), False, ""),
    ],
)
def test_nothing_more_is_taken_near_the_end(retention: Retention, behind: Unread, held: bool, says: str) -> None:
    said = danger(retention, behind, held=held)
    assert bool(said) == bool(says)
    assert says in said
