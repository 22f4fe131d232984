"""What the system does of itself, at its time: what a service's expert wants done again and again, and what waits for a
maintenance window.

One timer, for the earliest moment of all services. A moment is of the wall clock, so it is looked at again whenever
that was moved (a laptop slept, somebody set it): what was missed meanwhile is done once, in the next window. Of one
service one run goes on at a time, and none begins while its code is away; the next subscription of that is looked at.

A run is an action, or a ``rebalance``, on record as any other. That it is under way stands in the schedule's record,
written before the run's own: a run that is not on record was never asked for. Windows hold what begins: a run that has
begun goes on to its end, a change in steps (``in_window``) is held between two steps.
"""

import heapq
from typing import Final, Literal

from msgspec.structs import replace

from upcall.master import due
from upcall.master import records as r
from upcall.master.actions import Actions, new_id
from upcall.master.changes import Changed
from upcall.master.core import Core
from upcall.master.state import Service
from upcall.master.transaction import Transaction
from upcall.master.turning import Turning
from upcall.operations import inputs as given
from upcall.operations.records import WINDOW, Operation
from upcall.protocol import operator as view
from upcall.protocol import recurring
from upcall.protocol.errors import UpcallError

WHO: Final = "its schedule"
REBALANCE: Final = "rebalance"
SLACK_S: Final = 0.001
"""A moment is there when it is so near: the two clocks differ by less than they can say."""
MOVED_S: Final = 1.0
"""A wall clock that differs from the other by so much more than before was moved."""


class Schedules:
    """Of all services."""

    def __init__(self, core: Turning, actions: Actions) -> None:
        self._core, self._actions = core, actions
        self._moments: dict[str, float] = {}
        """Service, or operation that waits for a window -> when it is looked at; wall time."""
        self._heap: list[tuple[float, str]] = []
        """The same, the earliest first; what differs from it is of before."""
        self._offset_s: float | None = None
        self._due_s: float | None = None
        core.after_turn.append(self.rule)
        core.clocks.append(self)

    # -- the timer --------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """Kept as it is while nothing was changed: most turns move no timer."""
        if not self._moments:
            return None
        offset_s = self._core.wall() - self._core.monotonic()
        if self._offset_s is None or abs(offset_s - self._offset_s) > MOVED_S:
            self._offset_s = offset_s
            self._due_s = None
        if self._due_s is None and (first := self._first()) is not None:
            self._due_s = first - self._offset_s
        return self._due_s

    def tick(self, tx: Transaction) -> None:
        while (first := self._first()) is not None and first <= tx.wall_s + SLACK_S:
            _, key = heapq.heappop(self._heap)
            del self._moments[key]
            self._due_s = None
            if key in tx.core.state.services:
                tx.changed.schedules[key] = None
            else:
                tx.changed.operations[key] = None

    def _first(self) -> float | None:
        while self._heap and self._moments.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _set(self, key: str, moment: float | None) -> None:
        if self._moments.get(key) == moment:
            return
        self._due_s = None
        if moment is None:
            self._moments.pop(key, None)
        else:
            self._moments[key] = moment
            heapq.heappush(self._heap, (moment, key))

    # -- what follows from a turn -----------------------------------------------------------------------------------

    def rule(self, tx: Transaction, changed: Changed) -> None:
        for number in changed.operations:
            operation = tx.core.state.ledger.operation(number)
            if operation is None or not operation.in_window:
                self._set(number, None)
            else:
                self._hold(tx, operation)
            if operation is not None and operation.kind == REBALANCE and not operation.live:
                tx.changed.schedules[operation.target.service] = None
        for name in changed.schedules:
            service = tx.core.state.services.get(name)
            if service is None:
                self._set(name, None)
            else:
                self._look(tx, service)
                for operation in tx.core.state.ledger.live(name):
                    if operation.in_window:
                        self._hold(tx, operation)

    def _hold(self, tx: Transaction, operation: Operation) -> None:
        """It goes on while a window is open, and waits between them."""
        service = tx.core.state.services.get(operation.target.service)
        if service is None or not operation.live:
            self._set(operation.id, None)
            return
        windows = due.windows(service.record.options)
        if not windows:
            self._set(operation.id, None)
            self._say(tx, operation, "resume", "there are no windows any more")
            return
        now_s = tx.wall_s + SLACK_S
        span = windows.next(now_s)
        is_open = span.begin_s <= now_s
        self._set(operation.id, span.end_s if is_open else span.begin_s)
        moment = recurring.moments(due.zone(service.record.options), span.end_s if is_open else span.begin_s)
        self._say(tx, operation, "resume" if is_open else "pause", f"{'open until' if is_open else 'next'} {moment}")

    @staticmethod
    def _say(tx: Transaction, operation: Operation, on: Literal["pause", "resume"], why: str) -> None:
        """What cannot be held any more has begun, and goes on to its end; what a person holds, he holds."""
        held = operation.paused
        if (held is None) if on == "resume" else (held is not None and held.why == why):
            return
        tx.hand_to_ledger(given.Pause(operation=operation.id, who=WINDOW, why=why, on=on, window=True))
        tx.settle()

    # -- one service ------------------------------------------------------------------------------------------------

    def _look(self, tx: Transaction, service: Service) -> None:
        """Begins what is due of it, and says when to look again."""
        name, now_s = service.record.name, tx.wall_s + SLACK_S
        moments: list[float] = []
        all_wanted = due.of(tx.core, service)
        known = {one.spec.name: self._known(tx, name, one) for one in all_wanted}
        busy = any(record.run for record in known.values())
        for one in sorted(all_wanted, key=lambda one: one.at(known[one.spec.name]) if not one.never else 0.0):
            if one.never:
                continue
            record = known[one.spec.name]
            if (late_at := one.late_at(record)) is not None and not record.told_late:
                if late_at <= now_s:
                    record = self._late(tx, one, record)
                else:
                    moments.append(late_at)
            if busy:
                continue  # The end of that run is looked at.
            moment = when(one, record, service, now_s)
            if moment > now_s:
                moments.append(moment)
            elif self._actions.connected(name):
                busy = self._begin(tx, one, record)
                if not busy:
                    moments.append(tx.wall_s + due.RETRY_S)
        self._set(name, min(moments, default=None))

    def _known(self, tx: Transaction, service: str, one: due.Wanted) -> r.ScheduleRecord:
        """Its record as it is by now: a run that is over is counted."""
        record = tx.core.state.schedules.get((service, one.spec.name))
        if record is None:
            return self._put(tx, r.ScheduleRecord(service=service, name=one.spec.name, since=tx.wall_s))
        if not record.run:
            return record
        ended = self._ended(tx, record)
        if ended is None:
            return record
        outcome, error = ended
        failed = outcome == "failed"
        record = replace(
            record,
            run="",
            ended_at=tx.wall_s,
            took_s=tx.wall_s - record.began_at,
            outcome=outcome,
            error=error,
            failures=record.failures + 1 if failed else 0,
            done_at=tx.wall_s if outcome == "done" else record.done_at,
            told_late=record.told_late and outcome != "done",
        )
        if failed:
            again = recurring.moments(one.zone, one.at(record)) if not one.never else "at its next time"
            words = f"{one.spec.name}, by its schedule, failed: {error}; it is tried again ({again})"
            tx.event("alert", service, words, alert=record.failures == 1, service=service, schedule=one.spec.name)
        return self._put(tx, record)

    def _ended(self, tx: Transaction, record: r.ScheduleRecord) -> tuple[str, str] | None:
        """How the run under way has ended; None: it goes on."""
        if record.run.startswith("op-"):
            operation = tx.core.state.ledger.operation(record.run)
            if operation is None:
                return "failed", "it is not on record"
            if operation.live:
                return None
            outcome = {"done": "done", "withdrawn": "cancelled"}.get(operation.state, "failed")
            return outcome, "" if outcome == "done" else operation.outcome
        action = tx.core.state.actions.get(record.run)
        if action is None:
            return "failed", "it is not on record"
        return None if action.state == "running" else (action.state, action.error)

    def _late(self, tx: Transaction, one: due.Wanted, record: r.ScheduleRecord) -> r.ScheduleRecord:
        last = (
            f"the last one that did ended {recurring.moments(one.zone, record.done_at)}"
            if record.done_at
            else "none did"
        )
        words = f"{one.spec.name} of {record.service} has not ended well in time: {last}"
        tx.event("alert", record.service, words, alert=True, service=record.service, schedule=one.spec.name)
        return self._put(tx, replace(record, told_late=True))

    def _begin(self, tx: Transaction, one: due.Wanted, record: r.ScheduleRecord) -> bool:
        """The schedule's record first: a run that is not on record was never asked for."""
        began = replace(record, began_at=tx.wall_s)
        if one.spec.name != REBALANCE:
            action = new_id()
            self._put(tx, replace(began, run=action))
            self._actions.begun(tx, action, record.service, one.spec.name, {}, WHO)
            return True
        reason = f"due by its schedule ({one.every})"
        try:
            outcome = tx.ledger(given.Propose(kind="rebalance", asked_by=WHO, service=record.service, reason=reason))
        except UpcallError as error:
            failures = record.failures + 1
            self._put(tx, replace(record, ended_at=tx.wall_s, outcome="failed", error=str(error), failures=failures))
            return False
        self._put(tx, replace(began, run=outcome.operation))
        return True

    def _put(self, tx: Transaction, record: r.ScheduleRecord) -> r.ScheduleRecord:
        tx.core.state.schedules[record.service, record.name] = record
        tx.put(r.SCHEDULE, f"{record.service}/{record.name}", record)
        return record


def when(one: due.Wanted, record: r.ScheduleRecord, service: Service, now_s: float) -> float:
    """When it begins, if nothing comes between: due, and in a window that leaves it the time that it takes."""
    at, windows = max(one.at(record), now_s), due.windows(service.record.options)
    if not windows:
        return at
    takes_s = min(max(one.spec.takes_s, record.took_s), windows.longest_s(at))
    moment = at
    while True:
        span = windows.next(moment)
        begin_s = max(span.begin_s, moment)
        if span.end_s - begin_s >= takes_s or (begin_s == span.begin_s and takes_s >= windows.longest_s(at)):
            return begin_s
        moment = span.end_s


def views(core: Core, service: Service) -> list[view.ScheduleView]:
    """What is due of it, last and next."""
    record, now_s, found = service.record, core.wall(), []
    for one in due.of(core, service):
        fresh = r.ScheduleRecord(service=record.name, name=one.spec.name, since=now_s)
        known = core.state.schedules.get((record.name, one.spec.name), fresh)
        comes = not one.never and not known.run
        found.append(
            view.ScheduleView(
                service=record.name,
                name=one.spec.name,
                description=one.spec.description,
                every=one.every,
                time_zone=one.zone,
                windows=list(record.options.get(due.WINDOWS, ())),
                by=one.by,
                within_s=one.spec.within_s,
                due=one.at(known) if comes else 0.0,
                next=when(one, known, service, now_s) if comes else 0.0,
                running=known.run,
                began=known.began_at,
                ended=known.ended_at,
                took_s=known.took_s,
                outcome=known.outcome,
                error=known.error,
                done=known.done_at,
                late=known.told_late,
            )
        )
    return found
