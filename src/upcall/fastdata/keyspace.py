"""The keyspace of the fast-data path. A module of its own: the service that installs the stream job names it, and loads
nothing of what the job itself needs."""

from typing import Final

KEYSPACE: Final = "fastdata"
