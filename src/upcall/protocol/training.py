"""Artifacts that are made on the machine itself: the blobs that they name in place of a lock file.

A training is a task declaration (the one that is launched later, so that both command lines agree), started once by
``fetch`` with one more flag, ended when it is ready, and asked for what it loaded.
"""

from typing import Final, Literal

import msgspec

from upcall.protocol.declaration import Declaration
from upcall.protocol.names import PathName, RelativePath

FORMAT: Final = 1


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """How one application is trained; the blob that stands in place of a lock file."""

    format: int = FORMAT
    kind: Literal["archive"] = "archive"
    name: PathName
    """The artifact's name in declarations, which the command's ``options`` template uses."""
    mode: Literal["list", "cds", "aot"]
    """Archive of classes that were listed (Java 11), dynamic class archive (from Java 13 on), AOT cache (Java 25)."""
    task: Declaration
    uses: tuple[str, ...]
    """Names of the artifacts that the archive depends on: the runtime and the jars."""
    values: dict[str, str] = {}
    """More names for its templates, themselves rendered (``address.broker-1``: ``{{address}}``)."""
    secrets: dict[PathName, str] = {}
    """Values that stand in for the task's secrets while it is trained."""
    exercise: tuple[tuple[str, ...], ...] = ()
    """Commands run once it is ready, to load what a busy process loads."""
    exits: bool = False
    """It ends by itself (a tool, a job); else it is ended once it was ready and exercised."""
    timeout_s: float = 600.0


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """Java sources to be compiled: path of the source file -> text."""

    format: int = FORMAT
    kind: Literal["compiled"] = "compiled"
    name: PathName
    sources: dict[RelativePath, str]
    uses: tuple[str, ...]
    """Names of the artifacts that compile it: the runtime, and jars with the Eclipse compiler among them."""
    against: tuple[str, ...] = ()
    """Those of them whose jars the sources refer to."""
    jars: tuple[str, ...] = ()
    """Of these jars only those whose file names begin so; none: all. (A jar that brings classes of ``java.util`` hides
    the runtime's own from the compiler.)"""
    release: str = "17"


_decoder = msgspec.json.Decoder(Training)


def render_training(training: Training | Compiled) -> bytes:
    """The one text, whose SHA-256 is the artifact's lock."""
    return msgspec.json.format(msgspec.json.encode(training), indent=1) + b"\n"


def decode_training(data: bytes) -> Training:
    return _decoder.decode(data)
