"""A control plane that is not on this machine: what a person wants of it, said on the command line and carried out by
whoever knows that kind of cluster, and how it is reached."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is not said stays as it is there."""

    context: str = ""
    namespace: str = ""
    image: str = ""
    replicas: int | None = None
    storage_class: str | None = None
    """Empty: the cluster's default."""
    volumes_bound_to_node: bool | None = None


class Reached(NamedTuple):
    """While this process lives."""

    master: Path
    """The socket that leads there."""
    tokens: Mapping[str, str]
    """By whose they are: of the ``operator``, and of the ``page`` where there is one."""
    relay: Path
    """The socket behind which connections are led on to endpoints there (:mod:`upcall.protocol.relay`)."""
