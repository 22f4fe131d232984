"""Which box a task runs in (:mod:`upcall.keeper.box`), and a tool beside it: the same one.

A task sees what is the machine's, the artifacts that it declared, the platform's own Python, and of all that is ours
its sandbox, its secrets and its volumes. Where we are root it has its service's own user besides
(:mod:`upcall.agent.users`). What cannot be had on a machine is said in the node's features:

    landlock     no-landlock     other folders are closed, other processes cannot be looked into or signalled
    own-user     no-own-user     each service has a user of its own, and a view of the file system of its own
    isolation    no-isolation    switched off by ``upcall up --no-isolation``: a task may do all that our user may
"""

import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from upcall.agent.places import Places
from upcall.agent.users import Users, name_of
from upcall.keeper import landlock, mounts
from upcall.protocol.agent import Launch

FILES_MAX: Final = 131_072
"""Open files of one process: stores ask for 100,000."""
PROCESSES_MAX: Final = 16_384
"""Processes and threads of one service on this machine, where they can be counted by its user."""


@dataclass(frozen=True)
class Boxes:
    places: Places
    users: Users | None
    """None: every task has our user."""
    landlock: bool
    shared: tuple[Path, ...] = ()
    """Folders that every task may read and change, because a person said so."""
    off: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        if self.off:
            return ("no-isolation", "no-landlock", "no-own-user")
        return (
            "landlock" if self.landlock else "no-landlock",
            "own-user" if self.users else "no-own-user",
        )

    def around(self, launch: Launch, names: Mapping[str, str], program: str) -> dict[str, Any] | None:
        """The box for what runs as this task or beside it. ``names`` are those of its templates. Blocking."""
        if self.off:
            return None
        task, declaration = launch.task, launch.declaration
        secrets = str(self.places.task(task) / "secrets")
        own = [str(self.places.sandbox(task)), *(names[f"volume.{volume.name}"] for volume in declaration.volumes)]
        artifacts = [names[f"artifact.{artifact.name}"] for artifact in declaration.artifacts]
        shared = [str(folder) for folder in self.shared]
        read = [*artifacts, *_interpreters(artifacts), *runtime(), *self._program(program), secrets]
        covered = _outermost([str(self.places.data), str(Path.home())])
        box: dict[str, Any] = {
            "read": read,
            "write": [*own, *shared],
            "temporary": str(self.places.sandbox(task) / "tmp"),
            "covered": covered,
            "landlock": self.landlock,
            "files": FILES_MAX,
        }
        if self.users is not None:
            service = service_of(task)
            number = self.users.number(service)
            for folder in (*own, secrets):
                give(folder, number)
            for folder in artifacts:
                let_read(folder)
            closed = [path for path in map(_closed, (*read, *own, *shared)) if path]
            box["covered"] = _outermost([*covered, *closed])
            box["user"] = [number, name_of(service), str(self.places.sandbox(task))]
            box["processes"] = PROCESSES_MAX
        return box

    def _program(self, program: str) -> Sequence[str]:
        """A program that was named by its path, and lies neither here nor with the machine's own: it alone."""
        path = os.path.realpath(program) if program.startswith("/") else ""
        if not path or Path(path).is_relative_to(self.places.data) or not Path(path).is_file():
            return ()
        return (path,) if os.access(path, os.X_OK) else ()


def detect(places: Places, *, off: bool = False, shared: Iterable[Path] = ()) -> Boxes:
    """What this machine has, found by trying."""
    if off:
        return Boxes(places, None, landlock=False, off=True)
    users = Users(places.data) if os.getuid() == 0 else None
    if users is not None and not (users.usable() and mounts.possible()):
        users = None
    return Boxes(places, users, landlock=landlock.abi() > 0, shared=tuple(shared))


def service_of(task: str) -> str:
    return task.split(".", 1)[0]


def runtime() -> list[str]:
    """The platform's own Python, for tasks that are Python programs: what ``{{python}}`` needs."""
    source = Path(__file__).resolve().parents[2]  # The folder in which the package lies.
    libraries = Path(msgspec.__file__).resolve().parents[1]  # In an image they are beside it.
    found = [sys.prefix, sys.base_prefix, os.path.realpath(sys.base_prefix), str(source), str(libraries)]
    return list(dict.fromkeys(found))


def give(folder: str, user: int) -> None:
    """The folder and all in it belong to the user from now on. Costs one look when they do already."""
    if not Path(folder).is_dir() or os.lstat(folder).st_uid == user:
        return
    for _, folders, files, descriptor in os.fwalk(folder, topdown=False):
        for name in (*folders, *files):
            os.chown(name, user, user, dir_fd=descriptor, follow_symlinks=False)
    os.chown(folder, user, user, follow_symlinks=False)  # Last: what was interrupted is begun again.


def let_read(folder: str) -> None:
    """Artifacts that were made under a narrow umask, or before services had users of their own. Costs one look when
    they are readable: all of a tree is made under one umask."""
    others = stat.S_IROTH | stat.S_IXOTH
    mode = os.lstat(folder).st_mode
    if not stat.S_ISDIR(mode) or mode & others == others:
        return
    for _, folders, files, descriptor in os.fwalk(folder, topdown=False):
        for name in (*folders, *files):
            found = os.lstat(name, dir_fd=descriptor).st_mode
            if not stat.S_ISLNK(found):
                executable = others if found & stat.S_IXUSR else stat.S_IROTH
                os.chmod(name, stat.S_IMODE(found) | executable, dir_fd=descriptor)
    Path(folder).chmod(stat.S_IMODE(mode) | others)


def _interpreters(artifacts: Iterable[str]) -> list[str]:
    """Where the Python of an environment comes from: its ``bin/python`` is a link."""
    links = [Path(folder, "bin", "python") for folder in artifacts]
    return [str(link.resolve().parent.parent) for link in links if link.is_symlink()]


def _closed(path: str) -> str:
    """The outermost folder on the way to ``path`` that others cannot pass; empty when there is none."""
    for folder in reversed(Path(path).parents):
        try:
            if not folder.stat().st_mode & stat.S_IXOTH:
                return str(folder)
        except OSError:
            return ""
    return ""


def _outermost(folders: Iterable[str]) -> list[str]:
    """Without those that lie in another one, and never the root."""
    kept: list[str] = []
    for folder in sorted(set(folders)):
        if folder != "/" and not any(folder.startswith(f"{outer}/") for outer in kept):
            kept.append(folder)
    return kept
