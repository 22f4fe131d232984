"""Pods: which members a service has.

``Pod("broker", count=3, task=self.broker)`` gives the members ``broker-0``, ``broker-1`` and ``broker-2``; the method
``broker`` declares each one's task. A pod also says where its members may be: on different nodes (``apart``) and
spread over zones (``spread="zone"``), how they start the first time, and what of them others may connect to.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from upcall.protocol.declaration import Constraints, Declaration
from upcall.protocol.pattern_words import in_words
from upcall.service.endpoints import Endpoint
from upcall.service.member import Member

Strategy = Literal["serial", "parallel"]
Joins = Literal["together", "one by one"]

MEMBERS_MAX: Final = 1000
"""A pod beyond this is a mistake in an option, not a wish."""

NAME: Final = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"


@dataclass(frozen=True)
class Pod:
    """A set of members with the same kind of task."""

    name: str
    """Its members are ``name-0``, ``name-1`` and so on."""
    count: int = 1
    """How many."""
    task: Callable[[Member], Declaration] | None = None
    """Declares one member's task; default: the service's ``task`` method."""
    names: tuple[str, ...] | None = None
    """Names of the members, when they have names of their own (jobs) instead of numbers."""
    strategy: Strategy = "parallel"
    """How the members start for the first time. Members that were started before always start together."""
    joins: Joins = "together"
    """How members start that come to others which run already (the service grows). One by one: each is ready, and
    ``after_ready`` has returned, before the next starts."""
    apart: bool | str = True
    """No two members on the same node. A word: nor any two of all pods with this word."""
    per_node: int = 1
    """So many of its members may be on one node, where more are wanted than there are nodes; spread as evenly as there
    is room."""
    spread: str = ""
    """Node attribute over which the members are spread evenly (``zone``)."""
    counts: bool = True
    """Whether the members count for the service's minimum (a job beside a service does not)."""
    endpoints: Iterable[Endpoint | str] = field(default=())
    """A plain word is a port's name, and the endpoint's."""
    numbers: tuple[int, ...] | None = None
    """Of its members, where some between them have left; the system says them."""

    def __post_init__(self) -> None:
        for name in (self.name, *(self.names or ())):
            if not re.fullmatch(NAME, name):
                raise ValueError(f"pod {self.name!r}: {name!r} is no name ({in_words(NAME)})")
        if not 0 <= self.count <= MEMBERS_MAX:
            raise ValueError(f"pod {self.name!r}: count {self.count} is not within 0 and {MEMBERS_MAX}")

    @property
    def member_names(self) -> tuple[str, ...]:
        if self.names is not None:
            return self.names
        numbers = range(self.count) if self.numbers is None else self.numbers
        return tuple(f"{self.name}-{number}" for number in numbers)

    @property
    def declared_endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(Endpoint(word) if isinstance(word, str) else word for word in self.endpoints)

    def placed(self, declaration: Declaration) -> Declaration:
        """``declaration`` with the pod's constraints, where it states none of its own."""
        given = declaration.constraints
        constraints = Constraints(
            apart=given.apart or (self.apart if isinstance(self.apart, str) else self.name * self.apart),
            per_node=given.per_node if given.per_node > 1 else self.per_node,
            spread=given.spread or self.spread,
            together=given.together,
            attributes=given.attributes,
        )
        return msgspec.structs.replace(declaration, constraints=constraints)
