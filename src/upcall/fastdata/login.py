"""How a process of the path logs in: one line ``user:password`` of a file that only it can read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Login(NamedTuple):
    user: str
    password: str


def read_login(path: str | Path) -> Login | None:
    """`None`: no file is named, or it is empty, because nobody is asked who he is."""
    text = Path(path).read_text().strip() if path else ""
    if not text:
        return None
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise ValueError(f"{path} is not a login: one line user:password is expected")
    return Login(user, password)
