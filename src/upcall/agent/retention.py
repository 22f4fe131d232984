"""What is kept of incarnations that ended: their logs, for people who ask afterwards why; and of the last ones the
sandbox. A node does not know whose service was taken away, so what is kept is bounded for all of them together: in
number, in bytes and in time.
"""

import contextlib
import shutil
import time
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Final

from upcall.keeper.records import EXIT
from upcall.protocol.agent import ENDED_KEPT_S

SANDBOXES_KEPT: Final = 1
FOLDERS_KEPT: Final = 4
"""Both of one member."""
SANDBOXES_MAX: Final = 50
FOLDERS_MAX: Final = 200
LOGS_BYTES_MAX: Final = 1 << 30
"""Of all members of the node together, the newest."""
TIDY_EVERY_S: Final = 3600.0
"""What is kept for a time goes also where nothing else happens."""


def tidy(tasks: Path, in_use: Collection[str]) -> None:
    """Blocking. Folders of tasks ``in_use`` are not touched."""
    ended: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for folder in tasks.iterdir():
        member, _, incarnation = folder.name.rpartition(".")
        if folder.name not in in_use and incarnation.isdigit():
            ended[member].append((int(incarnation), folder))
    logs: list[Path] = []
    sandboxes: list[Path] = []
    for folders in ended.values():
        newest_first = [folder for _, folder in sorted(folders, reverse=True)]
        sandboxes += newest_first[:SANDBOXES_KEPT]
        logs += newest_first[:FOLDERS_KEPT]
        for folder in newest_first[SANDBOXES_KEPT:]:
            _remove_sandbox(folder)
        for folder in newest_first[FOLDERS_KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in sorted(sandboxes, key=_ended_at, reverse=True)[SANDBOXES_MAX:]:
        _remove_sandbox(folder)
    _bound(sorted(logs, key=_ended_at, reverse=True))


def _bound(newest_first: list[Path]) -> None:
    oldest, left_bytes = time.time() - ENDED_KEPT_S, LOGS_BYTES_MAX
    for number, folder in enumerate(newest_first):
        left_bytes -= _bytes_of(folder / "logs")
        if number >= FOLDERS_MAX or left_bytes < 0 or _ended_at(folder) < oldest:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_sandbox(folder: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(folder / "sandbox")


def _ended_at(folder: Path) -> float:
    """Of one that never ran, when its preparation did."""
    for path in (folder / EXIT, folder / "logs", folder):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def _bytes_of(logs: Path) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for path in logs.iterdir():
            total += path.stat().st_size
    return total
