"""How a command ends: by one of these exit codes, which stay what they are (`docs/cli.md` has the same table)."""

import contextlib
from collections.abc import Iterator
from typing import Final

DONE_EXIT: Final = 0
FAILED_EXIT: Final = 1
USAGE_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130
PIPE_EXIT: Final = 141

CODES: Final = {
    DONE_EXIT: "Done; of a dry run: it would be.",
    FAILED_EXIT: "Failed, refused, declined by a service, not confirmed; of a dry run: it would be declined.",
    USAGE_EXIT: "A command line that is wrong; nothing was asked of anybody.",
    INTERRUPTED_EXIT: "Ctrl-C. What was begun goes on, and how it is looked at was said.",
    PIPE_EXIT: "Whoever read the output is gone (`upcall events | head`).",
}
"""A program that needs more reads the error's `code` (`--output json`)."""


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
