"""A world small enough to be explored: one service of three members, a node for each and a spare one.

Tasks, nodes, time, people and the service are steps (:mod:`~upcall.operations.checking.small_steps`); the ledger in it
is the real one. Each step makes a new state and leaves the old one as it was. The promises that concern a single step
are checked as its effects are performed.
"""

from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from upcall.operations import inputs as given
from upcall.operations.beside import has_left
from upcall.operations.checking.explored import canonical
from upcall.operations.effects import (
    CallOffPlace,
    EndTask,
    HoldPlace,
    Launch,
    Outcome,
    ProveDeath,
    Reserve,
    Tell,
)
from upcall.operations.ledger import Ledger
from upcall.operations.records import Delete, Operation, Policy, Record, RecordChange, kind_of
from upcall.operations.table import KINDS, ONE_AT_A_TIME

SERVICE: Final = "log"
MEMBERS: Final = ("b0", "b1", "b2")
NODES: Final = ("n0", "n1", "n2", "n3")
"""Each member begins on the node of its number; what is replaced goes to the first that is up and has none."""
POLICY: Final = Policy(answer_s=10, replace_after_s=20, leave_s=15, stuck_after_s=1000)
"""Short times, so that each matters within a few steps."""


class Task(msgspec.Struct, frozen=True):
    """The newest incarnation of a member, as it really is."""

    incarnation: int = 0
    phase: str = "ended"
    node: str = ""
    place: int = 1
    heard: bool = True
    """The ledger may know it; not so after its node was silent, until it is seen again."""
    exit_code: int | None = None
    """With which it ended; none when it was no process, or nobody saw it end."""
    generation: int = 1
    """With which it was launched."""
    ran: bool = True
    """Not so of one whose launch was recorded, and died with the master."""


class Budget(msgspec.Struct, frozen=True):
    """What may still happen beside the usual course."""

    wishes: tuple[given.Input, ...] = ()
    deaths: int = 1
    """Of the master."""
    failures: int = 0
    """Of tasks: a process dies, or fails its health check."""
    deferrals: int = 1
    declines: int = 0
    forces: int = 0
    cancels: int = 0
    """Of a removal while the member leaves."""
    slow: int = 0
    """How often time passes while a task starts or ends; else these are prompt."""
    silences: int = 0
    """How often a node falls silent."""
    falls: str = ""
    """The node that does; else any."""
    returns: bool = True
    """A silent node may come back; else its tasks are proven dead at last."""
    broken: str = ""
    """A member that ends soon after each start, for as long as it is in its first place; never ready there again."""
    lasting: bool = False
    """What is unwell stays so until it is cured."""
    goes_on: bool = False
    """What is broken ends without an end: so in a fair environment; else each end is one of the ``failures``."""
    hands_over: bool = False
    """The service does something before a member ends, and says when that is done."""
    hooks: bool = False
    """The service has something to do once a member is ready, and says when that is done."""
    later: str = ""
    """A member that has a place and is not started at the beginning."""
    twice: bool = False
    """Two of a member may run at once: what moves it brings it up elsewhere before it ends what runs."""
    bad: int = 0
    """A generation with which no member ever becomes ready."""
    spare: bool = True
    """There is a node more than members; else there are as many."""
    leaves: bool = False
    """The service moves data away before a member is removed, and confirms it."""


class State(msgspec.Struct, frozen=True):
    ledger: Ledger
    tasks: dict[str, Task]
    nodes: dict[str, Literal["up", "silent", "gone"]]
    now_s: float
    budget: Budget
    leaving: dict[str, Task] = {}
    """Member -> an older incarnation that runs beside the newest."""
    accepted: frozenset[str] = frozenset()
    """Operations whose acceptance the ledger took."""
    held: dict[str, str] = {}
    """Member -> node of the next place, which is held beside its own."""
    sought: dict[str, int] = {}
    """Member -> number of the next place, for which there was no room."""
    turned: frozenset[str] = frozenset()
    """Members whose turn has come in the change that was declared last."""
    doubted: frozenset[str] = frozenset()
    """Nodes of which the ledger has asked for proof that nothing runs there: it comes to who asks."""

    def key(self) -> object:
        tasks = tuple((task.phase, task.node, task.heard) for task in self.tasks.values())
        leaving = tuple((name, task.phase, task.node, task.heard) for name, task in sorted(self.leaving.items()))
        places = (tuple(sorted(self.held.items())), tuple(sorted(self.sought)))
        nodes = tuple(self.nodes.values())
        return (canonical(self.ledger), tasks, leaving, nodes, self.doubted, self.turned, self.budget, places)

    def broken(self, name: str) -> bool:
        """It never becomes ready where it is, or with what it has."""
        if self.budget.bad:
            record = self.ledger.book.members[f"{SERVICE}.{name}"]
            return self.budget.bad == (record.next_generation if record.over else record.launched)
        return name == self.budget.broken and self.tasks[name].place == 1

    def hears(self, task: Task) -> bool:
        """Its node can be talked to."""
        return self.nodes.get(task.node) == "up"


class Broken(AssertionError):
    """A promise does not hold; the message has the way there."""


def declaration(budget: Budget, name: str, *, generation: int = 1, same_as: int = 0) -> given.MemberDeclaration:
    return given.MemberDeclaration(
        name=name,
        generation=generation,
        same_as=same_as,
        start_timeout_s=40,
        hooks=budget.hooks,
        portable=budget.twice,
        two_at_once=budget.twice,
    )


def beginning(budget: Budget, *, minimum: int) -> State:
    """All three ready, nothing wanted from anybody."""
    tasks = {name: Task(node=node) for name, node in zip(MEMBERS, NODES, strict=False)}
    nodes = NODES if budget.spare else NODES[: len(MEMBERS)]
    state = State(Ledger((), start=1), tasks, dict.fromkeys(nodes, "up"), 0.0, budget)
    declared = tuple(declaration(budget, name) for name in MEMBERS)
    policy = replace(POLICY, leaves=budget.leaves, before_stop_s=5 if budget.hands_over else 0)
    started = tuple(name for name in MEMBERS if name != budget.later)
    usual: list[given.Input] = [
        given.Started(),
        *(given.NodeObserved(node=node, state="up") for node in nodes),
        given.DeclareService(name=SERVICE, minimum=minimum, policy=policy),
        given.HostSubscribed(service=SERVICE),
        given.DeclareMembers(service=SERVICE, revision=1, members=declared),
        *(_place(name, task.node) for name, task in tasks.items()),
        given.StartMembers(service=SERVICE, members=started),
    ]
    for item in usual:
        state = applied(state, item, ())
    for name in started:
        state = applied(state, observation(name, replace(state.tasks[name], phase="ready")), ())
        if budget.hooks:
            state = applied(state, given.Back(service=SERVICE, member=name, incarnation=1), ())
    return state


# -- doing it -------------------------------------------------------------------------------------------------------


def in_the_world(state: State, item: given.Input) -> State:
    """What happens outside of the ledger: a task moves, a node falls silent, time passes, an answer is on its way."""
    match item:
        case given.TaskObserved(member=name) if item.incarnation < state.tasks[name].incarnation:
            left = {other: task for other, task in state.leaving.items() if other != name}
            if name in state.leaving and item.state != "ended":
                left[name] = replace(state.leaving[name], phase=item.state, heard=True)
            return replace(state, leaving=left)
        case given.TaskObserved(member=name):
            seen = replace(state.tasks[name], phase=item.state, heard=True, exit_code=item.exit_code)
            return replace(state, tasks={**state.tasks, name: seen})
        case given.NodeObserved(node=node):
            tasks = {name: replace(t, heard=t.heard and t.node != node) for name, t in state.tasks.items()}
            left = {name: replace(t, heard=t.heard and t.node != node) for name, t in state.leaving.items()}
            left = {name: t for name, t in left.items() if t.node != node or item.state != "gone"}
            nodes = {**state.nodes, node: item.state}
            return replace(state, tasks=tasks, leaving=left, nodes=nodes, doubted=state.doubted - {node})
        case given.Tick():
            return replace(state, now_s=max(state.now_s, state.ledger.deadline() or 0.0))
        case given.Answers(answers=answers):
            given_now = frozenset(o for o, a in answers.items() if a.verdict == "accept")
            return replace(state, accepted=state.accepted | given_now)
        case given.DeclareMembers():
            return replace(state, turned=frozenset())
        case given.Retarget(members=names) | given.Propose(members=names, scope="log"):
            return replace(state, turned=state.turned | set(names))
    return state


def _place(name: str, node: str) -> given.Input:
    return given.PlaceObserved(service=SERVICE, member=name, node=node)


def observation(name: str, task: Task) -> given.TaskObserved:
    return given.TaskObserved(
        service=SERVICE,
        member=name,
        incarnation=task.incarnation,
        state=task.phase,  # type: ignore[arg-type]
        node=task.node,
        exit_code=task.exit_code,
    )


def handled(state: State, item: given.Input) -> tuple[Outcome, State]:
    ledger = state.ledger.fork()
    outcome = ledger.handle(item, state.now_s, state.now_s)
    return outcome, replace(state, ledger=ledger)


def applied(state: State, item: given.Input, way: tuple[str, ...]) -> State:
    outcome, after = handled(in_the_world(state, item), item)
    return performed(after, outcome, way)


def performed(state: State, outcome: Outcome, way: tuple[str, ...]) -> State:
    tasks, held, sought = dict(state.tasks), dict(state.held), dict(state.sought)
    leaving = dict(state.leaving)
    moved_in: list[str] = []
    doubted = state.doubted
    for effect in outcome.effects:
        match effect:
            case HoldPlace(member=name, place=place):
                sought[name] = place
            case Reserve(places=places):
                for name, place in places.items():
                    if place > tasks[name].place:
                        hold(name in held, f"{effect}: a place is given up before there is another", way)
                        tasks[name] = replace(tasks[name], node=held.pop(name), place=place)
                        moved_in.append(name)
            case CallOffPlace(member=name):
                held.pop(name, None)
                sought.pop(name, None)
            case Launch(member=name, incarnation=incarnation, place=place):
                if incarnation > tasks[name].incarnation:
                    if effect.beside and tasks[name].phase != "ended":
                        hold(state.budget.twice and name not in leaving, f"{effect}: three at once", way)
                        leaving[name] = tasks[name]
                    else:
                        hold(tasks[name].phase == "ended", f"{effect} while {tasks[name]} lives", way)
                    moved = place > tasks[name].place
                    hold(not moved or name in held, f"{effect}: a place is given up before there is another", way)
                    node = held.pop(name) if moved else tasks[name].node
                    if moved:
                        moved_in.append(name)
                    another = effect.generation != tasks[name].generation and name not in state.turned
                    hold(
                        not another or _says_the_same(effect.generation, tasks[name]), f"{effect} before its turn", way
                    )
                    drained = any(node in o.nodes and o.state == "done" for o in state.ledger.book.standing())
                    hold(not drained, f"{effect} on {node}, whose drain is done", way)
                    tasks[name] = Task(incarnation, "starting", node, place, generation=effect.generation)
            case EndTask(member=name, incarnation=incarnation) if incarnation < tasks[name].incarnation:
                if name in leaving and leaving[name].incarnation == incarnation and state.hears(leaving[name]):
                    _replaced(state, effect, way)
                    leaving[name] = replace(leaving[name], phase="ending")
            case EndTask(member=name, incarnation=incarnation):
                _justified(state, effect, tasks[name], way)
                # What a silent node is told it does not hear; it is told again when it is back.
                alive = tasks[name].incarnation == incarnation and tasks[name].phase != "ended"
                if alive and state.hears(tasks[name]):
                    tasks[name] = replace(tasks[name], phase="ending")
                elif tasks[name].incarnation < incarnation and state.hears(tasks[name]):
                    # Its launch was recorded and died with the master: of what never ran the end is said too.
                    tasks[name] = replace(tasks[name], incarnation=incarnation, phase="ending", ran=False)
            case ProveDeath(node=node):
                doubted |= {node}
            case Tell(what="begun", operation=operation):
                begun = state.ledger.operation(operation)
                silently = begun is not None and begun.class_ == "voluntary" and not begun.forced
                hold(not silently or operation in state.accepted, f"{operation} began by silence", way)
    _one_at_a_time(state, way)
    plans = [o for o in state.ledger.operations() if o.kind in ONE_AT_A_TIME and o.begun]
    hold(len(plans) < 2 or all(o.kind != "finalize" for o in plans), "a change beside the point of no return", way)
    state = replace(state, tasks=tasks, leaving=leaving, held=held, sought=sought, doubted=doubted)
    for name in moved_in:
        state = applied(state, _place(name, state.tasks[name].node), way)
    return _sought(state, way)


def _sought(state: State, way: tuple[str, ...]) -> State:
    """Next places, found at once where there is room."""
    for name, place in state.sought.items():
        node = state.held.get(name) or _room_for(state, name)
        if node:
            left = {other: number for other, number in state.sought.items() if other != name}
            state = replace(state, held={**state.held, name: node}, sought=left)
            return applied(state, given.PlaceHeld(service=SERVICE, member=name, place=place, node=node), way)
        member = state.ledger.book.memory.members.get(f"{SERVICE}.{name}")
        known = member.next_place if member else None
        if known is not None and not known.reason:
            refused = given.PlaceRefused(service=SERVICE, member=name, place=place, reason="no room")
            return applied(state, refused, way)
    return state


def _room_for(state: State, name: str) -> str:
    """Another node before its own, and none that is drained."""
    drained = {node for o in state.ledger.book.standing() for node in o.nodes}
    used = {task.node for other, task in state.tasks.items() if other != name}
    used |= {task.node for task in state.leaving.values()}
    used |= {node for other, node in state.held.items() if other != name}
    free = [n for n, known in state.nodes.items() if known == "up" and n not in used and n not in drained]
    return next((node for node in free if node != state.tasks[name].node), free[0] if free else "")


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
    places = {f"{SERVICE}.{name}": state.leaving.get(name, task).node for name, task in state.tasks.items()}
    state = applied(state, given.Started(places=places), way)
    state = applied(state, given.HostSubscribed(service=SERVICE), way)
    for node, known in state.nodes.items():
        if known != "gone":
            state = applied(state, given.NodeObserved(node=node, state=known), way)
    for name, node in sorted(state.held.items()):
        place = state.tasks[name].place + 1
        state = applied(state, given.PlaceHeld(service=SERVICE, member=name, place=place, node=node), way)
    for name, task in (*sorted(state.leaving.items()), *sorted(state.tasks.items())):
        if task.incarnation and state.hears(task):
            state = applied(state, observation(name, task), way)
    for view in state.ledger.members(SERVICE):
        if view.leaving and view.name not in state.leaving and state.tasks[view.name].incarnation > view.leaving:
            # It ended, and that was not written: whoever ran it says it again.
            state = applied(state, observation(view.name, Task(incarnation=view.leaving)), way)
    return state


# -- the promises ---------------------------------------------------------------------------------------------------


def hold(promise: bool, what: str, way: tuple[str, ...]) -> None:
    if not promise:
        raise Broken(f"{what}\nafter: " + "\n       ".join(way))


def _replaced(state: State, effect: EndTask, way: tuple[str, ...]) -> None:
    """What leaves runs on until the new one is back, unless nothing is to come, or somebody wants no more waiting."""
    operation = state.ledger.operation(effect.operation)
    # By the time it is performed, the operation may be over in the same turn.
    begun = operation is not None and operation.state in ("executing", "done", "failed")
    hold(begun, f"{effect} without a begun operation", way)
    assert operation is not None
    view = next((view for view in state.ledger.members(SERVICE) if view.name == effect.member), None)
    moves = KINDS[operation.kind].gives_back == "elsewhere" and not _over_guard(operation, state.now_s)
    began_before = operation.id not in state.ledger.book.operations or (
        state.ledger.book.memory.operations[operation.id].since_s is None
    )
    there = view is None or view.status in ("ready", "held") or view.leaving != effect.incarnation
    hold(not moves or began_before or there, f"{effect} before what comes instead is back", way)


def _justified(state: State, effect: EndTask, task: Task, way: tuple[str, ...]) -> None:
    operation = state.ledger.operation(effect.operation)
    # By the time it is performed, the operation may be over in the same turn.
    begun = operation is not None and operation.state in ("executing", "done", "failed")
    hold(begun, f"{effect} without a begun operation", way)
    assert operation is not None
    if not _over_guard(operation, state.now_s) and operation.class_ in ("voluntary", "windowed"):
        views = state.ledger.members(SERVICE)
        left = [view for view in views if view.status == "ready" and view.name != effect.member]
        minimum = state.ledger.services()[0].minimum
        fresh = task.phase == "ready" and next(v for v in views if v.name == effect.member).observed == "ready"
        # A signal that is repeated after a crash says nothing about the moment of the begin.
        began_before = state.ledger.book.memory.operations[operation.id].since_s is None
        hold(not fresh or began_before or len(left) >= minimum, f"{effect} leaves {len(left)} of {minimum}", way)


def _over_guard(operation: Operation, now_s: float) -> bool:
    """A person said so (now, or when the window was set), or nothing is to be left."""
    over = operation.over_consent or (operation.deadline_wall_s is not None and now_s >= operation.deadline_wall_s)
    at_the_end = over and operation.on_deadline == "force"
    return operation.forced is not None or at_the_end or KINDS[operation.kind].waives_minimum


def _says_the_same(generation: int, before: Task) -> bool:
    """The third declaration says what the first said, and the second something else."""
    return generation % 2 == before.generation % 2


def _one_at_a_time(state: State, way: tuple[str, ...]) -> None:
    members = state.ledger.book.members
    begun = [
        name
        for operation in state.ledger.operations()
        if operation.begun and operation.target.service
        for name in operation.target.members
        if not has_left(operation, members[f"{SERVICE}.{name}"])
    ]
    hold(len(begun) == len(set(begun)), f"two begun operations on one member: {begun}", way)
