"""Folders that outlive the task and stay with the member.

``volumes/<service.member>/<fence>/<volume>/``. The fence rises when a member is placed anew, so a volume that
was fenced off is never taken for the current one: it lies under its old number until it is deleted.

**Fresh** is a set that was not prepared to the end: a marker is written after the last preparation succeeded, and
only then. What lies there without a marker is half-prepared (the agent or the machine died meanwhile) and is wiped
before it is prepared again, so ``prepare`` always sees empty folders. A set without preparations gets its marker as
soon as its folders exist.

A member that was **ready** with a volume that holds its data returns to it, or not at all: a node of a store that comes
back empty says that there is nothing, and is believed. Such a volume is marked when its member is ready first, in the
volume and beside all of them; where the second mark is and the first is not, nothing is started. (A volume that is
emptied while its task runs may hold files again when the task has ended, so it is the mark that is looked for.)

All of it is blocking file work; callers run it in a thread.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol

from upcall.agent.checkpoint import write_durably
from upcall.protocol.agent import VolumeStatus
from upcall.protocol.errors import Invalid, UpcallError
from upcall.protocol.names import valid

MARKER = ".prepared"
SERVED = ".upcall-served"
SERVED_WORDS = b"A member was ready with this volume. Without this file it is not started with it again.\n"
ASIDE = ".aside"


class WithoutData(UpcallError):
    """A member would return without what it had."""

    code = "without_data"


class MemberVolumes(Protocol):
    """What tasks ask of volumes: of these here, or of such as somebody else mounts
    (:mod:`upcall.kubernetes.pod.volumes`)."""

    def paths(self, member_id: str, fence: int, names: Iterable[str]) -> dict[str, str]: ...

    def prepared(self, member_id: str, fence: int) -> bool: ...

    def create(
        self, member_id: str, fence: int, names: Iterable[str], *, adopt: bool, holding: Collection[str] = ()
    ) -> None: ...

    def mark_prepared(self, member_id: str, fence: int) -> None: ...

    def mark_served(self, member_id: str, fence: int, names: Iterable[str]) -> None: ...

    def delete(self, member_id: str, fence: int) -> None: ...

    def kept(self) -> tuple[VolumeStatus, ...]: ...

    def empty_removed(self) -> None: ...


class Volumes:
    """Folders of this machine."""

    def __init__(self, folder: Path, removed: Path, served: Path) -> None:
        self._folder = folder
        self._removed = removed
        self._served = served

    def paths(self, member_id: str, fence: int, names: Iterable[str]) -> dict[str, str]:
        return {name: str(self._set(member_id, fence) / valid(name, "volumes")) for name in names}

    def prepared(self, member_id: str, fence: int) -> bool:
        return (self._set(member_id, fence) / MARKER).exists()

    def create(
        self, member_id: str, fence: int, names: Iterable[str], *, adopt: bool, holding: Collection[str] = ()
    ) -> None:
        """Folders that can be used: those of a prepared set as they are, all others empty. ``holding``: those that hold
        the member's data, without which it does not return."""
        folder = self._set(member_id, fence)
        if not adopt:
            self._record(member_id, fence).unlink(missing_ok=True)
            if self.prepared(member_id, fence):
                folder.rename(folder.with_name(f"{fence}{ASIDE}-{time.time_ns()}"))
        for name in self._served_with(member_id, fence) & set(holding):
            if lost := without_data(folder / name):
                what = f"{folder / name} has {lost}: it was emptied, or is not mounted"
                raise WithoutData(f"not started without what it served with: {what}")
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

    def mark_served(self, member_id: str, fence: int, names: Iterable[str]) -> None:
        """Its member is ready with these volumes. Once for each: one that lost its mark since then has lost it. One
        that holds nothing has nothing to lose yet."""
        known = self._served_with(member_id, fence)
        unknown = [valid(name, "volumes") for name in names if name not in known]
        new = [name for name in unknown if mark(self._set(member_id, fence) / name)]
        if new:
            record = self._record(member_id, fence)
            record.parent.mkdir(exist_ok=True)
            write_durably(record, "\n".join(sorted({*known, *new})).encode())

    def _served_with(self, member_id: str, fence: int) -> set[str]:
        try:
            return set(self._record(member_id, fence).read_text().split())
        except FileNotFoundError:
            return set()

    def _record(self, member_id: str, fence: int) -> Path:
        return self._served / valid(member_id, "member") / str(fence)

    def delete(self, member_id: str, fence: int) -> None:
        """The member's set of this fence, and what was set aside of it; no other one."""
        for number, folder in self._sets(member_id):
            if number == fence:
                self._remove(folder)
        self._record(member_id, fence).unlink(missing_ok=True)
        for kept in (self._folder, self._served):
            with contextlib.suppress(OSError):
                (kept / member_id).rmdir()  # Refused while another set is there.

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


def without_data(volume: Path) -> str:
    """What is there in place of data; empty: there may be data. The mark is hidden, so ``rm -r *`` leaves it."""
    try:
        entries = {entry.name for entry in volume.iterdir()}
    except OSError:
        entries = set()
    if SERVED not in entries:
        return f"no {SERVED}"
    return "" if entries - {SERVED} else f"nothing but {SERVED}"


def mark(volume: Path) -> bool:
    """On the disk when this returns. Its task may have put anything there: nothing is followed, or waited for. False:
    the volume is empty, and is not marked."""
    folder = os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with os.scandir(folder) as entries:
            if next(entries, None) is None:
                return False
        with contextlib.suppress(FileExistsError):
            file = os.open(SERVED, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
            with os.fdopen(file, "wb") as written:
                written.write(SERVED_WORDS)
                written.flush()
                os.fsync(file)
        os.fsync(folder)
        return True
    finally:
        os.close(folder)
