"""What the screen of ``upcall top`` shows and what a key does to it: pure, without a terminal or a cluster.

News come in (:meth:`Board.saw`, :meth:`Board.happened`, :meth:`Board.away`), keys come in (:meth:`Board.key`), and what
has to be asked of the cluster comes out, as a :class:`Wish`. Nothing is asked of it that a person did not confirm.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from upcall.cli.output import ago, mib
from upcall.cli.why import kind_of
from upcall.protocol.operator import Event, NodeView, OperationView, Status, TaskView

Tab = Literal["nodes", "members", "operations", "events"]
TABS: Final[tuple[Tab, ...]] = ("nodes", "members", "operations", "events")
COLUMNS: Final[dict[Tab, tuple[str, ...]]] = {
    "nodes": ("node", "state", "zone", "memory", "cpu", "members", "reason"),
    "members": ("member", "state", "for", "node", "memory", "reason"),
    "operations": ("id", "what", "state", "for", "waits for"),
    "events": ("at", "kind", "about", "what"),
}
EVENTS_KEPT: Final = 500
LOG_LINES_KEPT: Final = 2000
PAGE: Final = 10
DRAINED: Final = ("draining", "drained")

Verb = Literal["drain", "undrain", "log", "why", "look", "leave"]


@dataclass(frozen=True)
class Wish:
    """What a key asks of the cluster, or of the program."""

    verb: Verb
    of: str = ""


@dataclass(frozen=True)
class Question:
    words: str
    wish: Wish


@dataclass
class Detail:
    """Lines about one thing, in place of the table: a member's log, why an operation waits."""

    title: str
    of: Wish
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES_KEPT))
    up: int = 0
    """So many lines above the end of it."""


@dataclass(frozen=True)
class Row:
    name: str
    """By which it is selected, also when the table changes."""
    cells: tuple[str, ...]
    state: str = ""


class Board:
    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.tab: Tab = "nodes"
        self.status: Status | None = None
        self.tasks: Sequence[TaskView] = ()
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self.looked_at = 0.0
        self.away_since, self.away_words = 0.0, ""
        self.question: Question | None = None
        self.detail: Detail | None = None
        self.note = ""
        """What the last key came to."""
        self.bad = False
        """The note is of something that was refused."""
        self.asked: list[str] = []
        """Operations that were begun from here."""
        self._selected: dict[Tab, str] = {}
        self._place: dict[Tab, int] = dict.fromkeys(TABS, 0)

    # -- news -------------------------------------------------------------------------------------------------------

    def saw(self, status: Status, tasks: Sequence[TaskView], at: float) -> None:
        self.status, self.tasks, self.looked_at = status, tasks, at
        self.away_since, self.away_words = 0.0, ""

    def happened(self, event: Event) -> None:
        """In any order, and twice: what is past is asked for while the stream goes on."""
        if not self.events or event.sequence > self.events[-1].sequence:
            self.events.append(event)
            return
        known = {one.sequence: one for one in (*self.events, event)}
        self.events = deque((known[each] for each in sorted(known)), maxlen=EVENTS_KEPT)

    def away(self, words: str, at: float) -> None:
        """What is shown stays, and is said to be old."""
        self.away_since, self.away_words = self.away_since or at, words

    def said(self, words: str, *, bad: bool = False) -> None:
        self.note, self.bad = words, bad

    # -- what is shown ----------------------------------------------------------------------------------------------

    def rows(self, tab: Tab | None = None) -> list[Row]:
        match tab or self.tab:
            case "nodes":
                return [_node(one) for one in self.status.nodes] if self.status else []
            case "members":
                return [_member(one) for one in sorted(self.tasks, key=lambda one: one.member)]
            case "operations":
                live = [one for one in self.status.operations if one.ended_at is None] if self.status else []
                return [_operation(one) for one in live]
            case "events":
                return [_event(one) for one in reversed(self.events) if not one.detail]

    @property
    def place(self) -> int:
        """Of the selected row: where it was last seen, if it is there no more."""
        rows = self.rows()
        name = self._selected.get(self.tab)
        found = next((at for at, one in enumerate(rows) if one.name == name), self._place[self.tab])
        return max(0, min(found, len(rows) - 1))

    @property
    def selected(self) -> Row | None:
        rows = self.rows()
        return rows[self.place] if rows else None

    def counts(self) -> str:
        if self.status is None:
            return "looking"
        up = sum(one.state == "up" for one in self.status.nodes)
        ready = sum(one.ready for one in self.status.services)
        wanted = sum(one.wanted for one in self.status.services)
        waits = f", {len(self.status.waiting)} waiting" if self.status.waiting else ""
        return f"{up}/{len(self.status.nodes)} nodes up, {ready}/{wanted} members ready{waits}"

    # -- keys -------------------------------------------------------------------------------------------------------

    def key(self, key: str) -> Wish | None:
        """``key``: a letter, or the word of one: ``up``, ``enter``, ``esc``, ``pagedown``, ``tab``."""
        if self.question is not None:
            return self._answer(self.question, key)
        self.said("")
        if key == "q":
            return Wish("leave")
        if key == "r":
            return Wish("look")
        if self.detail is not None:
            self._in_detail(self.detail, key)
        elif key in ("tab", "right", "backtab", "left"):
            step = 1 if key in ("tab", "right") else -1
            self.tab = TABS[(TABS.index(self.tab) + step) % len(TABS)]
        elif key.isdecimal() and 0 < int(key) <= len(TABS):
            self.tab = TABS[int(key) - 1]
        elif key in _STEPS:
            self._select(_STEPS[key])
        elif key == "enter":
            return self._open()
        elif key in ("d", "u"):
            self._ask("drain" if key == "d" else "undrain")
        return None

    def _answer(self, question: Question, key: str) -> Wish | None:
        self.question = None
        if key in ("y", "Y"):
            return question.wish
        self.said("nothing was done")
        return None

    def _in_detail(self, detail: Detail, key: str) -> None:
        if key in ("esc", "backspace", "left", "enter"):
            self.detail = None
        elif key in _STEPS:
            detail.up = max(0, min(detail.up - _STEPS[key], len(detail.lines) - 1))

    def _select(self, step: int) -> None:
        rows = self.rows()
        if rows:
            at = max(0, min(self.place + step, len(rows) - 1))
            self._place[self.tab], self._selected[self.tab] = at, rows[at].name

    def _open(self) -> Wish | None:
        row = self.selected
        if row is None:
            return None
        if self.tab == "nodes":
            self.tab = "members"
            first = next((one.name for one in self.rows() if one.name in self._members_of(row.name)), None)
            if first:
                self._selected["members"] = first
            return None
        if self.tab == "members":
            self.detail = Detail(f"log of {row.name}", Wish("log", row.name))
        elif self.tab == "operations":
            self.detail = Detail(f"why {row.name}", Wish("why", row.name))
        else:
            self.detail = Detail(row.cells[0], Wish("look"), deque([f"{row.cells[1]} {row.cells[2]}", row.cells[3]]))
            return None
        return self.detail.of

    def _members_of(self, node: str) -> set[str]:
        return {one.member for one in self.tasks if one.node == node}

    def _ask(self, verb: Literal["drain", "undrain"]) -> None:
        node = self._node()
        if node is None:
            self.said("d and u are of a node, or of a member's: 1 shows the nodes", bad=True)
            return
        if (verb == "undrain") != (node.state in DRAINED):
            self.said(f"{node.name} is {node.state}: there is nothing to {verb}", bad=True)
            return
        if verb == "drain":
            who = f" ({', '.join(node.members)})" if node.members else ""
            words = f"Drain {node.name}? Its services are asked; its members{who} are held until undrain."
        else:
            words = f"Undrain {node.name}? What was held there comes back."
        self.question = Question(f"{words} [y/N]", Wish(verb, node.name))

    def _node(self) -> NodeView | None:
        row = self.selected
        if row is None or self.status is None or self.tab not in ("nodes", "members"):
            return None
        name = row.name
        if self.tab == "members":
            name = next((one.node for one in self.tasks if one.member == row.name), "")
        return next((one for one in self.status.nodes if one.name == name), None)


_FAR: Final = 1 << 30
_STEPS: Final = {
    "up": -1, "k": -1, "down": 1, "j": 1, "pageup": -PAGE, "pagedown": PAGE, "home": -_FAR, "g": -_FAR, "end": _FAR,
    "G": _FAR,
}  # fmt: skip


def _node(one: NodeView) -> Row:
    memory = f"{mib(one.memory_used_mib)} of {mib(one.memory_mib)}"
    reason = "" if one.state == "up" else one.reason
    cells = (one.name, one.state, one.zone, memory, f"{one.cpu_used:.2f}", str(len(one.members)), reason)
    return Row(one.name, cells, one.state)


def _member(one: TaskView) -> Row:
    memory = f"{mib(one.memory_used_mib)} of {mib(one.memory_mib)}"
    return Row(one.member, (one.member, one.state, ago(one.since), one.node, memory, one.reason), one.state)


def _operation(one: OperationView) -> Row:
    what = f"{kind_of(one)} of {one.member or one.target}"
    return Row(one.id, (one.id, what, one.state, ago(one.since), one.waits_for), one.state)


def _event(one: Event) -> Row:
    clock = time.strftime("%H:%M:%S", time.localtime(one.at))
    return Row(str(one.sequence), (clock, one.kind, one.subject, one.text))
