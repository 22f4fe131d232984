"""Folders that outlive the task and stay with the member.

``volumes/<service.member>/<fence>/<volume>/``. The fence rises when a member is placed anew, so a volume that
was fenced off is never taken for the current one: it lies under its old number until it is deleted.

**Fresh** is a set that was not prepared to the end: a marker is written after the last preparation succeeded, and
only then. What lies there without a marker is half-prepared (the agent or the machine died meanwhile) and is wiped
before it is prepared again, so ``prepare`` always sees empty folders. A set without preparations gets its marker as
soon as its folders exist.

All of it is blocking file work; callers run it in a thread.
"""

import contextlib
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from upcall.agent.checkpoint import write_durably
from upcall.protocol.agent import VolumeStatus
from upcall.protocol.errors import Invalid
from upcall.protocol.names import valid

MARKER = ".prepared"
ASIDE = ".aside"


class Volumes:
    def __init__(self, folder: Path, removed: Path) -> None:
        self._folder = folder
        self._removed = removed

    def paths(self, member_id: str, fence: int, names: Iterable[str]) -> dict[str, str]:
        return {name: str(self._set(member_id, fence) / valid(name, "volumes")) for name in names}

    def prepared(self, member_id: str, fence: int) -> bool:
        return (self._set(member_id, fence) / MARKER).exists()

    def create(self, member_id: str, fence: int, names: Iterable[str], *, adopt: bool) -> None:
        """Folders that can be used: those of a prepared set as they are, all others empty."""
        folder = self._set(member_id, fence)
        if not adopt and self.prepared(member_id, fence):
            folder.rename(folder.with_name(f"{fence}{ASIDE}-{time.time_ns()}"))
        if not self.prepared(member_id, fence):
            self._remove(folder)
        for name in names:
            volume = folder / valid(name, "volumes")
            if volume.is_symlink():  # Its task can put one there; whoever starts it next must not follow.
                raise Invalid(f"volume {name} is a symbolic link", where=str(volume), expected="a folder")
            volume.mkdir(parents=True, exist_ok=True)

    def mark_prepared(self, member_id: str, fence: int) -> None:
        folder = self._set(member_id, fence)
        if not (folder / MARKER).exists():
            write_durably(folder / MARKER, b"")

    def delete(self, member_id: str, fence: int) -> None:
        """The member's set of this fence, and what was set aside of it; no other one."""
        for number, folder in self._sets(member_id):
            if number == fence:
                self._remove(folder)
        with contextlib.suppress(OSError):
            (self._folder / member_id).rmdir()  # Refused while another set is there.

    def kept(self) -> tuple[VolumeStatus, ...]:
        found = [
            VolumeStatus(member_id=member.name, name=volume.name, fence=fence)
            for member in sorted(self._folder.iterdir())
            for fence, folder in self._sets(member.name)
            if ASIDE not in folder.name
            for volume in sorted(folder.iterdir())
            if volume.is_dir()
        ]
        return tuple(found)

    def empty_removed(self) -> None:
        """What a deletion that was interrupted left."""
        for folder in self._removed.iterdir():
            shutil.rmtree(folder, ignore_errors=True)

    def _set(self, member_id: str, fence: int) -> Path:
        return self._folder / valid(member_id, "member") / str(fence)

    def _sets(self, member_id: str) -> list[tuple[int, Path]]:
        folder = self._folder / valid(member_id, "member")
        if not folder.is_dir():
            return []
        found = [(path.name.split(ASIDE)[0], path) for path in folder.iterdir()]
        return sorted((int(number), path) for number, path in found if number.isdigit())

    def _remove(self, folder: Path) -> None:
        """Out of the way at once, deleted afterwards."""
        if folder.exists():
            aside = self._removed / f"{folder.parent.name}.{folder.name}.{time.time_ns()}"
            folder.rename(aside)
            shutil.rmtree(aside)
