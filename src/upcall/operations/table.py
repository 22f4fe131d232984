"""The one table: kinds, classes, states and transitions.

The ledger asks this table for every change of an operation's state (:func:`next_state`), the documentation's diagram
is drawn from it, the explorer walks it, and the checker of what happened reads it. Change it here, explore again, and
everything else follows.

**Who wins.** Six classes, printed wherever an operation is shown; :data:`CLASSES` says who wins in each. Voluntary
operations wait for the service, however long; silence never lets one proceed, for any service, until a person
forces it. Windowed ones wait within their window; at its end ``on_deadline`` decides: ``hold`` goes on waiting and
tells a person once, ``proceed`` goes over the service's answer but not over the guard, ``force`` over both. A cure
has the answer time as its window, then the guard alone. A notice passes whatever is answered. What is involuntary
has happened; only what follows is asked. A grant is told.

**May begin** = its parent is not lifted, and no operation on its members has begun, and the system is not shut down,
and the target is what was asked about, and one of (forced | told only | a valid acceptance | window over with
``proceed`` or ``force`` | notice over | a cure, unanswered, of a member that is not ready | a loss on a live node, or
after ``replace_after_s`` with proof of death or a person's word, where its service does not hold it), and the guard
(:mod:`upcall.operations.guard`). For a service with data silence gives nothing up: its last word stands, and without
one nothing is replaced by something empty (:mod:`upcall.operations.patience`).

**Which incarnation.** Stop, restart and cure name one incarnation for life: when it is over by itself they are
withdrawn, never retargeted; a new one is proposed only against an incarnation not known to have ended. Removals name
the member; its incarnation is frozen at execution.

**When it ends something.** At once; an end that was put off since the begin meets the guard once more, and waits while
too few would be left (:mod:`upcall.operations.ends`).

**When it is over.** A stop, when its incarnation has ended or a newer one was seen; a restart, when a newer
incarnation is ready (so the slot stays taken until then), or has failed when the start deadline has passed, counted
from the first launch whatever lies between (no place yet, fetching, the pauses of a crash loop), or when what it
brought has ended five times, or was not started because the volumes that it served with are not there; its service is
then asked what next. No wish waits behind bringing back: while the member
is not ready, what is wanted of it supersedes that (:mod:`upcall.operations.superseding`).

On a node that is silent nothing is known to end. Whatever has begun there wants the proof of death as a loss does, once
the longest patience of what stands on the node is over, and ends by it, or by a person's word; what was to bring a
member back there has failed when the member is dead, and a loss follows.

A drain moves what can move: what nothing binds to the node is vacated, and only held where nothing fits elsewhere. It
is done when every member there is held or gone and no child is live; it stays in effect until it is lifted, also for
what comes later: nothing starts there. A drain of several nodes is one operation: what lies below it is asked as one
set, and one of its nodes may be given back while it goes on for the others. What gives a place up has another first
(:mod:`upcall.operations.places`).
Only what has not begun can be cancelled, and a removal while the member leaves: nothing has ended then, and the member
stays what it was. What is below a plan that goes no further goes the same way. The point of no return (``finalize``)
goes on to its end once it has begun, and no other change takes its place.

**Contenders** of one service begin in the order of :data:`RANK`, then by age.
"""

from functools import cache
from typing import Final, Literal

import msgspec

Class = Literal["involuntary", "cure", "notice", "windowed", "voluntary", "grant"]
State = Literal["open", "preparing", "executing", "done", "failed", "withdrawn", "declined", "lifted"]
OnDeadline = Literal["hold", "proceed", "force"]
Kind = Literal[
    "restart", "move", "replace", "update", "upgrade", "scale_out", "grow", "shrink", "finalize", "scale_in",
    "rebalance", "uninstall", "stop", "vacate", "maintenance", "preempt", "reclaim", "evict", "kill", "lost",
    "shutdown",
]  # fmt: skip

Shape = Literal["away", "back", "removal", "foreign", "plan", "node", "system"]
"""What an operation does to what it touches. ``away``: ends an incarnation and holds the member. ``back``: ends it
if it still runs, and brings the next one. ``removal``: the member leaves, then it ends, and its place is given up.
``foreign``: the substrate ends it, we can hold it up at most. ``plan``: ends nothing itself; its steps are
operations below it. ``node``: maintenance, a parent of stops. ``system``: shutdown."""

Word = Literal[
    "may begin", "decline", "cancel", "parent lifted", "incarnation over", "healthy again", "node back", "called off",
    "superseded", "gave up", "has left", "nothing to move", "deadline", "newer ready", "start deadline", "ended again",
    "node lost for good", "shutdown", "finished", "all held", "becomes removal", "given back",
    "lift",
]  # fmt: skip
"""What moves an operation on."""

CLASSES: Final[dict[Class, str]] = {
    "voluntary": "the service decides, until a person forces it",
    "windowed": "the service decides when, within the window; then on_deadline decides",
    "cure": "the service decides when, within the answer time; then the guard alone",
    "notice": "the service decides; where the notice has an end, from then on the system",
    "involuntary": "it happened; the service is asked what next",
    "grant": "the system; the service is told",
}

RANK: Final[dict[Class, int]] = {
    "involuntary": 0, "cure": 1, "notice": 2, "windowed": 3, "voluntary": 4, "grant": 5,
}  # fmt: skip

LIVE: Final[frozenset[State]] = frozenset({"open", "preparing", "executing"})

OF_ONE_SERVICE: Final[frozenset[Shape]] = frozenset({"away", "back", "removal", "plan"})
"""What a service may propose, on itself. Nodes and the whole system are shared: they are people's."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of operation."""

    class_: Class
    """Its class when it has no parent from whose cause it inherits one."""
    shape: Shape
    asked: bool
    """Whether the service is asked (whether, when or what next); else it is told."""
    meaning: str
    gives_back: Literal["", "in_place", "elsewhere"] = ""
    """Where the member's next incarnation comes."""
    releases: bool = False
    """Address, reservation and, after a grace, volumes are released at its end."""
    waives_minimum: bool = False
    by_people: bool = True
    """People may propose it, and services where it touches one service alone; else only the ledger or a substrate
    begins it."""

    @property
    def by_services(self) -> bool:
        return self.by_people and self.shape in OF_ONE_SERVICE


KINDS: Final[dict[Kind, Row]] = {
    "restart": Row(class_="voluntary", shape="back", asked=True, gives_back="in_place",
                   meaning="end one incarnation, bring the next in the same place"),
    "move": Row(class_="voluntary", shape="removal", asked=True, gives_back="elsewhere",
                meaning="the member leaves its place and comes up in another"),
    "replace": Row(class_="voluntary", shape="removal", asked=True, gives_back="elsewhere",
                   meaning="give the member's place and volumes up, start it anew elsewhere"),
    "update": Row(class_="voluntary", shape="plan", asked=True,
                   meaning="new options, by restarts below it"),
    "upgrade": Row(class_="voluntary", shape="plan", asked=True,
                   meaning="a new version, by restarts below it"),
    "scale_out": Row(class_="voluntary", shape="plan", asked=True,
                     meaning="an update by which members come, and nothing else changes"),
    "grow": Row(class_="voluntary", shape="plan", asked=True,
                meaning="an update by which members get more each, by restarts below it"),
    "shrink": Row(class_="voluntary", shape="plan", asked=True,
                  meaning="an update by which members get less each, by restarts below it"),
    "finalize": Row(class_="voluntary", shape="plan", asked=True,
                    meaning="the point of no return of an upgrade"),
    "scale_in": Row(class_="voluntary", shape="removal", asked=True, releases=True, meaning="members leave for good"),
    "rebalance": Row(class_="voluntary", shape="plan", asked=True,
                   meaning="the service spreads its load anew"),
    "uninstall": Row(class_="voluntary", shape="removal", asked=True, releases=True, waives_minimum=True,
                     meaning="the whole service ends, asked once"),
    "stop": Row(class_="windowed", shape="away", asked=True, meaning="end one incarnation and hold the member"),
    "vacate": Row(class_="windowed", shape="removal", asked=True, gives_back="elsewhere", by_people=False,
                  meaning="the node is drained or removed: the member ends here and comes up elsewhere"),
    "maintenance": Row(class_="windowed", shape="node", asked=False,
                       meaning="a node is drained, or several together: stops below it"),
    "preempt": Row(class_="notice", shape="back", asked=True, gives_back="in_place", by_people=False,
                   meaning="somebody with more weight needs the room"),
    "reclaim": Row(class_="notice", shape="back", asked=True, gives_back="in_place", by_people=False,
                   meaning="revocable capacity goes"),
    "evict": Row(class_="notice", shape="foreign", asked=True, by_people=False,
                 meaning="somebody on the substrate evicts the task"),
    "kill": Row(class_="involuntary", shape="foreign", asked=False, by_people=False,
                meaning="somebody on the substrate ended the task"),
    "lost": Row(class_="involuntary", shape="back", asked=True, gives_back="in_place", by_people=False,
                meaning="process or node gone: wait, restart here, or replace elsewhere"),
    "shutdown": Row(class_="grant", shape="system", asked=False, waives_minimum=True,
                    meaning="the whole system goes down; its reverse lifts it"),
}  # fmt: skip


class Transition(msgspec.Struct, frozen=True):
    """In ``state``, an operation of one of these shapes (and kinds, if any are named) moves by ``word``."""

    state: State
    word: Word
    next: State
    shapes: tuple[Shape, ...]
    kinds: tuple[Kind, ...] = ()
    classes: tuple[Class, ...] = ()

    def applies(self, kind: Kind, class_: Class) -> bool:
        return (
            KINDS[kind].shape in self.shapes
            and (not self.kinds or kind in self.kinds)
            and (not self.classes or class_ in self.classes)
        )


_ASKED: Final[tuple[Shape, ...]] = ("away", "back", "removal", "foreign", "plan")

TRANSITIONS: Final[tuple[Transition, ...]] = (
    # An open operation waits: accepted, deferred, lapsed, stale or silent are answers, not states.
    Transition("open", "may begin", "executing", ("away", "back", "foreign", "plan", "system")),
    Transition("open", "may begin", "preparing", ("removal",)),
    Transition("open", "decline", "declined", _ASKED, classes=("voluntary",)),
    Transition("open", "cancel", "withdrawn", _ASKED),
    Transition("open", "parent lifted", "withdrawn", _ASKED),
    Transition("open", "incarnation over", "withdrawn", ("away", "back"),
               kinds=("stop", "restart", "preempt", "reclaim")),
    Transition("open", "healthy again", "withdrawn", ("back",), classes=("cure",)),
    Transition("open", "node back", "withdrawn", ("back",), kinds=("lost",)),
    Transition("open", "superseded", "withdrawn", _ASKED),
    Transition("open", "called off", "withdrawn", ("foreign",)),
    # The substrate went ahead before we let it: the record says so.
    Transition("open", "finished", "done", ("foreign",)),
    # Removal has two phases: the member leaves, and only then does it end.
    Transition("preparing", "has left", "executing", ("removal",)),
    Transition("preparing", "nothing to move", "executing", ("removal",)),
    Transition("preparing", "deadline", "failed", ("removal",)),
    Transition("preparing", "cancel", "withdrawn", ("removal",)),
    Transition("preparing", "parent lifted", "withdrawn", ("removal",)),
    Transition("preparing", "shutdown", "failed", ("removal",)),
    Transition("preparing", "superseded", "withdrawn", ("removal",)),
    # Begun: it goes on to its end, whatever happens to its parent.
    Transition("executing", "incarnation over", "done", ("away", "removal", "foreign", "system")),
    Transition("executing", "node lost for good", "done", ("away", "removal", "system"),
               kinds=("stop", "uninstall", "scale_in", "shutdown")),
    Transition("executing", "newer ready", "done", ("back",)),
    Transition("executing", "start deadline", "failed", ("back",)),
    Transition("executing", "ended again", "failed", ("back",)),
    Transition("executing", "shutdown", "failed", ("back",)),
    # While the member is not ready, by what is wanted of it instead (:mod:`upcall.operations.superseding`).
    Transition("executing", "superseded", "withdrawn", ("back",)),
    # While its end waits for the minimum (:mod:`upcall.operations.ends`), by an uninstall: nothing was taken yet.
    Transition("executing", "superseded", "withdrawn", ("away", "removal")),
    # Nothing can be brought back there: a loss follows, which is asked about and waits as it should.
    Transition("executing", "node lost for good", "failed", ("back",)),
    Transition("executing", "called off", "withdrawn", ("foreign",)),
    Transition("executing", "finished", "done", ("plan",)),
    # A plan goes no further: its service says so, a person, or another plan in its place. What it has begun goes on.
    Transition("executing", "gave up", "failed", ("plan",)),
    # Not the point of no return.
    Transition("executing", "cancel", "withdrawn", ("plan",),
               kinds=("update", "upgrade", "scale_out", "grow", "shrink", "rebalance")),
    Transition("executing", "superseded", "withdrawn", ("plan",)),
    # What stays in effect until somebody lifts it.
    Transition("open", "all held", "done", ("node",)),
    Transition("open", "becomes removal", "open", ("node",)),
    Transition("done", "becomes removal", "open", ("node",)),
    # One of several nodes: it goes on for the others.
    Transition("open", "given back", "open", ("node",)),
    Transition("done", "given back", "done", ("node",)),
    Transition("open", "lift", "lifted", ("node",)),
    Transition("done", "lift", "lifted", ("node", "away", "system")),
    Transition("executing", "lift", "lifted", ("system",)),
)  # fmt: skip


class NoTransition(AssertionError):
    """The ledger tried what the table does not have: a mistake in the ledger, never in its input."""


CHANGES: Final[tuple[Kind, ...]] = ("update", "upgrade", "scale_out", "grow", "shrink")
"""Plans that bring another revision of a service. The same rules hold for all of them; what they are called is for who
reads the record."""
ONE_AT_A_TIME: Final[tuple[Kind, ...]] = (*CHANGES, "finalize")
"""Plans about what a whole service is: one of these, at most, of each service."""


@cache
def next_state(kind: Kind, class_: Class, state: State, word: Word) -> State | None:
    """Where ``word`` takes an operation, or ``None`` when the table refuses it."""
    for transition in TRANSITIONS:
        if transition.state == state and transition.word == word and transition.applies(kind, class_):
            return transition.next
    return None


def reachable(kind: Kind, class_: Class, state: State) -> frozenset[State]:
    """Every state that one transition leads to."""
    return frozenset(t.next for t in TRANSITIONS if t.state == state and t.applies(kind, class_))
