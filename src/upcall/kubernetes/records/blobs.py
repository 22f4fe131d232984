"""Blobs: pieces in ConfigMaps, below a record that names them.

There is a blob while its record says that it is whole; so what is true of records is true of blobs, and a late deletion
by a master that was replaced takes nothing away. Each upload has pieces of names of its own, which belong to its record
(``ownerReferences``): whatever of them is left when that goes, Kubernetes collects.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from upcall.kubernetes.records.calls import Calls, Elsewise, Unknown, Waiting
from upcall.kubernetes.records.objects import RECORD, name
from upcall.kubernetes.records.writing import OWN, Writing
from upcall.store.interface import Change, CommitFailed, Corrupt, Delete, Put
from upcall.substrate.kubernetes.client.kinds import CONFIG_MAP, Object
from upcall.substrate.kubernetes.evictions.objects import GROUP

BLOB_BYTES_MAX: Final = 64 << 20
"""As in SQLite."""
PIECE_BYTES: Final = 768 << 10
"""As base64 a MiB, which is what a ConfigMap may have."""
BLOB: Final = f"{OWN}blob"
OF_BLOB: Final = f"{GROUP}/blob"


class Index(msgspec.Struct, frozen=True):
    size: int
    pieces: list[str]
    whole: bool


def _begun(writing: Writing, sha256: str) -> Index | None:
    found = writing.stands(BLOB, sha256)
    return msgspec.json.decode(found.value, type=Index) if found is not None else None


def index(writing: Writing, sha256: str) -> Index | None:
    """None: there is no such blob."""
    found = _begun(writing, sha256)
    return found if found is not None and found.whole else None


def all_of(writing: Writing) -> dict[str, int]:
    keys = [key for kind, key in list(writing.known) if kind == BLOB]
    return {key: one.size for key in keys if (one := index(writing, key)) is not None}


Commit = Callable[[Sequence[Change]], Awaitable[list[int]]]
"""Of records, in its turn: pieces are uploaded while others commit."""


async def put(writing: Writing, calls: Calls, commit: Commit, sha256: str, data: bytes) -> None:
    before = _begun(writing, sha256)
    if before is not None and before.whole:
        return
    count = max(1, -(-len(data) // PIECE_BYTES))
    upload = f"blob-{sha256[:32]}-{writing.start}-{writing.next_number()}"
    found = Index(len(data), [f"{upload}-{number}" for number in range(count)], False)
    await commit([Put(BLOB, sha256, msgspec.json.encode(found))])
    owner = writing.known[BLOB, sha256]
    reference = {
        "apiVersion": RECORD.api_version, "kind": RECORD.name, "name": name(BLOB, sha256), "uid": owner.uid,
    }  # fmt: skip
    for number, piece in enumerate(found.pieces):
        part = data[number * PIECE_BYTES : (number + 1) * PIECE_BYTES]
        await _put_piece(calls, piece, sha256, part, reference)
    if before is not None:
        await writing.remove(before.pieces)
    whole = msgspec.json.encode(msgspec.structs.replace(found, whole=True))
    await commit([Put(BLOB, sha256, whole, owner.version)])


async def _put_piece(calls: Calls, piece: str, sha256: str, part: bytes, owner: dict[str, Any]) -> None:
    obj: Object = {
        "metadata": {"name": piece, "labels": {OF_BLOB: sha256[:32]}, "ownerReferences": [owner]},
        "binaryData": {"part": base64.b64encode(part).decode()},
        "immutable": True,
    }
    waiting = Waiting(calls, f"a piece of blob {sha256} cannot be written")
    while True:
        try:
            await calls.write(CONFIG_MAP, obj)
            return
        except (Elsewise, Unknown) as error:
            there = await calls.get(CONFIG_MAP, piece)
            if there is not None:
                if _part(there) == part:
                    return
                raise CommitFailed(f"ConfigMap {piece} is somebody else's") from None
            await waiting.pause(error)


async def read(calls: Calls, sha256: str, found: Index) -> bytes:
    data = bytearray()
    for piece in found.pieces:
        there = await calls.get(CONFIG_MAP, piece)
        if there is None:
            raise Corrupt(f"blob {sha256}: ConfigMap {piece} with a piece of it is gone")
        data += _part(there)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Corrupt(f"blob {sha256} does not have this SHA-256 any more")
    return bytes(data)


def _part(obj: Object) -> bytes:
    try:
        return base64.b64decode(obj["binaryData"]["part"])
    except (KeyError, TypeError, ValueError):
        return b""


async def sweep(writing: Writing, commit: Commit) -> None:
    """What a start before this one did not bring to its end goes."""
    for kind, sha256 in list(writing.known):
        found = _begun(writing, sha256) if kind == BLOB else None
        if found is not None and not found.whole:
            await delete(writing, commit, sha256)


async def delete(writing: Writing, commit: Commit, sha256: str) -> None:
    found = _begun(writing, sha256)
    await commit([Delete(BLOB, sha256)])
    if found is not None:
        await writing.remove(found.pieces)
