"""Whether a service scales itself now: pure.

What it says that it needs swings with its load, and each change costs more than it brings for a moment. So it grows to
what it needed *at least* for ``hold_s``, and shrinks to what it needed *at most* for ``hold_in_s``; and after a change,
by whomever, it waits until what that does can be seen (``cool_down_s``).
"""

from dataclasses import dataclass, replace

from upcall.service.scaling import Autoscale, Size

REFUSED_PAUSE_MAX_S = 3600.0


@dataclass(frozen=True)
class Seen:
    """What it needed at a moment, within its bounds."""

    at_s: float
    count: int


@dataclass(frozen=True)
class Decision:
    to: int | None
    """How many members it is to have; None: as many as it has."""
    words: str
    is_right: bool = False
    """It has as many as it needs."""


@dataclass(frozen=True)
class Deciding:
    """What was seen so far."""

    seen: tuple[Seen, ...] = ()
    changed_s: float | None = None
    """When the last change was over, or was seen under way."""
    refused: int = 0
    """Wishes in a row that came to nothing."""
    refused_s: float = 0.0

    def changing(self, now_s: float) -> "Deciding":
        """Its members are being changed: what it needs now says little of what it will."""
        return replace(self, seen=(), changed_s=now_s)

    def came_to_nothing(self, now_s: float) -> "Deciding":
        return replace(self, refused=self.refused + 1, refused_s=now_s)

    def look(self, now_s: float, has: int, wants: Size, bounds: Autoscale) -> tuple["Deciding", Decision]:
        count = min(max(wants.count, bounds.min), bounds.max)
        longest_s = max(bounds.hold_s, bounds.hold_in_s)
        # One that is older than the window is kept: it says what held at its beginning.
        inside = [one.at_s >= now_s - longest_s for one in self.seen]
        first = max(inside.index(True) - 1, 0) if True in inside else max(len(self.seen) - 1, 0)
        state = replace(self, seen=(*self.seen[first:], Seen(now_s, count)))
        said = f"{wants.reason}: {wants.count} wanted"
        if count != wants.count:
            said += f", {count} within {bounds.min} to {bounds.max}"
        if count == has:
            return replace(state, refused=0), Decision(None, f"{has} are right ({said})", is_right=True)
        hold_s = bounds.hold_s if count > has else bounds.hold_in_s
        window = state._window(now_s, hold_s)
        to = min(window) if count > has else max(window)
        held_s = now_s - state.seen[0].at_s
        if (to <= has) if count > has else (to >= has):
            return state, Decision(None, f"{said}, and {to} within the last {hold_s:g} s")
        if held_s < hold_s:
            return state, Decision(None, f"{said}; looked at for {hold_s - held_s:.0f} s more")
        since_s = now_s - self.changed_s if self.changed_s is not None else bounds.cool_down_s
        if since_s < bounds.cool_down_s:
            return state, Decision(None, f"{said}; the last change is waited for, {bounds.cool_down_s - since_s:.0f} s")
        pause_s = min(max(bounds.cool_down_s, bounds.hold_s) * 2.0**self.refused, REFUSED_PAUSE_MAX_S)
        if self.refused and now_s < self.refused_s + pause_s:
            left_s = self.refused_s + pause_s - now_s
            return state, Decision(None, f"{said}, which came to nothing; again in {left_s:.0f} s")
        return state, Decision(to, f"{said}" + (f" ({to} held for {hold_s:g} s)" if to != count else ""))

    def _window(self, now_s: float, hold_s: float) -> list[int]:
        """What it needed in the last so many seconds, and what held at their beginning."""
        inside = [one.count for one in self.seen if one.at_s >= now_s - hold_s]
        before = [one.count for one in self.seen if one.at_s < now_s - hold_s]
        return [*before[-1:], *inside]
