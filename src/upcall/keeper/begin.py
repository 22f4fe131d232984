"""Starting a launcher, and finding it again."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

from upcall.keeper import launcher, processes

_SOURCE: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from upcall.keeper import launcher; "
    "sys.exit(launcher.main(*sys.argv[2:]))"
)


def start_launcher(node_folder: str, data_folder: str) -> subprocess.Popen[bytes]:
    """A launcher for the node, detached from the caller; returns once it listens (or another one does).

    Without the ``site`` module: it needs none, and starts in half the time and memory.
    """
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        processes.FOLDER_MARK: node_folder,
    }
    with open(os.path.join(node_folder, "launcher.log"), "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _PROGRAM, _SOURCE, node_folder, data_folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    assert process.stdout is not None
    with process.stdout as output:
        said = output.readline()
    if said != b"ready\n":
        code = process.wait()
        raise OSError(f"the launcher in {node_folder} ended with {code}; see launcher.log")
    return process


def socket_of(node_folder: str) -> str:
    return os.path.join(node_folder, launcher.SOCKET)
