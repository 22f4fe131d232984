"""What can happen next in the small world: tasks, nodes, answers, people, time; each as far as the budget goes.

The names of the steps are for people, who read the way to a broken promise; the fair environment of the explorer
chooses by :class:`Turn`.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from upcall.operations import ends
from upcall.operations import inputs as given
from upcall.operations.checking.small_changes import plan, too_early
from upcall.operations.checking.small_world import SERVICE, Budget, State, Task, observation
from upcall.operations.records import Operation
from upcall.operations.table import KINDS

TOLD_TO: Final = 0
"""The exit code of what ends because it is told to."""
FAILED: Final = 1
"""Of what ends by itself."""


class Turn(IntEnum):
    """When a fair environment takes such a step: the lower ones first, the last never."""

    TASK = 0
    """Tasks start and end, and are seen."""
    HEAL = 1
    NODE = 2
    """Silent nodes come back, or what was there is proven dead."""
    ANSWER = 3
    """The service accepts, and says that a member has left."""
    TIME = 4
    LIFT = 5
    """People take back what holds something: drains, stops, a shutdown."""
    NEVER = 6
    """Bad luck and wishes."""


class Step(msgspec.Struct, frozen=True):
    name: str
    item: given.Input
    """What the ledger gets."""
    budget: Budget
    """After it."""
    turn: Turn = Turn.NEVER


def steps(state: State) -> Iterator[Step]:
    yield from _task_steps(state)
    yield from _leaving_steps(state)
    yield from _node_steps(state)
    yield from _answers(state)
    yield from (Step(name, item, state.budget, Turn.ANSWER) for name, item in plan(state))
    yield from _people(state)
    if state.ledger.deadline() is not None:
        all_tasks = (*state.tasks.values(), *state.leaving.values())
        busy = any(task.phase in ("starting", "ending") and state.hears(task) for task in all_tasks)
        left = replace(state.budget, slow=state.budget.slow - busy)
        if left.slow >= 0:
            yield Step("time passes", given.Tick(), left, Turn.TIME)


def _task_steps(state: State) -> Iterator[Step]:
    budget = state.budget
    for name, task in state.tasks.items():
        if not state.hears(task):
            continue
        if not task.heard:
            yield Step(f"{name} is seen {task.phase}", observation(name, task), budget, Turn.TASK)
        following = {"starting": "ready", "ending": "ended"}.get(task.phase)
        if following == "ready" and state.broken(name):
            if budget.goes_on:
                yield Step(f"{name} ends again", _moves(name, task, "ended", FAILED), budget, Turn.TASK)
        elif following:
            code = TOLD_TO if following == "ended" and task.ran else None
            yield Step(f"{name} {following}", _moves(name, task, following, code), budget, Turn.TASK)
        if task.phase == "unready" and not budget.lasting:
            yield Step(f"{name} is well again", _moves(name, task, "ready"), budget, Turn.HEAL)
        if budget.failures:
            left = replace(budget, failures=budget.failures - 1)
            for phase in {"ready": ("ended", "unready"), "starting": ("ended",)}.get(task.phase, ()):
                code = FAILED if phase == "ended" else None
                yield Step(f"{name} fails: {phase}", _moves(name, task, phase, code), left)


def _leaving_steps(state: State) -> Iterator[Step]:
    """Of what runs beside the newest incarnation."""
    budget = state.budget
    for name, task in state.leaving.items():
        if not state.hears(task):
            continue
        if not task.heard:
            yield Step(f"the old {name} is seen {task.phase}", observation(name, task), budget, Turn.TASK)
        if task.phase == "ending":
            yield Step(f"the old {name} ended", _moves(name, task, "ended"), budget, Turn.TASK)
        elif budget.failures:
            left = replace(budget, failures=budget.failures - 1)
            yield Step(f"the old {name} fails: ended", _moves(name, task, "ended", FAILED), left)


def _moves(name: str, task: Task, phase: str, exit_code: int | None = None) -> given.TaskObserved:
    return observation(name, replace(task, phase=phase, exit_code=exit_code))


def _node_steps(state: State) -> Iterator[Step]:
    budget = state.budget
    for node, known in state.nodes.items():
        if known == "up" and budget.silences and budget.falls in ("", node) and _is_told(state, node):
            left = replace(budget, silences=budget.silences - 1)
            yield Step(f"{node} falls silent", given.NodeObserved(node=node, state="silent"), left)
        elif known == "silent" and budget.returns:
            yield Step(f"{node} is back", given.NodeObserved(node=node, state="up"), budget, Turn.NODE)
    for name, task in state.tasks.items():
        # Said again when it was lost with the master: the ledger goes on asking for the proof.
        known_dead = task.phase == "ended" and state.ledger.book.members[f"{SERVICE}.{name}"].over
        if not known_dead and task.node in state.doubted and state.nodes.get(task.node) != "up":
            turn = Turn.NEVER if budget.returns else Turn.NODE
            yield Step(f"{name} is proven dead", _moves(name, task, "ended"), budget, turn)
    for operation in state.ledger.operations():
        node = operation.target.node
        if operation.removes_node and operation.state == "done" and state.nodes[node] != "gone":
            yield Step(f"{node} is removed", given.NodeObserved(node=node, state="gone"), budget, Turn.NODE)


def _is_told(state: State, node: str) -> bool:
    """The ledger knows who is there: a launch says at once where it goes."""
    members = state.ledger.book.members
    there = [name for name, task in state.tasks.items() if task.node == node]
    return all(members[f"{SERVICE}.{name}"].node == node for name in there)


def _answers(state: State) -> Iterator[Step]:
    budget = state.budget
    pending = state.ledger.pending(SERVICE)
    asked = [one.operation.id for one in pending.operations if one.asked]

    def answers(verdict: given.Answer, to: list[str], of_a_loss: given.Answer) -> given.Answers:
        said = {one: of_a_loss if state.ledger.book.operations[one].kind == "lost" else verdict for one in to}
        return given.Answers(service=SERVICE, epoch=pending.epoch, answers=said)

    accept, restart = given.Answer(verdict="accept", valid_s=10), given.Answer(verdict="restart")
    defer = given.Answer(verdict="defer", retry_after_s=10)
    for operation in asked:
        yield Step(f"accept {operation}", answers(accept, [operation], restart), budget, Turn.ANSWER)
    if len(asked) > 1:
        yield Step("accept all", answers(accept, asked, restart), budget)
    if asked and budget.deferrals:
        yield Step("defer all", answers(defer, asked, defer), replace(budget, deferrals=budget.deferrals - 1))
    if asked and budget.declines:
        decline = given.Answer(verdict="decline", reason="no", retry_after_s=10)
        yield Step("decline all", answers(decline, asked, defer), replace(budget, declines=budget.declines - 1))
    for view in state.ledger.members(SERVICE):
        if view.status == "settling":
            back = given.Back(service=SERVICE, member=view.name, incarnation=view.incarnation)
            yield Step(f"{view.name}: its hook returns", back, budget, Turn.ANSWER)
    for one in pending.operations:
        if one.operation.state == "executing" and _hands_over(state, one.operation):
            confirm = given.Confirm(service=SERVICE, operation=one.operation.id)
            yield Step(f"{one.operation.id}: all is handed over", confirm, budget, Turn.ANSWER)
        if one.operation.state == "preparing":
            confirm = given.Confirm(service=SERVICE, operation=one.operation.id)
            yield Step(f"{one.operation.id}: it has left", confirm, budget, Turn.ANSWER)


def _hands_over(state: State, operation: Operation) -> bool:
    book = state.ledger.book
    members = (book.members[f"{SERVICE}.{name}"] for name in operation.target.members)
    return any(ends.hand_over_until_s(book, operation, member) is not None for member in members if not member.over)


def _people(state: State) -> Iterator[Step]:
    budget = state.budget
    for i, wish in enumerate(budget.wishes):
        if too_early(state, wish):
            continue
        rest = budget.wishes[:i] + budget.wishes[i + 1 :]
        yield Step(f"wish {i} of {len(budget.wishes)}", wish, replace(budget, wishes=rest))
    for operation in state.ledger.operations():
        if operation.kind == "maintenance" and operation.state in ("open", "done"):
            lift = given.Cancel(operation=operation.id, who="ann")
            yield Step(f"lift {operation.id}", lift, budget, Turn.LIFT)
            for node in operation.nodes if len(operation.nodes) > 1 else ():
                yield Step(f"undrain {node}", given.Undrain(node=node, who="ann"), budget)
        elif operation.kind == "shutdown" and operation.state in ("executing", "done"):
            yield Step("up", given.Up(who="ann"), budget, Turn.LIFT)
        elif _holds(state, operation):
            member = operation.target.members[0]
            back = given.GiveBack(service=SERVICE, member=member, who="ann")
            yield Step(f"start {member}", back, budget, Turn.LIFT)
        elif budget.cancels and operation.state == "preparing":
            cancelled = given.Cancel(operation=operation.id, who="ann")
            yield Step(f"cancel {operation.id}", cancelled, replace(budget, cancels=budget.cancels - 1))
        elif budget.forces and (operation.state == "open" or ends.held(state.ledger.book, operation)):
            forced = given.Force(operation=operation.id, who="ann", why="now")
            yield Step(f"force {operation.id}", forced, replace(budget, forces=budget.forces - 1))


def _holds(state: State, operation: Operation) -> bool:
    """A stop of its own, over, and its member still away because of it."""
    if KINDS[operation.kind].shape != "away" or operation.parent or operation.state != "done":
        return False
    view = next((v for v in state.ledger.members(SERVICE) if v.name == operation.target.members[0]), None)
    return view is not None and view.status == "held"
