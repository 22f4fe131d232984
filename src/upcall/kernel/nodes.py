"""Which nodes are there: registered, late, silent, gone, back.

    expected   recorded, not yet heard since we started      up      heard within half the liveness time
    late       not heard for half of it: still counted on    silent  not heard for all of it: nothing is placed there
    gone       for good (removed, or lost); only a registration brings it back

Silence is not death: tasks go on while their agent is being restarted. Who decides that a silent node is lost is the
ledger (``replace_after_s``), not this file.

The judge's own clock may be late (a suspended laptop, an overloaded machine, a slow disk): then all nodes look
silent at once, although it was we who did not listen. A deadline that is overdue by more than ``slack_s`` when it is
looked at proves that; all deadlines start again from now, before anyone is judged.

All nodes have the same liveness time, so the order in which they were last heard *is* the order of deadlines, and
each message costs one move to the end of it.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

State = Literal["expected", "up", "late", "silent", "gone"]


@dataclass(frozen=True)
class Change:
    node: str
    state: State
    reason: str


class Nodes:
    def __init__(self, liveness_s: float) -> None:
        self._liveness_s = liveness_s
        self._late_s = liveness_s / 2
        self._slack_s = max(2.0, liveness_s / 3)
        self._states: dict[str, State] = {}
        self._heard: OrderedDict[str, float] = OrderedDict()
        """Node -> when it was last heard, oldest first; those that a deadline stands for."""
        self._since: dict[str, float] = {}
        """Silent or gone node -> when it was last heard."""

    def state(self, node: str) -> State:
        return self._states[node]

    def usable(self, node: str) -> bool:
        return self._states[node] in ("expected", "up", "late")

    def last_heard_s(self, node: str) -> float | None:
        return self._heard.get(node, self._since.get(node))

    def expect(self, node: str, now_s: float) -> None:
        """A node that is on record; it has the liveness time to register."""
        self._states[node] = "expected"
        self._heard[node] = now_s

    def gone(self, node: str, now_s: float) -> None:
        self._states[node] = "gone"
        self._since[node] = self._heard.pop(node, self._since.get(node, now_s))

    def forget(self, node: str) -> None:
        self._states.pop(node, None)
        self._heard.pop(node, None)
        self._since.pop(node, None)

    def registered(self, node: str, now_s: float) -> Change:
        before = self._states.get(node)
        last_s = self.last_heard_s(node)
        self._states[node] = "up"
        self._since.pop(node, None)
        self._listen(node, now_s)
        if before in ("silent", "gone") and last_s is not None:
            return Change(node, "up", f"back after {now_s - last_s:.0f} s")
        return Change(node, "up", "registered")

    def heard(self, node: str, now_s: float) -> Change | None:
        """Any sign of life of a registered node, also of one that was silent on a connection that held."""
        state = self._states.get(node)
        if state not in ("up", "late", "silent"):
            return None
        last_s = self.last_heard_s(node)
        self._states[node] = "up"
        self._since.pop(node, None)
        self._listen(node, now_s)
        if state == "up" or last_s is None:
            return None
        return Change(node, "up", f"heard again after {now_s - last_s:.0f} s")

    def _listen(self, node: str, now_s: float) -> None:
        self._heard[node] = now_s
        self._heard.move_to_end(node)

    def judge(self, now_s: float) -> Iterator[Change]:
        if self._heard:
            oldest_s = next(iter(self._heard.values()))
            if now_s - oldest_s > self._liveness_s + self._slack_s:
                for node in self._heard:
                    self._heard[node] = now_s
                return
        while self._heard:
            node, last_s = next(iter(self._heard.items()))
            if now_s - last_s < self._liveness_s:
                break
            del self._heard[node]
            self._since[node] = last_s
            self._states[node] = "silent"
            yield Change(node, "silent", f"nothing heard for {now_s - last_s:.0f} s")
        for node, last_s in self._heard.items():
            if now_s - last_s < self._late_s:
                break
            if self._states[node] == "up":
                self._states[node] = "late"
                yield Change(node, "late", f"nothing heard for {now_s - last_s:.0f} s")

    def deadline(self) -> float | None:
        if not self._heard:
            return None
        for node, last_s in self._heard.items():
            if self._states[node] == "up":
                return min(next(iter(self._heard.values())) + self._liveness_s, last_s + self._late_s)
        return next(iter(self._heard.values())) + self._liveness_s
