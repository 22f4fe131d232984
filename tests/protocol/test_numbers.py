import pytest

from upcall.protocol.numbers import counted, does, sized, whole


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("9" * 18, 10**18 - 1)])
def test_plain_digits_are_a_number(text: str, number: int) -> None:
    assert whole(text) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1.0", "1_000", "²", "١", "9" * 19, "9" * 5000])
def test_everything_else_is_none(text: str) -> None:
    assert whole(text) is None


def test_one_is_said_otherwise_than_several() -> None:
    said = [f"{counted(number, 'backup')} {does(number, 'stay')}" for number in (0, 1, 2)]
    assert said == ["0 backups stay", "1 backup stays", "2 backups stay"]


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (101_194, "98.8 KiB"), ((1 << 20) - 1, "1.0 MiB"),
        (1_700_000, "1.6 MiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB"),
    ],
)  # fmt: skip
def test_sizes_have_one_form(count: int, said: str) -> None:
    assert sized(count) == said
