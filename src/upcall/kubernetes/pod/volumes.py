"""Volumes that Kubernetes has mounted: one folder each, which is all that outlives the pod.

``<mount>/data/`` is what the task has; beside it lie our marks, and whatever else a file system has at its root
(``lost+found``), which no store may take for its own. There is no folder of the whole set, so each volume says for all:

``<mount>/.upcall-prepared``  the preparation was over (:mod:`upcall.agent.volumes` says what follows from that). Any
                              one of them is enough: it is written after the last command succeeded, and a volume that
                              a later version declares has nothing to be prepared.
``<mount>/.upcall-served``    names of the volumes that the member was ready with. One that is named here, or by another
                              of its volumes, and has lost its own mark within ``data/`` was emptied: nothing is
                              started.

A mount whose every volume is lost is as fresh as a new one: whether there was one is Kubernetes' to know.
"""

import contextlib
import shutil
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from upcall.agent.checkpoint import write_durably
from upcall.agent.volumes import SERVED, WithoutData, mark, without_data
from upcall.protocol.agent import VolumeStatus
from upcall.protocol.errors import Invalid
from upcall.protocol.names import valid

DATA: Final = "data"
PREPARED: Final = ".upcall-prepared"
GOING: Final = ".upcall-going-"


class MountedVolumes:
    """Implements :class:`upcall.agent.volumes.MemberVolumes` for the one member of a pod: which set it has, Kubernetes
    has seen to. Blocking."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def paths(self, member_id: str, fence: int, names: Iterable[str]) -> dict[str, str]:
        return {name: str(self._mount(name).resolve() / DATA) for name in names}

    def prepared(self, member_id: str, fence: int) -> bool:
        return any((mount / PREPARED).exists() for mount in self._mounts())

    def create(
        self, member_id: str, fence: int, names: Iterable[str], *, adopt: bool, holding: Collection[str] = ()
    ) -> None:
        names = list(names)
        for name in names:
            if not self._mount(name).is_dir():
                raise Invalid(f"volume {name} is not mounted", where=str(self._mount(name)), expected="a claim")
        for name in self._served_with() & set(holding) & set(names):
            if lost := without_data(self._mount(name) / DATA):
                what = f"volume {name} has {lost}: it was emptied, or is another one"
                raise WithoutData(f"not started without what it served with: {what}")
        if not adopt or not self.prepared(member_id, fence):
            for mount in self._mounts():
                _empty(mount)
        for name in names:
            data = self._mount(name) / DATA
            if data.is_symlink():
                raise Invalid(f"volume {name} is a symbolic link", where=str(data), expected="a folder")
            data.mkdir(exist_ok=True)

    def mark_prepared(self, member_id: str, fence: int) -> None:
        for mount in self._mounts():
            if not (mount / PREPARED).exists():
                write_durably(mount / PREPARED, b"")

    def mark_served(self, member_id: str, fence: int, names: Iterable[str]) -> None:
        known = self._served_with()
        new = [name for name in names if name not in known and mark(self._mount(name) / DATA)]
        if new:
            text = "\n".join(sorted({*known, *new})).encode()
            for mount in self._mounts():
                write_durably(mount / SERVED, text)

    def _served_with(self) -> set[str]:
        found: set[str] = set()
        for mount in self._mounts():
            with contextlib.suppress(FileNotFoundError):
                found.update((mount / SERVED).read_text().split())
        return found

    def _mount(self, name: str) -> Path:
        return self._folder / valid(name, "volumes")

    def _mounts(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if path.is_dir()) if self._folder.is_dir() else []

    # -- what only a machine with many members has -------------------------------------------------------------------

    def delete(self, member_id: str, fence: int) -> None: ...

    def kept(self) -> tuple[VolumeStatus, ...]:
        return ()

    def empty_removed(self) -> None:
        for mount in self._mounts():
            for going in mount.glob(f"{GOING}*"):
                shutil.rmtree(going, ignore_errors=True)


def _empty(mount: Path) -> None:
    """Out of the way at once, deleted afterwards."""
    for mark_of_it in (PREPARED, SERVED):
        (mount / mark_of_it).unlink(missing_ok=True)
    if (mount / DATA).is_dir() and not (mount / DATA).is_symlink():
        going = mount / f"{GOING}{time.time_ns()}"
        (mount / DATA).rename(going)
        shutil.rmtree(going)
