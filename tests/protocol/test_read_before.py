"""Where a log is read on that was read before."""

import re

import pytest

from upcall.protocol import read_before


def text(letters: str) -> bytes:
    return "".join(f"{letter}\n" for letter in letters).encode()


@pytest.mark.parametrize(
    ("lines", "shown", "new"),
    [
        ("abcde", "bc", "de"),
        ("abcde", "de", ""),
        ("abcde", "xy", "abcde"),
        ("aaaa", "aa", ""),
        ("abab", "ab", ""),
        ("ababc", "ab", "c"),
        ("b", "ab", "b"),
        ("", "ab", ""),
        ("äöüß", "äö", "üß"),
    ],
)
def test_it_is_read_on_after_what_was_shown(lines: str, shown: str, new: str) -> None:
    assert read_before.after(text(lines), read_before.mark(shown)) == text(new)


def test_a_line_without_an_end_comes_too() -> None:
    assert read_before.after(b"a\r\nb\nc", read_before.mark("a")) == b"b\nc"
    assert (
        read_before.after(b"a\nb", read_before.mark("ab")) == b"a\nb"
    )  # It may go on: who has it reads it again, whole.


def test_a_mark_is_what_the_api_takes() -> None:
    assert read_before.mark("") == ""
    assert all(re.fullmatch(read_before.PATTERN, read_before.mark(shown)) for shown in ("a", "abcde"))
