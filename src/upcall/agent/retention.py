"""What is kept of incarnations that ended: the sandbox of the last one of each member, the logs of the last few."""

import contextlib
import shutil
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

SANDBOXES_KEPT = 1
FOLDERS_KEPT = 4


def tidy(tasks: Path, in_use: Collection[str]) -> None:
    """Blocking. Folders of tasks ``in_use`` are not touched."""
    ended: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for folder in tasks.iterdir():
        member, _, incarnation = folder.name.rpartition(".")
        if folder.name not in in_use and incarnation.isdigit():
            ended[member].append((int(incarnation), folder))
    for folders in ended.values():
        newest_first = [folder for _, folder in sorted(folders, reverse=True)]
        for folder in newest_first[SANDBOXES_KEPT:]:
            with contextlib.suppress(OSError):
                shutil.rmtree(folder / "sandbox")
        for folder in newest_first[FOLDERS_KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)
