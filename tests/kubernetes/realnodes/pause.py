"""The image of what holds a pod's namespaces while its containers come and go: a program that sleeps."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from realnodes.settings import PAUSE

COMMAND = ["/bin/busybox", "sleep", "2147483647"]


def write(busybox: Path, file: Path) -> None:
    """As an archive, the way Docker writes one."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        archive.add(busybox, "bin/busybox")
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    described = {
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": COMMAND},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }  # fmt: skip
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]
    with tarfile.open(file, "w") as archive:
        for name, data in (
            ("config.json", json.dumps(described).encode()),
            ("layer.tar", layer.getvalue()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
