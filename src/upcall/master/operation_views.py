"""What people see of operations: where each one stands, who waits for whom, and why."""

from upcall.master.core import Core
from upcall.master.service_views import change_waits_for
from upcall.operations.records import Mark, Operation, Way
from upcall.operations.table import CHANGES, CLASSES
from upcall.operations.views import Why as LedgerWhy
from upcall.operations.waiting import RESTART_PAUSE
from upcall.protocol import operator as view
from upcall.protocol.errors import NotFound


class OperationViews:
    """Of all operations, those that stand and those that are remembered."""

    _core: Core

    def operations(self, *, ended: bool = False) -> list[view.OperationView]:
        """The live ones (a drain that stands is live); with ``ended`` those of the past too. Newest first."""
        ledger = self._core.state.ledger
        return [self.operation(each) for each in reversed(ledger.operations() if ended else ledger.standing())]

    def find_operation(self, operation: str) -> Operation:
        found = self._core.state.ledger.operation(operation)
        if found is None:
            raise NotFound(f"no operation {operation!r}", where="operation", expected="an id such as op-12")
        return found

    def operation(self, operation: Operation) -> view.OperationView:
        why = self._why(operation) if operation.live else None
        target = operation.target
        member = f"{target.service}.{target.members[0]}" if len(target.members) == 1 else ""
        wall_s = self._core.wall()
        children = [each.id for each in self._core.state.ledger.children(operation.id)]
        forced = operation.forced or self._forced_at_end(operation)
        return view.OperationView(
            id=operation.id,
            kind=operation.kind,
            klass=operation.class_,
            who_wins=CLASSES[operation.class_],
            state=operation.state,
            target=target.node or _target(operation),
            nodes=list(operation.nodes),
            service=target.service,
            member=member if operation.kind != "uninstall" else "",
            reason=operation.reason,
            asked_by=operation.asked_by,
            origin=operation.origin,
            parent=operation.parent,
            children=children,
            removes_node=operation.removes_node,
            firmness=operation.firmness,
            on_deadline=operation.on_deadline or "",
            deadline_at=operation.deadline_wall_s,
            since=operation.since_wall_s,
            ended_at=None if operation.live else operation.since_wall_s,
            outcome=operation.outcome,
            waits_for=self._plan_says(operation, why) or _waits_for(why),
            next_look_at=wall_s + why.next_look_s if why and why.next_look_s is not None else None,
            next_look_is=why.next_look_is if why and why.next_look_s is not None else "",
            forced_by=forced.who if forced else "",
            forced_reason=forced.why if forced else "",
        )

    def _forced_at_end(self, operation: Operation) -> Mark | None:
        """Its window's end forced it, as was chosen beforehand. A service whose silence lets it proceed may have begun
        before that end, which the record does not tell apart: nothing is claimed then."""
        deadline_s = operation.deadline_wall_s
        if not operation.over_consent or operation.on_deadline != "force" or deadline_s is None:
            return None
        silence = [each.silence for each in self._core.state.ledger.services() if each.name == operation.target.service]
        if operation.since_wall_s < deadline_s or silence != ["hold"]:
            return None
        return Mark(who="its deadline", why="--on-deadline force", wall_s=deadline_s)

    def _plan_says(self, operation: Operation, why: LedgerWhy | None) -> str:
        """Of a change that its service carries out, and that waits for no step: what its plan waits for."""
        service = self._core.state.services.get(operation.target.service)
        if why is None or service is None or operation.kind not in CHANGES or not operation.begun:
            return ""
        if why.waits_for != service.record.name or not (said := change_waits_for(self._core, service, operation)):
            return ""
        return f"{service.record.name}: {said}"

    def _why(self, operation: Operation) -> LedgerWhy | None:
        """As of now, not of the last input."""
        return self._core.state.ledger.why(operation.id, self._core.monotonic(), self._core.wall())

    def why(self, operation: Operation) -> view.Why:
        ledger = self._core.state.ledger
        why = self._why(operation)
        lines = [why.account()] if why else [_ended(operation)]
        lines += filter(None, [self._plan_says(operation, why)])
        if operation.state == "open" and (said := self._core.notes.get(operation.id)):
            lines.append(f"{operation.target.service}: {said}")
        if operation.reason:
            lines.append(f"{'seen' if operation.seen else 'asked for'} by {operation.asked_by}{because(operation)}")
        lines += [_way(each) for each in why.ways] if why else []
        children = [self.why(each) for each in ledger.children(operation.id)]
        return view.Why(operation=self.operation(operation), lines=lines, children=children)

    def waiting(self) -> list[str]:
        """What waits for somebody, in words, oldest first. Of a drain, what lies below it says so itself. A pause
        before the next start waits for nobody, and its service says it."""
        found = []
        ledger = self._core.state.ledger
        for operation in ledger.standing():
            if operation.kind == "maintenance" and any(each.state == "open" for each in ledger.children(operation.id)):
                continue
            why = self._why(operation) if operation.state == "open" else None
            if why and why.waits_for and why.waits_for != RESTART_PAUSE:
                found.append(why.brief())
        return found

    def stuck(self) -> int:
        """How many stand of which a person was told that he is needed."""
        return sum(operation.alerted for operation in self._core.state.ledger.standing())


def _way(way: Way) -> str:
    """``possible: give orders a second copy: `upcall ...`; costs: room for it``."""
    text = f"possible now: {way.does}" + (f": `{way.command}`" if way.command else "")
    return text + (f". Costs: {way.costs}" if way.costs else "")


def _target(operation: Operation) -> str:
    target = operation.target
    if not target.service:
        return target.words() if target.nodes else "the system"
    if len(target.members) != 1 or operation.kind == "uninstall":
        return target.service
    incarnation = target.incarnation_of(target.members[0])
    return f"{target.service}.{target.members[0]}" + (f".{incarnation}" if incarnation else "")


def _waits_for(why: LedgerWhy | None) -> str:
    if why is None or not why.waits_for:
        return ""
    if why.answered:
        return why.reason  # Whose answer it is stands in it.
    return why.waits_for + (f": {why.reason}" if why.reason else "")


def because(operation: Operation) -> str:
    """Its reason, where that is more than what it is."""
    return f": {operation.reason}" if operation.reason != operation.kind else ""


def _ended(operation: Operation) -> str:
    return f"{operation.id} {operation.kind} is {operation.state}" + (
        f": {operation.outcome}" if operation.outcome else ""
    )
