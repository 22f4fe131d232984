"""The course of an update: what of it is written down, and the plan that follows from it. Pure.

A revision brings members what differs, in this order: what changes while they run, at one of them first; one member
by a restart (the canary), and the gate after it; the others; then those that are new; then those that leave.

What is written down says what all members had before the first change that was not carried out to its end
(``base``), and which members took a later one over since: after a canary that failed the next revision is compared with
what each of them really has. It is kept under the life of the service, so a host that starts in the middle goes on.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from upcall.protocol import service as wire
from upcall.service.changing import OptionChange
from upcall.service.moving import AWAY
from upcall.service.pod import Pod
from upcall.service.steps import Do, Leave, Phase, Restart, Start, Step, TakeOver

LIVE_ATTEMPTS: Final = 6
"""Of what is changed while the members run, over half a minute: one that has much to do answers later. What cannot be
right the next time raises ``Invalid`` at once, and one that ended by it is not asked again."""
LIVE: Final = "live"
TAKEN_OVER: Final = f"{LIVE}/take over"
"""Its last step: all that was changed while members ran is theirs, also at their next start."""
CANARY: Final = "canary"
REST: Final = "rest"
SPREAD: Final = "spread"

Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Live:
    """What an update changes while members run."""

    each: tuple[OptionChange, ...] = ()
    """Member by member."""
    at_once: tuple[OptionChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.each or self.at_once)


@dataclass(frozen=True)
class Works:
    """What steps of an update call."""

    to_one: Work
    """Changes something live at one member, and its gate ..."""
    live_gate: Work
    to_others: Work
    """... and at the others."""
    to_all: Work
    """Changes something live at all of them, and what watches them then."""
    settle: Work
    gate: Work
    spread: Work | None = None
    """None: its expert spreads nothing."""


class Course(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One update, as it is written down."""

    life: float
    """When the service was installed."""
    revision: int
    options: dict[str, Any]
    """That it brings."""
    base: dict[str, Any]
    """Options that all members had before it, but for those of ``moved``."""
    base_unknown: bool = False
    """What members were under them nobody can say: they are of other code, or its code raises or hangs with them."""
    base_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """All members that are, or were to be, since ``base``."""
    chosen: tuple[str, ...] = ()
    """Members that there are to be after it."""
    upgrade: bool = False
    touched: tuple[str, ...] = ()
    """Names of all changes since ``base``: what was changed while members run may have to be changed back."""
    moved: tuple[str, ...] = ()
    """Members that took a later revision over than ``base``."""
    canary: str | None = None
    """None: it is not chosen yet; empty: there is none."""
    restarts: tuple[str, ...] = ()
    """All that restart, once the canary is chosen."""
    live: tuple[str, ...] = ()
    """Names of what is changed while members run."""
    live_canary: str | None = None
    told: dict[str, int] = {}
    """Members that were told something live -> the incarnation that was. Written before they are told."""
    told_all: bool = False
    """So was what has no value of a member's own."""
    left_told: tuple[str, ...] = ()
    """Members that an earlier course had told, which went no further and gave nothing back."""
    marks: dict[str, str] = {}
    paused: tuple[str, ...] = ()
    failing: str = ""
    """Why it goes no further, while what was changed live is being taken back."""
    outcome: str = ""
    """``done``, or why it goes no further."""

    @property
    def owes(self) -> bool:
        """Something was changed live, and not at all members that it was meant for."""
        return bool(self.told or self.told_all) and TAKEN_OVER not in self.marks

    @property
    def brings(self) -> frozenset[str]:
        """Members that it adds. Before their turn nobody starts them."""
        return frozenset() if self.outcome == "done" else frozenset(self.names) - frozenset(self.base_names)


def next_course(
    last: Course | None,
    *,
    life: float,
    revision: int,
    was: Mapping[str, Any],
    options: Mapping[str, Any],
    upgrade: bool,
) -> Course:
    """The course of a revision, after the one before it. ``was``: the options before it, where nothing is written
    down."""
    if last is None or last.life != life or last.outcome == "done":
        base = dict(was if last is None or last.life != life else last.options)
        return Course(life=life, revision=revision, options=dict(options), base=base, upgrade=upgrade)
    moved = {path.partition("/")[2] for path in last.marks if path.startswith((f"{CANARY}/", f"{REST}/"))}
    return Course(
        life=life,
        revision=revision,
        options=dict(options),
        base=last.base,
        base_unknown=last.base_unknown,
        base_names=last.base_names,
        names=last.names,
        upgrade=upgrade or last.upgrade,
        touched=last.touched,
        left_told=tuple(sorted({*last.left_told, *(last.told if last.owes else ())})),
        moved=tuple(sorted({*last.moved, *moved & set(last.restarts)})),
    )


def with_differences(course: Course, *, was: Iterable[str], wanted: Iterable[str], touched: Iterable[str]) -> Course:
    """Once what it changes was looked at: names of members before and after, and of the changes."""
    base_names = course.base_names or tuple(was)
    chosen = tuple(wanted)
    names = tuple(dict.fromkeys([*base_names, *course.names, *chosen]))
    return replace(
        course,
        chosen=chosen,
        base_names=base_names,
        names=names,
        touched=tuple(dict.fromkeys([*course.touched, *touched])),
    )


def who_restarts(course: Course, differ: Iterable[str], members: Mapping[str, wire.Member]) -> tuple[str, ...]:
    """Those whose declarations differ; and where nobody can compare (other code; what took something over that was
    never carried out to its end) those that are behind."""
    told = set(differ)
    return tuple(
        name
        for name in course.base_names or members
        if name in members and (members[name].behind if course.upgrade or name in course.moved else name in told)
    )


def may_be_canary(names: Iterable[str], members: Mapping[str, wire.Member]) -> tuple[str, ...]:
    """Of those that restart, the ones that can show whether it works."""
    return tuple(name for name in names if members[name].state not in (*AWAY, "lost"))


def phases(
    course: Course,
    pods: Iterable[Pod],
    members: Mapping[str, wire.Member],
    live: Live,
    works: Works,
    timeout_s: float,
) -> tuple[Phase, ...]:
    """The plan of the update; the canary is chosen."""
    pods = list(pods)
    wanted = [name for pod in pods for name in pod.member_names]
    found: list[Phase] = []
    first: list[Step] = []
    if live.each:
        first += [Do("one", works.to_one, LIVE_ATTEMPTS, timeout_s), Do("gate", works.live_gate, timeout_s=timeout_s)]
        first += [Do("others", works.to_others, LIVE_ATTEMPTS, timeout_s)] if len(wanted) > 1 else []
    if live.at_once:
        first += [Do("all", works.to_all, LIVE_ATTEMPTS, timeout_s), Do("settle", works.settle, timeout_s=timeout_s)]
    others = tuple(name for name in wanted if name in members and name not in (*course.restarts, *course.brings))
    if live or TAKEN_OVER in course.marks or any(members[name].behind for name in others):
        first.append(TakeOver(others))
    if first:
        found.append(Phase(LIVE, *first))
    if course.canary:
        found.append(Phase(CANARY, Restart(course.canary), Do("gate", works.gate, timeout_s=timeout_s)))
    rest = [Restart(name) for name in course.restarts if name != course.canary and name in wanted]
    if rest:
        found.append(Phase(REST, *rest, strategy="parallel"))
    for pod in pods:
        new = [Start(name) for name in pod.member_names if name in course.brings]
        if new:
            one_by_one = pod.joins == "one by one" or pod.strategy == "serial"
            found.append(Phase(f"new {pod.name}", *new, strategy="serial" if one_by_one else "parallel"))
    if works.spread is not None and any(name in course.brings for name in wanted):
        found.append(Phase(SPREAD, Do("load", works.spread, timeout_s=timeout_s)))
    going = [
        name for name in course.names if name not in wanted and (name in members or f"leave/{name}" in course.marks)
    ]
    if going:
        found.append(Phase("leave", *(Leave(name) for name in reversed(going))))
    return tuple(found)
