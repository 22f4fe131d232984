import pytest

from upcall.protocol.numbers import whole


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("9" * 18, 10**18 - 1)])
def test_plain_digits_are_a_number(text: str, number: int) -> None:
    assert whole(text) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1.0", "1_000", "²", "١", "9" * 19, "9" * 5000])
def test_everything_else_is_none(text: str) -> None:
    assert whole(text) is None
