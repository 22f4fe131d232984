"""Platforms: what an image, a kernel and a wheel call the same processor."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from upcall.protocol.errors import Invalid

MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
"""An image's word -> the kernel's."""
_ALSO: Final = {"x86-64": "amd64", "x86_64": "amd64", "aarch64": "arm64"}
"""What people say besides."""


@dataclass(frozen=True, order=True)
class Platform:
    """A Linux on a kind of processor."""

    architecture: str

    @property
    def machine(self) -> str:
        return MACHINES[self.architecture]

    @property
    def here(self) -> bool:
        """Whether it is what this machine is."""
        return platform.machine() == self.machine

    def __str__(self) -> str:
        return f"linux/{self.architecture}"


def this() -> Platform:
    """What this machine is."""
    return parse([platform.machine()])[0]


def parse(words: Iterable[str]) -> list[Platform]:
    """The platforms of such words (``linux/arm64``, ``arm64``, ``amd64,arm64``), in order, each once."""
    found = set()
    for word in ",".join(words).split(","):
        name = word.strip().removeprefix("linux/")
        name = _ALSO.get(name, name)
        if name not in MACHINES:
            raise Invalid(
                f"no image is made for the platform {word!r}",
                where="--platform",
                expected=" or ".join(f"linux/{known}" for known in MACHINES),
            )
        found.add(Platform(name))
    return sorted(found)
