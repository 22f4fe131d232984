"""How the task ended, where the kubelet finds it: the pod's status has it also when the master was away.

A container's message has at most 4 KiB; of the task's last lines those go first that came first.
"""

from pathlib import Path
from typing import Final

import msgspec

from upcall.protocol.agent import TaskExit
from upcall.substrate.interface import Exit
from upcall.substrate.kubernetes.exits import LAST_WORD

BYTES_MAX: Final = 4096
CHARS_MAX: Final = 1000
"""Of a reason, and of a line."""


def exit_of(said: TaskExit) -> Exit:
    return Exit(
        code=said.code,
        signal=said.signal,
        reason=said.reason[:CHARS_MAX],
        lines=tuple(line[:CHARS_MAX] for line in said.lines),
        not_started=said.not_started,
        without_data=said.without_data,
    )


def encoded(ended: Exit) -> bytes:
    while len(text := LAST_WORD.encode() + msgspec.json.encode(ended)) > BYTES_MAX and ended.lines:
        ended = msgspec.structs.replace(ended, lines=ended.lines[1:])
    return text


def write(path: Path, ended: Exit) -> None:
    """In place: the file is the kubelet's, and mounted."""
    with path.open("wb") as file:
        file.write(encoded(ended))


def code_of(ended: Exit) -> int:
    """With which the container ends."""
    if ended.number is not None:
        return ended.number
    return 1 if ended.not_started else 0
