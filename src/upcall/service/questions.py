"""Which method of a service answers which kind of operation, and which words are answers to it."""

from typing import Any, Final

from upcall.service.blame import a, is_ours, method_at
from upcall.service.consent import Verdict, Word

METHODS: Final = {
    "lost": "on_lost",
    "stop": "may_stop", "evict": "may_stop",
    "restart": "may_restart", "preempt": "may_restart", "reclaim": "may_restart",
    "replace": "may_replace", "move": "may_replace", "vacate": "may_replace",
    "scale_in": "may_scale_in",
    "uninstall": "may_uninstall",
    "update": "may_update", "upgrade": "may_update", "scale_out": "may_update", "grow": "may_update",
    "shrink": "may_update", "finalize": "may_finalize",
}  # fmt: skip
"""Kind -> method; any other kind is ``may_change``'s."""
CHANGES: Final = tuple(kind for kind, method in METHODS.items() if method == "may_update")
"""What brings another revision."""

AFTER_A_LOSS: Final[tuple[Word, ...]] = ("wait", "restart", "replace", "renew", "defer")
BEFORE: Final[tuple[Word, ...]] = ("accept", "defer", "decline")


class NoAnswer(TypeError):
    """What came back is no answer to what was asked."""


def method_of(kind: str) -> str:
    return METHODS.get(kind, "may_change")


def checked(owner: type, kind: str, method: str, given: Any) -> Verdict:
    """The verdict, once it is one that this kind of question takes; else an error: what is wrong, and where."""
    where = method_at(owner, _written(owner, method))
    fitting = AFTER_A_LOSS if kind == "lost" else BEFORE
    words = ", ".join(f"{word}()" for word in fitting)
    if not isinstance(given, Verdict):
        raise NoAnswer(f"{where} returned {a(given)}; expected {words}")
    if given.word not in fitting:
        raise NoAnswer(f"{where} answered {given.word}() to a {kind}, which is no answer to it; expected {words}")
    return given


def _written(owner: type, method: str) -> str:
    """Most methods that nobody wrote ask ``may_stop``: then what is wrong stands there."""
    own = getattr(owner, method, None)
    return method if own is None or not is_ours(own) else "may_stop"
