"""Consent: what a service says when the system asks.

An operation is shown to its service before anything happens. The answer is one of these words, each made by a small
function, so that an expert's method reads as a sentence::

    if at_risk:
        return defer(f"{len(at_risk)} partitions would have too few replicas", retry_after=5)
    return accept()

``accept`` is a reservation: it holds for ``valid_s`` seconds, and only while the incarnations that it counts on are
still there. ``defer`` is work in progress: the SDK asks the method again after ``retry_after`` seconds and whenever a
member changes, and renews the deferral; one that is not renewed counts as silence. ``decline`` ends a voluntary
operation, and is a deferral of a windowed one. ``wait``, ``restart`` and ``replace`` answer the loss of a member.

No answer at all is an answer too: the static policy decides then (:class:`upcall.protocol.service.Policy`).
"""

from dataclasses import dataclass
from typing import Final, Literal

from upcall.protocol.service import Answer

Word = Literal["accept", "defer", "decline", "wait", "restart", "replace"]

RETRY_AFTER_MIN_S: Final = 0.5
"""Asking the same question more often than this only makes load."""

RETRY_AFTER_MAX_S: Final = 600.0
"""A deferral is renewed at least this often, or a person could not tell a long wait from a forgotten one."""

REASON_CHARS_MAX: Final = 500
"""A reason is one sentence for a person; the rest belongs into the log."""


@dataclass(frozen=True)
class Verdict:
    """One answer to one operation. Made by the functions of this module."""

    word: Word
    reason: str = ""
    valid_s: float = 60.0
    counts_on: tuple[str, ...] | None = None
    retry_after_s: float = 5.0
    progress: float | None = None

    @property
    def takes_away(self) -> bool:
        """Whether the operation may go ahead now, and with it a member."""
        return self.word in ("accept", "replace")

    def answer_to(self, operation: str) -> Answer:
        """The same on the wire."""
        return Answer(
            operation=operation,
            verdict=self.word,
            reason=self.reason[:REASON_CHARS_MAX],
            valid_s=self.valid_s,
            counts_on=self.counts_on,
            retry_after_s=self.retry_after_s,
            progress=self.progress,
        )


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
