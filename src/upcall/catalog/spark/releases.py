"""What differs between versions of Spark beside their settings: in which form a checkpoint is written.

Spark reads the checkpoint of a query that an older version wrote, and promises nothing the other way round. What a
newer version adds to one is a setting each, so with these off it writes what the older one reads: an upgrade keeps to
that until it is made final.
"""

from typing import Final

from upcall.protocol.releases import version_key

ADDED: Final = {
    "4.1.1": {"spark.sql.streaming.checkpoint.fileChecksum.enabled": "false"},
}
"""Version -> what it adds to a checkpoint over the version before it, as it is switched off."""


def as_written_by(form: str, version: str) -> dict[str, str]:
    """Settings by which a driver of this version writes a checkpoint in the form of an older one."""
    added = (each for of, each in ADDED.items() if version_key(form) < version_key(of) <= version_key(version))
    return {name: value for each in added for name, value in each.items()}
