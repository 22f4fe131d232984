"""A world small enough to be explored: one service of three members on three nodes, and what can happen to it.

Tasks, time, people and the service are steps; the ledger in it is the real one. Each step makes a new state and leaves
the old one as it was. The promises that concern a single step are checked as its effects are performed.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from upcall.operations import inputs as given
from upcall.operations.effects import EndTask, Launch, Outcome, Told
from upcall.operations.explored import canonical
from upcall.operations.ledger import Ledger
from upcall.operations.records import Delete, Policy, Record, RecordChange, kind_of
from upcall.operations.table import KINDS

SERVICE: Final = "log"
MEMBERS: Final = ("b0", "b1", "b2")
NODE_OF: Final = {"b0": "n0", "b1": "n1", "b2": "n2"}
POLICY: Final = Policy(answer_s=10, replace_after_s=20, stuck_after_s=1000)


class Task(msgspec.Struct, frozen=True):
    """The newest incarnation of a member, as it really is."""

    incarnation: int = 0
    phase: str = "ended"


class Budget(msgspec.Struct, frozen=True):
    """What may still happen beside the usual course."""

    wishes: tuple[given.Input, ...] = ()
    deaths: int = 1
    """Of the master."""
    failures: int = 0
    """Of tasks: a process dies, or fails its health check."""
    deferrals: int = 1
    forces: int = 0
    slow: int = 0
    """How often time passes while a task starts or ends; else these are prompt."""


class State(msgspec.Struct, frozen=True):
    ledger: Ledger
    tasks: dict[str, Task]
    now_s: float
    budget: Budget
    accepted: frozenset[str] = frozenset()
    """Operations whose acceptance the ledger took."""

    def key(self) -> object:
        tasks = tuple((name, task.phase) for name, task in self.tasks.items())
        return (canonical(self.ledger), tasks, self.budget)


class Broken(AssertionError):
    """A promise does not hold; the message has the way there."""


Step = tuple[str, given.Input | None, Budget]
"""What is done: its name, the input that the ledger gets (``None``: the master dies), and the budget after it."""


def beginning(budget: Budget, *, minimum: int) -> State:
    """All three ready, nothing wanted from anybody."""
    ledger = Ledger((), start=1)
    state = State(ledger, {name: Task() for name in MEMBERS}, 0.0, budget)
    declared = tuple(given.MemberDeclaration(name=name, start_timeout_s=40) for name in MEMBERS)
    usual: list[given.Input] = [
        given.Started(),
        *(given.NodeObserved(node=node, state="up") for node in NODE_OF.values()),
        given.DeclareService(name=SERVICE, minimum=minimum, policy=POLICY),
        given.HostSubscribed(service=SERVICE),
        given.DeclareMembers(service=SERVICE, members=declared),
        given.StartMembers(service=SERVICE, members=MEMBERS),
    ]
    for item in usual:
        state = applied(state, item, ())
    for name in MEMBERS:
        state = applied(_moved(state, name, "ready"), _observation(name, Task(1, "ready")), ())
    return state


# -- what can happen ---------------------------------------------------------------------------------------------------


def steps(state: State) -> Iterator[Step]:
    budget = state.budget
    yield from _task_steps(state)
    for i, wish in enumerate(budget.wishes):
        rest = budget.wishes[:i] + budget.wishes[i + 1 :]
        yield f"wish {i} of {len(budget.wishes)}", wish, replace(budget, wishes=rest)
    yield from _answers(state)
    for operation in state.ledger.operations():
        if operation.kind == "maintenance" and operation.state in ("open", "done"):
            yield f"lift {operation.id}", given.Cancel(operation=operation.id, who="ann"), budget
        elif operation.kind == "shutdown" and operation.state in ("executing", "done"):
            yield "up", given.Up(who="ann"), budget
        elif budget.forces and operation.state == "open":
            forced = given.Force(operation=operation.id, who="ann", why="now")
            yield f"force {operation.id}", forced, replace(budget, forces=budget.forces - 1)
    if state.ledger.deadline() is not None:
        busy = any(task.phase in ("starting", "ending") for task in state.tasks.values())
        left = replace(budget, slow=budget.slow - busy)
        if left.slow >= 0:
            yield "time passes", given.Tick(), left


def _task_steps(state: State) -> Iterator[Step]:
    budget = state.budget
    for name, task in state.tasks.items():
        following = {"starting": "ready", "ending": "ended"}.get(task.phase)
        if following:
            yield f"{name} {following}", _observation(name, Task(task.incarnation, following)), budget
        failures = {"ready": ("ended", "unready"), "starting": ("ended",), "unready": ("ready",)}.get(task.phase, ())
        for phase in failures:
            left = replace(budget, failures=budget.failures - (phase != "ready"))
            if left.failures >= 0:
                yield f"{name} fails: {phase}", _observation(name, Task(task.incarnation, phase)), left


def _answers(state: State) -> Iterator[Step]:
    pending = state.ledger.pending(SERVICE)
    asked = [one.operation.id for one in pending.operations if one.asked]
    choices: list[tuple[str, dict[str, given.Answer], Budget]] = []
    accept = given.Answer(verdict="accept", valid_s=10)
    choices += [(f"accept {operation}", {operation: accept}, state.budget) for operation in asked]
    if len(asked) > 1:
        choices.append(("accept all", dict.fromkeys(asked, accept), state.budget))
    if asked and state.budget.deferrals:
        left = replace(state.budget, deferrals=state.budget.deferrals - 1)
        choices.append(("defer all", dict.fromkeys(asked, given.Answer(verdict="defer", retry_after_s=10)), left))
    for name, answers, budget in choices:
        yield name, given.Answers(service=SERVICE, epoch=pending.epoch, answers=answers), budget


# -- doing it -------------------------------------------------------------------------------------------------------


def in_the_world(state: State, name: str, item: given.Input) -> State:
    """What happens outside of the ledger: a task moves, time passes, an answer is on its way."""
    match item:
        case given.TaskObserved():
            return _moved(state, item.member, item.state)
        case given.Tick():
            return replace(state, now_s=max(state.now_s, state.ledger.deadline() or 0.0))
        case given.Answers(answers=answers):
            given_now = frozenset(o for o, a in answers.items() if a.verdict == "accept")
            return replace(state, accepted=state.accepted | given_now)
    return state


def _moved(state: State, name: str, phase: str) -> State:
    return replace(state, tasks={**state.tasks, name: Task(max(1, state.tasks[name].incarnation), phase)})


def _observation(name: str, task: Task) -> given.TaskObserved:
    return given.TaskObserved(
        service=SERVICE,
        member=name,
        incarnation=task.incarnation,
        state=task.phase,  # type: ignore[arg-type]
        node=NODE_OF[name],
        exit_code=0 if task.phase == "ended" else None,
    )


def handled(state: State, item: given.Input) -> tuple[Outcome, State]:
    ledger = state.ledger.fork()
    outcome = ledger.handle(item, state.now_s, state.now_s)
    return outcome, replace(state, ledger=ledger)


def applied(state: State, item: given.Input, way: tuple[str, ...]) -> State:
    outcome, after = handled(in_the_world(state, "", item), item)
    return performed(after, outcome, way)


def performed(state: State, outcome: Outcome, way: tuple[str, ...]) -> State:
    tasks = dict(state.tasks)
    for effect in outcome.effects:
        match effect:
            case Launch(member=name, incarnation=incarnation):
                if incarnation > tasks[name].incarnation:
                    hold(tasks[name].phase == "ended", f"{effect} while {tasks[name]} lives", way)
                    tasks[name] = Task(incarnation, "starting")
            case EndTask(member=name, incarnation=incarnation):
                _justified(state, effect, tasks[name], way)
                if tasks[name].incarnation == incarnation and tasks[name].phase != "ended":
                    tasks[name] = Task(incarnation, "ending")
            case Told(what="begun", operation=operation):
                begun = state.ledger.operation(operation)
                silently = begun is not None and begun.class_ == "voluntary" and not begun.forced
                hold(not silently or operation in state.accepted, f"{operation} began by silence", way)
    _one_at_a_time(state, way)
    return replace(state, tasks=tasks)


def after_writes(records: list[Record], changes: list[RecordChange]) -> list[Record]:
    stored = {(kind_of(record), record.key): record for record in records}
    for change in changes:
        if isinstance(change, Delete):
            stored.pop((change.kind, change.key), None)
        else:
            stored[kind_of(change.record), change.record.key] = change.record
    return list(stored.values())


def reborn(state: State, records: list[Record], way: tuple[str, ...]) -> State:
    """The master starts again: from its records, and from what the substrate lists."""
    state = replace(state, ledger=Ledger(records, start=2))
    state = applied(state, given.Started(), way)
    state = applied(state, given.HostSubscribed(service=SERVICE), way)
    for node in NODE_OF.values():
        state = applied(state, given.NodeObserved(node=node, state="up"), way)
    for name, task in sorted(state.tasks.items()):
        if task.incarnation:
            state = applied(state, _observation(name, task), way)
    return state


# -- the promises ---------------------------------------------------------------------------------------------------


def hold(promise: bool, what: str, way: tuple[str, ...]) -> None:
    if not promise:
        raise Broken(f"{what}\nafter: " + "\n       ".join(way))


def _justified(state: State, effect: EndTask, task: Task, way: tuple[str, ...]) -> None:
    operation = state.ledger.operation(effect.operation)
    # By the time it is performed, the operation may be over in the same turn.
    begun = operation is not None and operation.state in ("executing", "done", "failed")
    hold(begun, f"{effect} without a begun operation", way)
    assert operation is not None
    if (
        operation.class_ in ("voluntary", "windowed")
        and not operation.forced
        and not KINDS[operation.kind].waives_minimum
    ):
        views = state.ledger.members(SERVICE)
        left = [view for view in views if view.status == "ready" and view.name != effect.member]
        minimum = state.ledger.services()[0].minimum
        fresh = task.phase == "ready" and next(v for v in views if v.name == effect.member).observed == "ready"
        # A signal that is repeated after a crash says nothing about the moment of the begin.
        began_before = operation.id not in state.ledger.book.memory.since
        hold(not fresh or began_before or len(left) >= minimum, f"{effect} leaves {len(left)} of {minimum}", way)


def _one_at_a_time(state: State, way: tuple[str, ...]) -> None:
    begun = [m for o in state.ledger.operations() if o.begun and o.target.service for m in o.target.members]
    hold(len(begun) == len(set(begun)), f"two begun operations on one member: {begun}", way)
