"""That a cluster is to end, written down before anything of it does.

Whoever keeps the folder next (:mod:`upcall.keeper.standing_by`) goes on with that end, instead of bringing back what a
person wants down. ``up`` takes the word back.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from upcall.keeper import records

ALL: Final = "all"
"""Our own processes, then the tasks."""
OURS: Final = "ours"
"""Our own processes alone: another release takes the tasks over."""


def write(data_folder: str, what: str) -> None:
    """A full disk does not keep anybody from ending; it is merely not known to who comes next."""
    with contextlib.suppress(OSError):
        records.write(_path(data_folder), {"ending": what})


def read(data_folder: str) -> str:
    """Empty: it is to be kept."""
    try:
        return str((records.read(_path(data_folder)) or {}).get("ending", ""))
    except ValueError:
        return ""


def forget(data_folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(data_folder))


def _path(data_folder: str) -> str:
    return os.path.join(data_folder, "keeper", "ending.json")
