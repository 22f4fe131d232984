"""``upcall access``: what a person types, and what the API hears."""

import pytest

from upcall.cli.values import seconds
from upcall.protocol.errors import Invalid


@pytest.mark.parametrize(("text", "meant_s"), [("30m", 1800.0), ("12h", 43_200.0), ("90d", 7_776_000.0)])
def test_times_are_numbers_with_a_unit(text: str, meant_s: float) -> None:
    assert seconds(text) == meant_s


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5h", "0d", "1w", "999999d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="30m, 12h, 90d"):
        seconds(text)
