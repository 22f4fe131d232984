"""When Python looks for garbage: seldom, and never through all that is on record.

What a master knows are records without cycles, which are freed as soon as nobody names them. The collector finds next
to nothing among them, and to look through those of ten thousand members takes a fifth of a second, in the middle of a
turn. So what was there after the start is never looked through again; what came later is, in batches that few turns
meet.
"""

import gc
from typing import Final

YOUNG: Final = 20_000
"""Objects between two looks at the youngest: a look costs about a millisecond, and some hundred turns make so many."""
OLDER: Final = 20
"""Looks at the youngest between two at what outlived them, and so on."""


def look_seldom() -> None:
    """For the process of a master, once all is read that is on record."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLDER)
