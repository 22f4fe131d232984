"""The working folder of one incarnation: made empty, filled with rendered files and secrets.

All of it is blocking file work; callers run it in a thread.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from upcall.agent.render import render
from upcall.protocol.declaration import File
from upcall.protocol.errors import Invalid
from upcall.protocol.names import is_inside, valid

SECRET_MODE = 0o600


def empty(folder: Path) -> None:
    """An empty sandbox, with a ``tmp`` of its own."""
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "tmp").mkdir(parents=True)


def secret_paths(folder: Path, secrets: Mapping[str, str]) -> dict[str, str]:
    return {name: str(folder / name) for name in secrets}


def write_secrets(folder: Path, secrets: Mapping[str, str]) -> None:
    """Each in a file that its owner alone can read, from the first moment on."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    for name, value in secrets.items():
        descriptor = os.open(folder / valid(name, "secrets"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(value)


def text_of(file: File, names: Mapping[str, str]) -> str:
    return file.text if file.verbatim else render(file.text, names, f"file {file.path}")


def write_file(sandbox: Path, file: File, names: Mapping[str, str], blob: bytes | None) -> None:
    """A file of the declaration; ``blob`` is its content when it is not a text to be rendered."""
    path = sandbox / file.path
    if not is_inside(file.path):
        raise Invalid("a file lies outside its sandbox", where=file.path, expected="a path relative to the sandbox")
    path.parent.mkdir(parents=True, exist_ok=True)
    data = blob if blob is not None else text_of(file, names).encode()
    # Made with its final mode, so that a file that is meant to be private is never readable in between.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode & 0o777)
    with os.fdopen(descriptor, "wb") as output:
        output.write(data)
    path.chmod(file.mode & 0o777)
