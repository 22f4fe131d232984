"""What differs between versions of Cassandra beside their settings: the Java of each, and in which form it writes.

A newer version reads what the one before has written. The other way round holds only while the newer one *writes as
the older one does* (its ``storage_compatibility_mode``): an upgrade keeps to that until it is made final.
"""

from dataclasses import dataclass
from typing import Final, Literal

Mode = Literal["CASSANDRA_4", "UPGRADING", "NONE"]
MODES: Final[tuple[Mode, ...]] = ("CASSANDRA_4", "UPGRADING", "NONE")
"""Of ``storage_compatibility_mode``, in the order in which a ring goes through them: as Cassandra 4 writes; in the new
form once every node says so; in the new form. Nodes that are one step apart understand each other."""
OLDEST: Final = MODES[0]


@dataclass(frozen=True)
class Release:
    java: int
    """The runtime that it is locked with: flags differ."""
    modes: bool
    """Whether it can write as the version before."""


_RELEASES: Final = {"4.1": Release(java=11, modes=False), "5.0": Release(java=17, modes=True)}


def release(version: str) -> Release:
    return _RELEASES[".".join(version.split(".")[:2])]
