"""Which events a person must know of, and in which words: pure."""

import time
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from upcall.protocol.operator import Event

What = Literal["alert", "forced", "lost", "given up", "missed", "test"]
"""``alert``: the system itself says that a person is needed: what is stuck, a disk that fills, a schedule that fails.
``missed``: the journal's beginning was dropped before it was read."""

LINES_MAX: Final = 20
"""Of one message; how many more there are is said."""


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    """The same whenever it is told again, so that who hears it twice knows."""
    cluster: str
    sequence: int
    at: float
    what: What
    subject: str
    text: str
    service: str = ""
    member: str = ""
    operation: str = ""

    @property
    def line(self) -> str:
        of = self.member or self.service
        about = f"{of}: " if of and not self.subject.startswith(of) else ""
        return f"{self.what}: {about}{self.subject}: {self.text}"


def of(event: Event) -> Notice | None:
    """None: it is nothing that somebody is woken for."""
    what = _what(event)
    if what is None:
        return None
    text = event.text
    if what == "missed":
        text += "; what a person should have been told may be among them: `upcall status`"
    return Notice(
        id=f"{event.cluster}-{event.sequence}-{what}",
        cluster=event.cluster,
        sequence=event.sequence,
        at=event.at,
        what=what,
        subject=event.subject,
        text=text,
        service=str(event.data.get("service", "")),
        member=str(event.data.get("member", "")),
        operation=str(event.data.get("operation", "")),
    )


def _what(event: Event) -> What | None:
    data = event.data
    if event.kind == "gap":
        return "missed"
    if data.get("alert") is True:
        return "alert"
    if event.kind != "operation":
        return None
    if data.get("how") == "forced":
        return "forced"
    if data.get("kind") == "lost" and "from" not in data and "how" not in data:
        return "lost"
    if data.get("to") == "failed":
        return "given up"
    return None


def title(notices: Sequence[Notice], cluster: str) -> str:
    if len(notices) == 1:
        return f"{cluster}: {notices[0].line}"
    return f"{cluster}: {len(notices)} alerts"


def text(notices: Sequence[Notice], cluster: str) -> str:
    """What a person reads; the newest are those that count when there are many."""
    shown = notices[-LINES_MAX:]
    more = [f"({len(notices) - len(shown)} older ones: `upcall events`)"] if len(shown) < len(notices) else []
    return "\n".join([f"upcall cluster {cluster}", *more, *(f"{_when(one.at)} {one.line}" for one in shown)])


def document(notices: Sequence[Notice], cluster: str) -> dict[str, Any]:
    """For programs; ``text`` is what chat systems show."""
    return {"text": text(notices, cluster), "cluster": cluster, "alerts": [msgspec.to_builtins(one) for one in notices]}


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
