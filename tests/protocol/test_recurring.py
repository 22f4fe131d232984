"""Windows and schedules mean what they say, also where clocks are moved; what never comes is refused."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from upcall.protocol import recurring
from upcall.protocol.errors import Invalid

BERLIN = ZoneInfo("Europe/Berlin")


def at(*when: int, fold: int = 0) -> float:
    return datetime(*when, tzinfo=BERLIN, fold=fold).timestamp()  # type: ignore[arg-type,misc]


def span(text: str, from_s: float) -> tuple[str, str]:
    found = recurring.windows((text,), "Europe/Berlin").next(from_s)
    begin, end = (datetime.fromtimestamp(moment, BERLIN) for moment in (found.begin_s, found.end_s))
    return begin.strftime("%a %d %H:%M %Z"), end.strftime("%a %d %H:%M %Z")


def test_a_window_over_midnight_is_open_on_the_next_morning() -> None:
    assert span("sat 22:00-02:00", at(2026, 12, 6, 1)) == ("Sat 05 22:00 CET", "Sun 06 02:00 CET")
    assert span("sat 22:00-02:00", at(2026, 12, 6, 3)) == ("Sat 12 22:00 CET", "Sun 13 02:00 CET")


def test_where_clocks_are_put_forward_a_window_begins_after_the_gap() -> None:
    assert span("02:00-04:00", at(2026, 3, 28, 12)) == ("Sun 29 03:00 CEST", "Sun 29 04:00 CEST")


def test_where_clocks_are_put_back_a_window_is_as_long_as_its_clock_says() -> None:
    assert span("02:00-04:00", at(2026, 10, 24, 12)) == ("Sun 25 02:00 CEST", "Sun 25 04:00 CET")
    assert span("02:00-04:00", at(2026, 10, 25, 2, 30, fold=1))[0] == "Sun 25 02:00 CEST"  # one window, not two


def test_days_may_be_a_range_over_the_end_of_the_week_and_several() -> None:
    assert span("fri-mon 22:00-24:00", at(2026, 12, 5, 1)) == ("Sat 05 22:00 CET", "Sun 06 00:00 CET")
    assert span("tue,thu 01:00-02:00", at(2026, 12, 5, 1)) == ("Tue 08 01:00 CET", "Tue 08 02:00 CET")
    assert span("00:00-24:00", at(2026, 12, 5, 1)) == ("Sat 05 00:00 CET", "Sun 06 00:00 CET")


def test_of_several_windows_the_one_that_is_open_counts() -> None:
    both = recurring.windows(("sat 02:00-04:00", "sat 03:00-06:00"), "Europe/Berlin")
    assert both.next(at(2026, 12, 5, 3, 30)).end_s == at(2026, 12, 5, 6)
    assert both.next(at(2026, 12, 5, 7)).begin_s == at(2026, 12, 12, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("feb 30 02:00-04:00", "never comes"),
        ("noon 02:00-04:00", "are no days"),
        ("02:00-02:00", "has no length"),
        ("sat 25:00-26:00", "no time of the day"),
        ("whenever", "is no window"),
    ],
)
def test_a_window_that_is_none_is_refused(text: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        recurring.windows((text,), "UTC")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("feb 30 03:00", "never comes"),
        ("0 3 30 2 *", "never comes"),
        ("0 99 * * *", "no time: bad hour"),
        ("1 second", "too often"),
        ("often", "is no schedule"),
    ],
)
def test_a_schedule_that_never_comes_is_refused(text: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        recurring.every(text, "UTC")


def test_a_time_zone_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match="no time zone 'Berlin'"):
        recurring.windows(("02:00-04:00",), "Berlin")


def test_schedules_come_when_they_say() -> None:
    now = at(2026, 12, 5, 12)
    assert recurring.every("7 days", "Europe/Berlin").after(now) == now + 7 * 86_400
    assert recurring.every("sun 03:00", "Europe/Berlin").after(now) == at(2026, 12, 6, 3)
    assert recurring.every("0 3 * * sun", "Europe/Berlin").after(now) == at(2026, 12, 6, 3)
    assert recurring.every("feb 29 03:00", "Europe/Berlin").after(now) == at(2028, 2, 29, 3)


def test_windows_that_come_too_seldom_are_refused_with_the_numbers() -> None:
    with pytest.raises(Invalid, match=r"within 10 days.*lie up to 36\d days"):
        recurring.within_reach("repair", "7 days", ("jan 1 02:00-04:00",), "UTC", 864_000, 0, at(2026, 12, 5))
    with pytest.raises(Invalid, match=r"within 1 day.*lie up to 6.92 days"):
        recurring.within_reach("repair", "1 day", ("sat 02:00-04:00",), "UTC", 0, 0, at(2026, 12, 5))
    recurring.within_reach("repair", "7 days", ("sat 02:00-04:00",), "UTC", 864_000, 0, at(2026, 12, 5))


def test_the_day_on_which_clocks_are_put_back_is_a_day() -> None:
    recurring.within_reach("sweep", "1 day", ("00:00-24:00",), "Europe/Berlin", 0, 0, at(2026, 10, 20))


def test_a_window_that_is_shorter_than_the_run_is_refused_with_the_numbers() -> None:
    with pytest.raises(Invalid, match=r"takes 3 hours.*is 2 hours"):
        recurring.within_reach("repair", "7 days", ("sat 02:00-04:00",), "UTC", 864_000, 3 * 3600, at(2026, 12, 5))
