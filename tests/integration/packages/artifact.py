"""A service whose one artifact is a wheel that its lock names."""

import hashlib
import json

from upcall.protocol.declaration import Artifact, Declaration
from upcall.service import Member, Pod, Service

LOCKED = "NAME"
LOCK = json.dumps(
    {
        "format": 1,
        "kind": "wheels",
        "name": LOCKED,
        "version": "1.0",
        "files": [
            {"name": f"{LOCKED}-1.0-py3-none-any.whl", "sha256": "0" * 64, "size": 1000, "source": f"{LOCKED}==1.0"}
        ],
    }
).encode()
DIGEST = hashlib.sha256(LOCK).hexdigest()


class Locked(Service):
    """Runs nothing before its wheel is there."""

    @classmethod
    def blobs(cls) -> dict[str, bytes]:
        return {DIGEST: LOCK}

    def pods(self) -> list[Pod]:
        return [Pod("member")]

    def task(self, member: Member) -> Declaration:
        return Declaration(command=("sleep", "100000"), artifacts=(Artifact(name=LOCKED, kind="wheels", lock=DIGEST),))
