"""How a command ends. Exit codes: 0 done, 1 failed (or, of a dry run, would be declined), and these."""

from typing import Final

USAGE_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130
PIPE_EXIT: Final = 141


class ReaderGone(Exception):
    """Nobody reads what is printed any more (``upcall events | head``): no error, and nothing to go on for. Not the
    ``BrokenPipeError`` that it comes from, which the library of the command line would turn into exit code 1."""
