"""Consent: what a service says when the system asks.

An operation is shown to its service before anything happens. The answer is one of these words, each made by a small
function, so that an expert's method reads as a sentence::

    if at_risk:
        return defer(f"{len(at_risk)} partitions would have too few replicas", retry_after=5)
    return accept()

``accept`` is a reservation: it holds for ``valid_s`` seconds, and only while the incarnations that it counts on are
still there. ``defer`` is work in progress: the SDK asks the method again after ``retry_after`` seconds and whenever a
member changes, and renews the deferral; one that is not renewed counts as silence. ``decline`` ends a voluntary
operation, and is a deferral of a windowed one. ``wait``, ``restart``, ``replace`` and ``renew`` answer the loss of a
member.

``hopeless`` is a deferral whose reason will not pass by itself (the only copy of a topic is there): it says what would
help, a person is told at once, and ``upcall why`` prints it with the commands that are possible now::

    return hopeless(
        "the only copy of orders-0 is here",
        would_help=Way("give orders a second copy", action="set-replicas", arguments={"name": "orders", "replicas": 2}),
    )

No answer at all is an answer too: the static policy decides then (:class:`upcall.protocol.service.Policy`).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replace_in
from typing import Any, Final, Literal

import msgspec

from upcall.protocol import service as wire

Word = Literal["accept", "defer", "decline", "wait", "restart", "replace", "renew"]

RETRY_AFTER_MIN_S: Final = 0.5
"""Asking the same question more often than this only makes load."""

RETRY_AFTER_MAX_S: Final = 600.0
"""A deferral is renewed at least this often, or a person could not tell a long wait from a forgotten one."""

HOPELESS_RETRY_S: Final = 60.0
"""Nothing is expected to change by itself."""

WAYS_MAX: Final = 8
"""As the ledger takes them in one answer."""

REASON_CHARS_MAX: Final = 500
"""A reason is one sentence for a person; the rest belongs into the log."""


@dataclass(frozen=True)
class Way:
    """What would help where waiting does not: a sentence, an action of the service that does it, what it costs."""

    does: str
    action: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    costs: str = ""

    def __post_init__(self) -> None:
        for name in ("does", "action", "costs"):
            _text(f"Way({name}=...)", getattr(self, name))
        try:
            arguments = msgspec.json.encode(dict(self.arguments))
        except (TypeError, ValueError) as error:
            raise TypeError(f"Way(arguments=...): no mapping that JSON can carry: {error}") from error
        object.__setattr__(self, "arguments", msgspec.json.decode(arguments))

    def on_the_wire(self) -> wire.Way:
        return wire.Way(
            does=self.does[:REASON_CHARS_MAX],
            action=self.action,
            arguments=dict(self.arguments),
            costs=self.costs[:REASON_CHARS_MAX],
        )


@dataclass(frozen=True)
class Verdict:
    """One answer to one operation. Made by the functions of this module."""

    word: Word
    reason: str = ""
    valid_s: float = 60.0
    counts_on: tuple[str, ...] | None = None
    retry_after_s: float = 5.0
    progress: float | None = None
    waiting_helps: bool = True
    would_help: tuple[Way, ...] = ()
    by_system: bool = False
    """The SDK says it for the system (there is no place): the service was not asked."""

    def __post_init__(self) -> None:
        """What no master would take is a mistake at the line that says it."""
        _text(f"{self.word}(reason)", self.reason)
        for name in ("valid_s", "retry_after_s", "progress"):
            number = getattr(self, name)
            if number is not None and not (isinstance(number, int | float) and math.isfinite(number)):
                raise TypeError(f"{self.word}({name.removesuffix('_s')}={number!r}): not a finite number")
        if self.counts_on is not None:
            if isinstance(self.counts_on, str) or not isinstance(self.counts_on, Iterable):
                raise TypeError(f"{self.word}(counts_on={self.counts_on!r}): names of incarnations, in a tuple")
            object.__setattr__(self, "counts_on", tuple(self.counts_on))
            for name in self.counts_on:
                _text(f"{self.word}(counts_on=...)", name)

    @property
    def takes_away(self) -> bool:
        """Whether the operation may go ahead now, and with it a member."""
        return self.word in ("accept", "replace", "renew")

    def answer_to(self, operation: str) -> wire.Answer:
        """The same on the wire."""
        return wire.Answer(
            operation=operation,
            verdict=self.word,
            reason=self.reason[:REASON_CHARS_MAX],
            valid_s=self.valid_s,
            counts_on=self.counts_on,
            retry_after_s=self.retry_after_s,
            progress=self.progress,
            waiting_helps=self.waiting_helps,
            would_help=tuple(way.on_the_wire() for way in self.would_help),
            by_system=self.by_system,
        )


def _text(where: str, given: object) -> None:
    if not isinstance(given, str):
        raise TypeError(f"{where} is text, not {given!r}")


def accept(reason: str = "", *, valid_s: float = 60.0, counts_on: tuple[str, ...] | None = None) -> Verdict:
    """Safe now, and for the next ``valid_s`` seconds.

    ``counts_on`` names the incarnations (``broker-1.3``) whose loss makes the acceptance void; by default all that
    are ready.
    """
    if valid_s <= 0:
        raise ValueError(f"accept(valid_s={valid_s}): a reservation needs a positive time in seconds")
    return Verdict("accept", reason, valid_s=valid_s, counts_on=counts_on)


def defer(reason: str, *, retry_after: float = 5.0, progress: float | None = None) -> Verdict:
    """Not now, because of ``reason``; asked again after ``retry_after`` seconds.

    ``progress`` (0 to 1) says how far the work is that has to be done first.
    """
    if not reason:
        raise ValueError("defer() needs a reason: a person reads it in `upcall why`")
    bounded = min(max(retry_after, RETRY_AFTER_MIN_S), RETRY_AFTER_MAX_S)
    return Verdict("defer", reason, retry_after_s=bounded, progress=progress)


def hopeless(
    reason: str, *, would_help: "Way | str | Iterable[Way | str]" = (), retry_after: float = HOPELESS_RETRY_S
) -> Verdict:
    """Not now, and not later by itself: ``reason`` stays until somebody does something.

    ``would_help`` says what (a sentence, or a :class:`Way`). A person is told at once. Like any deferral it is renewed,
    and asked about again whenever a member or an operation changes, or the service calls :meth:`Service.ask_again`.
    """
    ways = (would_help,) if isinstance(would_help, Way | str) else tuple(would_help)
    if len(ways) > WAYS_MAX:
        raise ValueError(f"hopeless(would_help=...): {len(ways)} ways; a person reads at most {WAYS_MAX}")
    found = tuple(way if isinstance(way, Way) else Way(way) for way in ways)
    return replace_in(defer(reason, retry_after=retry_after), waiting_helps=False, would_help=found)


def decline(reason: str) -> Verdict:
    """No. It ends a voluntary operation; of a windowed one it is a deferral until the window is over."""
    if not reason:
        raise ValueError("decline() needs a reason: a person reads it in `upcall why`")
    return Verdict("decline", reason)


def wait(reason: str = "", *, retry_after: float = 30.0) -> Verdict:
    """A lost member may come back by itself: leave it (until the system's ``replace_after_s``)."""
    return Verdict("wait", reason, retry_after_s=min(max(retry_after, RETRY_AFTER_MIN_S), RETRY_AFTER_MAX_S))


def restart(reason: str = "") -> Verdict:
    """Start a lost member again where it was, with its volumes."""
    return Verdict("restart", reason)


def replace(reason: str = "") -> Verdict:
    """Give a lost member a new place with empty volumes, once its old incarnation is proven dead."""
    return Verdict("replace", reason)


def renew(reason: str = "") -> Verdict:
    """Start a lost member anew on the node where it is, with empty volumes; the old ones are set aside. For a member
    that ends again and again because of what is in them, when all of it is elsewhere too."""
    return Verdict("renew", reason)
