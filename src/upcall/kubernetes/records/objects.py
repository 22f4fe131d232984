"""What a record is in the API server, and back."""

import base64
import hashlib
import re
import zlib
from dataclasses import dataclass
from typing import Any, Final

from upcall.store.interface import Corrupt, TooLarge
from upcall.substrate.kubernetes.client.kinds import Kind, Object
from upcall.substrate.kubernetes.evictions.objects import DEFINED, GROUP

RECORD: Final = Kind(GROUP, "v1alpha1", "Record", "records")
OF_KIND: Final = f"{GROUP}/record"
"""The label by which a person selects."""
VALUE_BYTES_MAX: Final = 4 << 20
"""As in SQLite: a record is small; a large thing is a blob."""
PACKED_BYTES_MAX: Final = 480 << 10
"""Twice, as base64, with what stands around it: below the 1.5 MiB that etcd takes."""
TEXT_BYTES_MAX: Final = 4 << 10
"""Up to here a value is readable as it stands."""
GRAVE_S: Final = 3600.0
"""How long what was deleted keeps its name. An API server gives a request up after a minute."""
WRITES_MAX: Final = 1 << 32
"""Of one start: a hundred a second for a year."""


@dataclass(frozen=True)
class Value:
    value: bytes
    version: int


@dataclass(frozen=True)
class Stored:
    """A record as it is in the API server; whether it counts is :mod:`~upcall.kubernetes.records.head`'s to say."""

    kind: str
    key: str
    resource: str
    """Its resourceVersion: what a swap compares. It also changes when somebody puts a label on it."""
    uid: str
    start: int
    write: int
    value: bytes | None
    """None: deleted."""
    before: Value | None
    """What counts if this does not."""
    at_wall_s: float
    stays: int = 0
    """The version of its value, where that is older than this write of it."""

    @property
    def version(self) -> int:
        return self.stays or self.start * WRITES_MAX + self.write

    @property
    def own(self) -> Value | None:
        return Value(self.value, self.version) if self.value is not None else None


def name(kind: str, key: str) -> str:
    """Readable, and of this record alone: what is left out of the words is in the digest."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{kind}-{key}".lower())[:60].strip("-")
    digest = hashlib.sha256(f"{len(kind)} {kind}{key}".encode()).hexdigest()[:32]
    return f"{words}-{digest}" if words else digest


def label(kind: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", ".", kind)[:60].strip(".") or "none"


def pack(value: bytes, what: str) -> Object:
    if len(value) > VALUE_BYTES_MAX:
        raise TooLarge(f"{what} has {len(value)} bytes; at most {VALUE_BYTES_MAX} are stored")
    if len(value) <= TEXT_BYTES_MAX:
        try:
            return {"text": value.decode()}
        except UnicodeDecodeError:
            pass
    packed = zlib.compress(value)
    if len(packed) > PACKED_BYTES_MAX:
        raise TooLarge(
            f"{what} has {len(value)} bytes, {len(packed)} when compressed; an object of Kubernetes holds at most "
            f"{PACKED_BYTES_MAX} of them"
        )
    return {"packed": base64.b64encode(packed).decode()}


def unpack(spec: Object, what: str) -> bytes | None:
    if (text := spec.get("text")) is not None:
        return str(text).encode()
    if (packed := spec.get("packed")) is None:
        return None
    try:
        unpacking = zlib.decompressobj()
        value = unpacking.decompress(base64.b64decode(packed), VALUE_BYTES_MAX)
    except (ValueError, zlib.error) as error:
        raise Corrupt(f"{what} cannot be unpacked: {error}") from None
    if not unpacking.eof:
        raise Corrupt(f"{what} is cut short, or larger than {VALUE_BYTES_MAX} bytes")
    return value


def stored(obj: Object) -> Stored:
    meta, spec = obj["metadata"], obj["spec"]
    what = f"record {spec.get('kind')}/{spec.get('key')} ({meta['name']})"
    before = spec.get("before")
    try:
        found = Stored(
            kind=str(spec["kind"]),
            key=str(spec["key"]),
            resource=str(meta["resourceVersion"]),
            uid=str(meta["uid"]),
            start=int(spec["start"]),
            write=int(spec["write"]),
            value=unpack(spec, what),
            before=_before(before, what) if before else None,
            at_wall_s=float(spec.get("at", 0.0)),
            stays=int(spec.get("version", 0)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"{what} is not as it was written: {type(error).__name__} {error}") from None
    if meta["name"] != name(found.kind, found.key):
        raise Corrupt(f"{what} stands under the name of another record")
    return found


def _before(spec: Object, what: str) -> Value:
    value = unpack(spec, f"what stood before {what}")
    if value is None:
        raise Corrupt(f"what stood before {what} has no value")
    return Value(value, int(spec["version"]))


def record(
    kind: str,
    key: str,
    value: bytes | None,
    *,
    start: int,
    write: int,
    at_wall_s: float,
    before: Value | None,
    over: Stored | None,
    stays: int = 0,
) -> Object:
    """``over``: what it is to replace, and nothing else; None: it is to be made. ``stays``: the version that it has
    had before."""
    what = f"record {kind}/{key}"
    spec: dict[str, Any] = {"kind": kind, "key": key, "start": start, "write": write, "at": round(at_wall_s, 3)}
    if value is not None:
        spec |= pack(value, what)
    if stays:
        spec["version"] = stays
    if before is not None:
        spec["before"] = {"version": before.version, **pack(before.value, what)}
    meta: dict[str, Any] = {"name": name(kind, key), "labels": {OF_KIND: label(kind)}}
    if over is not None:
        meta |= {"resourceVersion": over.resource, "uid": over.uid}
    return {"metadata": meta, "spec": spec}


def definition() -> Object:
    """What a ``Record`` is, for the API server."""
    text, number = {"type": "string"}, {"type": "integer", "format": "int64"}
    value = {
        "text": text,
        "packed": text | {"description": "deflated, as base64"},
    }
    ended = {"write": number, "events": {"type": "object", "additionalProperties": number}}
    spec = value | {
        "kind": text,
        "key": text,
        "start": number | {"description": "which start of a master wrote it"},
        "write": number | {"description": "the how many-th of its writes it was"},
        "version": number | {"description": "of the value, where that is older than this write of it"},
        "at": {"type": "number", "description": "when, for people; seconds since 1970"},
        "before": {
            "type": "object",
            "description": "what stood here, which counts if this was written by a master that had been replaced",
            "properties": value | {"version": number},
        },
        "by": text | {"description": "of the head: which process took it"},
        "sealed": number | {"description": "of the head: up to this start it is known what counts"},
        "ended": {
            "type": "object",
            "description": "of the head: what counts of earlier starts",
            "additionalProperties": {"type": "object", "properties": ended},
        },
    }
    columns = [
        {"name": "Kind", "type": "string", "jsonPath": ".spec.kind"},
        {"name": "Key", "type": "string", "jsonPath": ".spec.key"},
        {"name": "Start", "type": "integer", "jsonPath": ".spec.start"},
        {"name": "Write", "type": "integer", "jsonPath": ".spec.write"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    schema = {
        "type": "object",
        "required": ["spec"],
        "properties": {"spec": {"type": "object", "required": ["kind", "key", "start"], "properties": spec}},
    }
    version = {
        "name": RECORD.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": columns,
    }
    names = {"kind": RECORD.name, "plural": RECORD.plural, "singular": RECORD.name.lower()}
    return {
        "metadata": {"name": f"{RECORD.plural}.{GROUP}", "annotations": {DEFINED: "1"}},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }
