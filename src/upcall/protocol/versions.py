"""Versions of what is written or sent. A reader refuses what is newer than itself, by name."""

from typing import Final

WIRE: Final = 1
"""Service, agent and operator API; part of every path (``/v1/...``)."""

DATA_FOLDER: Final = 1
"""Layout of the data folder, written once into ``cluster.json``."""

FIRST_RELEASE: Final = "0.1.0"
"""Of ``upcall``: whose a data folder is, or a keeper, that does not name one."""

CHECKPOINT: Final = 2
"""What an agent writes down about its tasks."""
