"""The texts that describe layers: configuration, manifest, index, as the OCI image format 1.1 has them. Pure.

Each is named by the digest of its bytes, so there is one way to write each: sorted keys, no spaces, no time but the one
that all images have.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from upcall.image.layers import Layer

CONFIG: Final = "application/vnd.oci.image.config.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CREATED: Final = "1980-01-01T00:00:00Z"


@dataclass(frozen=True)
class Document:
    """A text with its name."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"

    def descriptor(self, **more: Any) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data), **more}


@dataclass(frozen=True)
class Below:
    """What an image stands on: the description of its base."""

    environment: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Described:
    """An image of one platform: its two texts, and the layers that they name."""

    architecture: str
    config: Document
    manifest: Document
    layers: tuple[Layer, ...] = field(repr=False)

    @property
    def size(self) -> int:
        """What a node has to fetch that has nothing of it."""
        return sum(layer.size for layer in self.layers)


def described(
    architecture: str, layers: Sequence[Layer], running: Mapping[str, Any], labels: Mapping[str, str], below: Below
) -> Described:
    """The image of these layers, the lowest first. ``running`` is what a container of it is started with."""
    own = [{"created": CREATED, "created_by": f"upcall image build: {one.words}"} for one in layers if one.words]
    config = _document(
        CONFIG,
        {
            "architecture": architecture,
            "os": "linux",
            "created": CREATED,
            "config": {**running, "Labels": dict(labels)},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [*below.history, *own],
        },
    )
    manifest = _document(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": [{"mediaType": one.media_type, "digest": one.digest, "size": one.size} for one in layers],
            "annotations": dict(labels),
        },
    )
    return Described(architecture, config, manifest, tuple(layers))


def top(images: Sequence[Described]) -> Document:
    """What an image is called by: its manifest, or the index of those of several platforms."""
    if len(images) == 1:
        return images[0].manifest
    return _document(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries(images)})


def entries(images: Sequence[Described]) -> list[dict[str, Any]]:
    return [one.manifest.descriptor(platform={"architecture": one.architecture, "os": "linux"}) for one in images]


def _document(media_type: str, fields: Mapping[str, Any]) -> Document:
    return Document(media_type, json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())
