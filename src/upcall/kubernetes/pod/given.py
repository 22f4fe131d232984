"""What the manifest gives to our part (:mod:`upcall.substrate.kubernetes.manifest`): names and folders, no secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from upcall.kubernetes.environment import word as environment_word
from upcall.protocol.errors import Invalid
from upcall.substrate.tasks import parse

CACHE: Final = "UPCALL_CACHE"
"""Where artifacts are realised that are not in the image; without it, beside the sandbox."""


@dataclass(frozen=True)
class Given:
    task: str
    master: str
    address: str
    """Of the pod."""
    node: str
    sandbox: Path
    volumes: Path
    identity: Path
    last_word: Path
    cache: Path

    @property
    def token(self) -> Path:
        return self.identity / "token"

    @property
    def authorities(self) -> Path:
        return self.identity / "ca.crt"

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Given":
        word = partial(environment_word, environment)
        task, sandbox = word("UPCALL_TASK"), Path(word("UPCALL_SANDBOX"))
        if parse(task) is None:
            raise Invalid(f"{task!r} is no task", where="UPCALL_TASK", expected="service.member.incarnation")
        return cls(
            task=task,
            master=word("UPCALL_MASTER"),
            address=word("UPCALL_ADDRESS"),
            node=word("UPCALL_NODE"),
            sandbox=sandbox,
            volumes=Path(word("UPCALL_VOLUMES")),
            identity=Path(word("UPCALL_IDENTITY")),
            last_word=Path(word("UPCALL_LAST_WORD")),
            cache=Path(environment.get(CACHE) or sandbox / "cache"),
        )
