"""The one setting of the machine that nodes need more of than a machine has to spare: watches on files. It is for all
of root's processes together, so as many as three nodes want are added while they live, and taken away again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

INSTANCES: Final = Path("/proc/sys/fs/inotify/max_user_instances")
OURS: Final = 256


@contextmanager
def more() -> Iterator[None]:
    _change(OURS)
    try:
        yield
    finally:
        _change(-OURS)


def _change(by: int) -> None:
    INSTANCES.write_text(str(int(INSTANCES.read_text()) + by))
