"""What others read from the ledger: a service its pending set, a person the whys, the driver the wanted tasks."""

from typing import Literal

import msgspec

from upcall.operations.records import Epoch, Firmness, Given, Mark, Operation, Role, Way
from upcall.operations.words import span


class PendingOperation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operation as its service sees it."""

    operation: Operation
    asked: bool
    """An answer is wanted now."""
    answer: Given | None = None
    """The answer that stands."""
    window_left_s: float | None = None
    who_wins: str = ""
    takes_nothing: bool = False
    """What runs serves on until what comes for it is back."""


class PendingSet(msgspec.Struct, frozen=True, kw_only=True):
    """The whole set of what is wanted from a service; a lost one costs nothing."""

    service: str
    epoch: Epoch
    version: int
    operations: tuple[PendingOperation, ...] = ()


class Why(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who waits for whom, since when, for what reason, looked at next when."""

    operation: Operation
    waits_for: str
    """``store``, ``store's host``, ``the guard``, ``op-12``, ``proof of death``, ``a person``, ``the substrate`` ..."""
    reason: str
    since_s: float
    answered: bool = False
    """The reason is what the one that it waits for has answered, and names it."""
    next_look_s: float | None = None
    next_look_is: str = "looked at again in"
    stuck: bool = False
    """Nothing moves unless somebody does something."""
    who_wins: str = ""
    firmness: Firmness = "enforced"
    forced: Mark | None = None
    paused: Mark | None = None
    ways: tuple[Way, ...] = ()
    """What a person can do about it, where nothing else moves it."""
    said_times: int = 0
    """How often in a row the service has given the answer that stands, when it was not an acceptance."""
    said_last_s: float = 0.0
    """Seconds since it said so last."""

    def sentence(self) -> str:
        """All of it in one line, also who wins."""
        return f"{self.account()}. Who wins: {self.who_wins}"

    def account(self) -> str:
        """Without who wins: ``upcall why`` says that once, at the top of a tree."""
        said = f". Said {self.said_times} times, last {span(self.said_last_s)} ago" if self.said_times > 1 else ""
        return f"{self.brief()}{said}"

    def brief(self) -> str:
        """Also without how often it was said."""
        op = self.operation
        text = f"{op.id} {op.words()} ({op.class_}, {self.firmness}) {op.state}"
        if self.waits_for:
            text += f": waits for {self.waits_for}, since {span(self.since_s)}"
        if self.reason:
            text += f": {self.reason}"
        if self.next_look_s is not None:
            text += f"; {self.next_look_is} {span(self.next_look_s)}"
        return text


MemberStatus = Literal[
    "declared", "launching", "unready", "settling", "ready", "stopping", "held", "down", "unknown", "finished",
    "failed", "leaving",
]  # fmt: skip
"""``settling``: ready, and what its service does then is not done."""


class MemberView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A member, as recorded and as observed."""

    service: str
    name: str
    incarnation: int
    place: int
    generation: int
    status: MemberStatus
    wanted_generation: int = 0
    """Of its newest declaration; ``generation`` is that of the current incarnation."""
    target: int = 0
    """What its next incarnation gets."""
    revision: int = 0
    """Of its service, under which it was declared last."""
    first_place: int = 1
    """Places above it are replacements."""
    starts: int = 0
    """How often it was started at this place."""
    role: Role = "founding"
    taken_back: bool = False
    """Its volumes are of an earlier life of its service."""
    observed: str = ""
    """The substrate's word for the current incarnation, empty when nothing was heard since the start."""
    node: str = ""
    reason: str = ""
    operation: str = ""
    """The live operation on it, if any."""
    back: bool = True
    """What its service does once this incarnation is ready is done."""
    initialised: bool = False
    ended_times: int = 0
    """How often it ended in short succession, while that goes on."""
    ended_how: str = ""
    """How it ended the last time."""
    without_data: bool = False
    """It was not started then: the volumes that it served with are not there."""
    leaving: int = 0
    """An older incarnation that runs on at the place before, until this one is back."""
    pause_s: float = 0.0
    """It is started again in so many seconds."""


class WantedTask(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A task that should run now; what is in no such list is ended."""

    service: str
    member: str
    incarnation: int
    place: int
    generation: int
    beside: bool = False
    """At the next place, which is held, beside an older one that runs on."""
