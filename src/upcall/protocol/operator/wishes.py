"""What people and programs ask for: a key that nobody knows is refused."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator

from upcall.protocol.operator.words import LINE, NAME, WORD, Strict, matching
from upcall.protocol.pattern_words import in_words


class Keeper(Strict):
    """A document somewhere else that says what a service is to be (a custom resource): it is changed there alone."""

    what: str = Field(min_length=1, max_length=300)
    """Which, in words: the same for as long as it is the same document."""
    how: str = Field(default="", max_length=500)
    """By what command it is changed there."""
    end: str = Field(default="", max_length=500)
    """By what command the service is taken away there."""
    uid: str = Field(default="", max_length=100)
    """Of this life of it: one that is made anew counts its versions anew."""
    generation: int = Field(default=0, ge=0)
    """Which of its versions this is."""


class Install(Strict):
    package: str = Field(max_length=200)
    name: str = Field(default="", max_length=40)
    """Default: the package's name."""
    version: str = Field(default="", max_length=40)
    options: dict[str, Any] = {}
    bindings: dict[str, str] = {}
    """Need -> service name; default: a service of the need's own name."""
    secrets: list[str] = []
    """Names of secrets that the service may have, besides its own (``SERVICE.NAME``)."""
    platform: str = Field(default="", max_length=40)
    """Name of the platform file that it is made by (``upcall apply``)."""
    fresh: bool = False
    """Takes nothing over from an earlier service of this name: neither its volumes nor its memory."""
    keeper: Keeper | None = None
    """The document that says what it is to be, from now on."""


class Update(Strict):
    """Another revision of a service. What is not named stays as it is."""

    set: dict[str, Any] = {}
    """Options; a map is merged with what it has, key by key."""
    unset: list[Annotated[str, Field(max_length=300)]] = Field(default=[], max_length=1000)
    """Options that get their default again: ``heap_mib``, or one entry of a map: ``config.log.retention.ms``."""
    options: dict[str, Any] | None = None
    """All options, instead of those that stand."""
    version: str = Field(default="", max_length=60)
    """Of the package: an upgrade."""
    bindings: dict[str, str] = {}
    secrets: list[str] | None = None
    back_to: int | None = Field(default=None, ge=0)
    """What an earlier revision said; 0: the last good one before the present."""
    made_from: int | None = Field(default=None, ge=1)
    """The revision that whoever asks has seen: refused where another one stands by now."""
    reason: str = Field(default="", max_length=500)
    instead: bool = False
    """In place of a change that is under way; else it is refused while there is one."""
    finalize: bool = False
    """An upgrade: its point of no return follows as soon as it is carried out, and no person is asked for it again."""
    in_window: bool = False
    """It begins, and goes on, within the maintenance windows of its service alone."""
    unregistered: dict[str, Any] | None = None
    """Of a preview or a check: the package of this version as its manifest says it (:class:`~upcall.protocol.service.
    Package`), which is not registered. Its source was uploaded."""


class Keep(Strict):
    """What a document says of the service that it keeps: all of it."""

    keeper: Keeper
    package: str = Field(default="", max_length=200)
    """Which the service is to be of; empty: nobody looks."""
    version: str = Field(default="", max_length=60)
    """Of the package; empty: as it is."""
    options: dict[str, Any] = {}
    bindings: dict[str, str] = {}
    secrets: list[str] = []
    finalize: bool = False
    """An upgrade: its point of no return follows by itself."""
    adopt: bool = False
    """Also of a service that no document keeps so far."""


class Unkeep(Strict):
    """The document is gone, and the service is anybody's to change again."""

    what: str = Field(min_length=1, max_length=300)


class CheckAction(Strict):
    """Whether an action would be refused: now, or once an update is carried out."""

    arguments: dict[str, Any] = {}
    update: Update | None = None


class Made(Strict):
    """What a platform file made in a service, or dropped again: it removes nothing else."""

    platform: str = Field(min_length=1, max_length=40)
    kind: str = Field(min_length=1, max_length=100)
    """Of contents, as the package names it."""
    made: list[Annotated[str, Field(max_length=300)]] = Field(default=[], max_length=10_000)
    dropped: list[Annotated[str, Field(max_length=300)]] = Field(default=[], max_length=10_000)


DRAIN_WINDOW_S: Final = 600.0
"""So long the services of a drained node are asked, where nobody says otherwise."""


class Ask(Strict):
    reason: str = Field(default="", max_length=500)
    force: bool = False
    in_window: bool = False
    """It begins, and goes on, within the maintenance windows of its service alone."""


class Uninstall(Ask):
    keeper: str = Field(default="", max_length=300)
    """The document on whose behalf it is asked for, where the service has one (``Keeper.what``)."""


class Drain(Strict):
    reason: str = Field(default="maintenance", max_length=500)
    window_s: float = Field(default=DRAIN_WINDOW_S, gt=0, le=7 * 86_400)
    on_deadline: Literal["hold", "proceed", "force"] = "hold"


class Nodes(Strict):
    """Nodes by name, or all of a zone."""

    nodes: list[Annotated[str, Field(max_length=40)]] = Field(default=[], max_length=1000)
    zone: str = Field(default="", max_length=40)


class DrainTogether(Nodes, Drain):
    """One maintenance of several nodes."""


class UndrainTogether(Nodes, Ask):
    """Their maintenance is over."""


class AddNode(Strict):
    name: str = Field(default="", max_length=40)
    """Default: the next free ``node-N``."""
    zone: str = Field(default="", max_length=40)
    """Default: the zone with the fewest nodes."""
    memory_mib: int = Field(default=0, ge=0)
    """Default: what each node got at the first ``up``."""
    attributes: dict[Annotated[str, Field(max_length=40)], Annotated[str, Field(max_length=200)]] = Field(
        default={}, max_length=100
    )

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        return matching(NAME, name, "a node's name", in_words(NAME))

    @field_validator("zone")
    @classmethod
    def _is_a_word(cls, zone: str) -> str:
        return matching(WORD, zone, "a zone", "letters, digits and . _ - only")

    @field_validator("attributes")
    @classmethod
    def _are_words(cls, attributes: dict[str, str]) -> dict[str, str]:
        for name, value in attributes.items():
            matching(WORD, name or " ", "an attribute's name", "letters, digits and . _ - only")
            matching(LINE, value, f"a value of attribute {name}", "one line of text")
        return attributes


class PlanControl(Strict):
    phase: str = ""
    step: str = ""


class SecretValue(Strict):
    value: str = Field(max_length=65_536)


class SecretGrant(Strict):
    """That a secret may be given to a service by whoever may install it."""

    service: Annotated[str, Field(pattern=NAME, max_length=40)]
    stands: bool = True
