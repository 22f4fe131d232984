"""How a command ends. Exit codes: 0 done, 1 failed (or, of a dry run, would be declined), and these."""

import contextlib
from collections.abc import Iterator
from typing import Final

FAILED_EXIT: Final = 1
USAGE_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130
PIPE_EXIT: Final = 141


class CannotPrint(Exception):
    """What was asked for can be written nowhere (a full disk); in words."""


class ReaderGone(Exception):
    """Nobody reads what is printed any more (``upcall events | head``): no error, and nothing to go on for. Not the
    ``BrokenPipeError`` that it comes from, which the library of the command line would turn into exit code 1."""


@contextlib.contextmanager
def printed() -> Iterator[None]:
    """Around what is written to standard output: who reads it may be gone, and the disk that it goes to full."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as error:
        raise CannotPrint(error.strerror or str(error)) from None
