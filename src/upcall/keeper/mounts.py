"""What a command sees of the file system where we are root: everything that is the machine's, and of ours its own.

In a mount namespace of its own, folders that the command's user could not pass or must not see (the data folder, the
cache, the home of who runs us) are covered by empty ones, and in these its own folders appear at the very paths that
they have outside. So nothing outside has to be opened for it: a home with mode 0700 keeps it. Temporary folders are
its own as well, other users' processes are not listed, and its user has a name (Java's login wants one).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable, Sequence

_CLONE_NEWNS = 0x20000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
SHARED = ("/tmp", "/var/tmp")
"""Temporary folders of everybody."""
_SMALL = "mode=0755,size=1m"
_TEMPORARY = "mode=1777,size=64m"

_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    text = options.encode() or None
    if _libc.mount(source.encode(), os.fsencode(target), kind.encode() if kind else None, ctypes.c_ulong(flags), text):
        number = ctypes.get_errno()
        raise OSError(number, f"mount: {os.strerror(number)}", target)


def _leave() -> None:
    """A mount namespace of our own, of which the machine sees nothing."""
    if _libc.unshare(_CLONE_NEWNS):
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)


def possible() -> bool:
    """Found by trying, in a child."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _leave()
            _mount("upcall", "/tmp", "tmpfs", _MS_NOSUID | _MS_NODEV, _TEMPORARY)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return status == 0


def arrange(shown: Iterable[str], covered: Iterable[str], temporary: str, user: tuple[int, str, str]) -> None:
    """``shown``: what is the command's own. ``covered``: what is not to be seen else; the first is the data folder.
    ``temporary``: its own folder for what nobody else should see. ``user``: number, name and home."""
    covers = list(covered)
    _leave()
    opened = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in _inside(_present(shown), (*covers, *SHARED))}
    own = os.open(temporary, os.O_PATH | os.O_CLOEXEC)
    for folder in SHARED:
        if any(_below(path, folder) for path in (*opened, *covers)):
            _mount("upcall", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, _TEMPORARY)
        elif os.path.isdir(folder):
            _mount(f"/proc/self/fd/{own}", folder, None, _MS_BIND)
    if os.path.isdir("/dev/shm"):
        _mount("upcall", "/dev/shm", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")
    for folder in covers:
        os.makedirs(folder, 0o755, exist_ok=True)
        _mount("upcall", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, _SMALL)
    for path, descriptor in opened.items():
        _show(path, descriptor)
    _name(covers[0], *user)
    with contextlib.suppress(OSError):  # A kernel before 5.8 has one list for all.
        _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV, "hidepid=invisible")
    for descriptor in (*opened.values(), own):
        os.close(descriptor)


def _show(path: str, descriptor: int) -> None:
    source = f"/proc/self/fd/{descriptor}"
    if os.path.isdir(source):
        os.makedirs(path, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        with open(path, "ab"):
            pass
    _mount(source, path, None, _MS_BIND | _MS_REC)


def _name(folder: str, number: int, name: str, home: str) -> None:
    """The user's line among the machine's."""
    for file, line in (
        ("passwd", f"{name}:x:{number}:{number}::{home}:/usr/sbin/nologin\n"),
        ("group", f"{name}:x:{number}:\n"),
    ):
        ours = os.path.join(folder, f".{file}")
        with open(f"/etc/{file}", encoding="utf-8", errors="surrogateescape") as machines:
            text = machines.read()
        with open(ours, "w", encoding="utf-8", errors="surrogateescape") as output:
            output.write(text if text.endswith("\n") or not text else f"{text}\n")
            output.write(line)
        os.chmod(ours, 0o644)
        _mount(ours, f"/etc/{file}", None, _MS_BIND)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _present(paths: Iterable[str]) -> list[str]:
    return [path for path in dict.fromkeys(paths) if os.path.exists(path)]


def _inside(paths: Iterable[str], folders: Sequence[str]) -> list[str]:
    """Those that a cover would hide, without those that come with another one."""
    kept: list[str] = []
    for path in sorted(paths):
        if any(_below(path, folder) for folder in folders) and not any(_below(path, outer) for outer in kept):
            kept.append(path)
    return kept
