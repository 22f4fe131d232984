"""Small durable records: written beside, synced, renamed, and the rename synced too.

A reader sees the old record or the new one, never half of one, whatever is killed and when.
"""

from __future__ import annotations

import json
import os
from typing import Any

RUNNING = "running.json"
"""In a task's folder, before its command runs: identities of shim and task."""
EXIT = "exit.json"
"""In a task's folder, when nothing of it runs any more: exit code or signal."""


def write(path: str, value: Any, durable: int = 1) -> None:
    """``durable`` 0 leaves out the waiting for the disk: for what need not outlive a power cut."""
    beside = f"{path}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        data = json.dumps(value, separators=(",", ":")).encode()
        while data:
            data = data[os.write(descriptor, data) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(beside, path)
    if durable:
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(path: str) -> dict[str, Any] | None:
    """None when there is none."""
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    assert isinstance(value, dict), f"{path} holds a record"
    return value
