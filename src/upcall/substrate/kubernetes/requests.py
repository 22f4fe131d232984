"""What we ask of the API server, and what comes back.

Each is idempotent, or names what it is meant for: a creation fails where the name is taken, a deletion and a change
name the uid of the very object that they were meant for. A pod is *created*, not applied: an apply that comes late
makes anew what was deleted meanwhile. The others are applied, and are ours alone.

A request is released after the commit, by a number, and its answer comes back with that number, however late. Where no
answer came nobody knows whether it was carried out: what is there afterwards says so.
"""

from typing import TypeAlias

import msgspec

from upcall.substrate.kubernetes.objects import Kind, Raw


class Create(msgspec.Struct, frozen=True, tag=True):
    number: int
    kind: Kind
    name: str
    object: Raw


class Apply(msgspec.Struct, frozen=True, tag=True):
    """Server-side, and forced: these fields are ours."""

    number: int
    kind: Kind
    name: str
    object: Raw
    part: str = ""
    """A subresource."""


class Merge(msgspec.Struct, frozen=True, tag=True):
    """``None`` takes a field away. ``change`` names the uid, and the version where others may have changed the same."""

    number: int
    kind: Kind
    name: str
    change: Raw
    part: str = ""
    """A subresource."""


class Delete(msgspec.Struct, frozen=True, tag=True):
    number: int
    kind: Kind
    name: str
    uid: str
    grace_s: float | None = None
    """None: as it was made with. 0: its object goes without its node's word."""


Request: TypeAlias = Create | Apply | Merge | Delete


class Done(msgspec.Struct, frozen=True):
    object: Raw | None = None
    """As it is now; none of what was deleted."""


class Refused(msgspec.Struct, frozen=True):
    status: int
    """As HTTP has it; 0: no answer."""
    message: str
    wait_s: float | None = None
    """How long the server asks to wait."""

    @property
    def moved_on(self) -> bool:
        """The object is not what the request took it for: what it is now is on its way."""
        return self.status in (404, 409)


Answer: TypeAlias = Done | Refused


class Listed(msgspec.Struct, frozen=True):
    """All of a kind that is there, as of this version; what was known before and is not in it is gone."""

    kind: Kind
    objects: tuple[Raw, ...]
    version: int = 0


class Changed(msgspec.Struct, frozen=True):
    kind: Kind
    object: Raw


class Removed(msgspec.Struct, frozen=True):
    kind: Kind
    object: Raw
    """As it last was."""


Event: TypeAlias = Listed | Changed | Removed
