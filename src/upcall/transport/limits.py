"""Limits that a process of ours sets itself: as many open files as it may have, and one heap for all of its threads."""

import contextlib
import ctypes
import resource
from typing import Final

M_ARENA_MAX: Final = -8
"""Of glibc's ``malloc.h``."""


def raise_open_files() -> int:
    """The soft limit is for programs that use ``select``, which ours do not: it becomes the hard one. Gives it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def one_heap() -> None:
    """Threads that come share one heap. glibc gives each its own, so that they need not wait for each other, which
    under the interpreter's lock they do anyway; what one of them freed is then of use to that one alone. Other C
    libraries know no such thing, and are left as they are."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
