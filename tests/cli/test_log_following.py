"""Where a log is read on that was read before."""

import pytest

from upcall.cli.log_following import after


@pytest.mark.parametrize(
    ("lines", "shown", "new"),
    [
        ("abcde", "bc", "de"),
        ("abcde", "de", ""),
        ("abcde", "", "abcde"),
        ("abcde", "xy", "abcde"),
        ("aaaa", "aa", ""),
        ("abab", "ab", ""),
        ("b", "ab", "b"),
        ("", "ab", ""),
    ],
)
def test_it_is_read_on_after_what_was_shown(lines: str, shown: str, new: str) -> None:
    assert "".join(after(lines, list(shown))) == new
