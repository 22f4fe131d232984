"""Images of a few words of shell, for what stands around our containers, or in their place."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Final

from realnodes.settings import PAUSE
from upcall.image.target import this

HOLDS: Final = ("/bin/busybox", "sleep", "2147483647")
"""What holds a pod's namespaces while its containers come and go."""
ANSWERS: Final = "lab.invalid/answers:1"
"""In the place of our part: it is ready at once, ends when it is told to, and takes more memory than there is when a
file is there that says so."""
SCRIPT: Final = """\
trap 'exit 0' TERM
/bin/busybox httpd -p 10255 -h /
until [ -e /upcall/sandbox/hungry ]; do /bin/busybox sleep 1; done
exec /bin/busybox dd if=/dev/zero of=/dev/null bs=1G
"""


def pause(busybox: Path, file: Path) -> None:
    _write(busybox, file, PAUSE, HOLDS)


def answers(busybox: Path, file: Path) -> None:
    _write(busybox, file, ANSWERS, ("/bin/busybox", "sh", "-c", SCRIPT))


def _write(busybox: Path, file: Path, name: str, command: tuple[str, ...]) -> None:
    """As an archive, the way Docker writes one."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        archive.add(busybox, "bin/busybox")
        archive.addfile(tarfile.TarInfo("ready"))
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    described = {
        "architecture": this().architecture, "os": "linux", "config": {"Entrypoint": command},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }  # fmt: skip
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(file, "w") as archive:
        for path, data in (
            ("config.json", json.dumps(described).encode()),
            ("layer.tar", layer.getvalue()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
