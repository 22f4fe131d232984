"""Where a client finds its cluster: the data folder, the master's address in it, and the token that lets us in.

``secrets/operator.token`` is readable by its owner only, and reading it is what authenticates a person on this
machine.
"""

import os
import shlex
import stat
from pathlib import Path

from upcall.cluster.folder import Cluster, DataFolder
from upcall.protocol import base_folders
from upcall.protocol.errors import Forbidden, Invalid, NotFound


def default_folder() -> Path:
    """``UPCALL_DATA``, else ``upcall`` in the user's data folder (XDG)."""
    if named := os.environ.get("UPCALL_DATA"):
        return Path(named)
    return usual_folder()


def usual_folder() -> Path:
    """Where nobody says anything."""
    return base_folders.data()


def folder_at(path: Path | None = None) -> DataFolder:
    """The data folder, by its one real name: processes are found by it."""
    return DataFolder((path or default_folder()).expanduser().resolve())


def command_on(folder: Path, words: str, program: str = "upcall") -> str:
    """A command on this cluster that is right in any terminal of its user: where the folder is not the usual one, it is
    named, since another terminal does not know this one's `UPCALL_DATA`."""
    is_usual = folder == usual_folder().expanduser().resolve()
    return f"{program} {words}" + ("" if is_usual else f" --data {shlex.quote(str(folder))}")


def cluster_of(folder: DataFolder) -> Cluster:
    """What ``cluster.json`` says, or what to do where there is none."""
    try:
        if not folder.cluster_file.exists():
            raise NotFound(
                "there is no cluster in this data folder",
                where=str(folder.root),
                expected="`upcall up` first, or another folder by --data or UPCALL_DATA",
            )
        return folder.load_cluster()
    except PermissionError:
        raise _others(str(folder.root)) from None
    except Invalid as error:
        if isinstance(error.__cause__, PermissionError):
            raise _others(str(folder.root)) from None
        raise


def token_of(folder: DataFolder, whose: str = "operator") -> str:
    """The token of a principal, as the file has it now."""
    path = folder.token_file(whose)
    try:
        check_private(path)
        return path.read_text().strip()
    except FileNotFoundError:
        raise NotFound(f"the token of {whose} is missing", where=str(path), expected="`upcall up` writes it") from None
    except PermissionError:
        raise _others(str(path)) from None


def check_private(path: Path) -> None:
    """A token that others can read is nobody's proof of being somebody."""
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise _others(str(path))
    mode = stat.S_IMODE(found.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Forbidden(
            f"others may read or write this secret (mode {mode:03o})",
            where=str(path),
            expected=f"mode 600: `chmod 600 {path}`, if nobody has read it meanwhile",
        )


def _others(where: str) -> Forbidden:
    return Forbidden("this belongs to somebody else", where=where, expected="a data folder of your own")
