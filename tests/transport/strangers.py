"""Another user of the machine, for a moment: a forked child that has given up who it was.

Forked, not executed: the interpreter may lie in a folder that he may not enter.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

STRANGER = 54_321
"""A user without a name: nobody has to make him."""


@contextmanager
def stranger(does: Callable[[Callable[[bytes], None]], None]) -> Iterator[BinaryIO]:
    """Runs ``does`` as him, with a function that says a line; gives what he says."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            does(lambda line: (os.write(write, line + b"\n"), None)[1])
        except BaseException as error:
            os.write(write, repr(error).encode() + b"\n")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as said:
        yield said
    os.waitpid(child, 0)
