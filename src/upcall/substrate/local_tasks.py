"""The life of tasks on agents: launched when all is there, compared at each registration, proven dead at the end.

A member never runs twice at one place. A newer incarnation at the same place waits until the older one is proven dead;
at another place it does not wait (the ledger had its proof, or a person's word), and what is left at the old one is
ended unasked as soon as its node is heard of again; but where the newer one is wanted *beside* it, both stay. Tasks and
volumes carry the reservation's *fence*, which rises with each fresh set of volumes, so what belongs to an older place
is told apart.

An agent is told nothing about what to run before the wanted set is known, and then everything, closed by ``Synced``.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from upcall.kernel import events as k
from upcall.kernel.records import Reservation
from upcall.protocol import agent as wire
from upcall.protocol.declaration import Declaration
from upcall.substrate.interface import Exit, Observed, Output, Send, TaskId, TaskState, Wanted
from upcall.substrate.local_needs import covers, need_of
from upcall.substrate.local_waiting import WaitingLaunches
from upcall.substrate.machines import LaunchContext
from upcall.substrate.tasks import Task, Tasks, parse

BEFORE_ITS_START: Final = frozenset({"pending", "placed", "fetching", "starting"})


class Places(Protocol):
    """What is needed of the kernel."""

    def reservation(self, member_id: str) -> Reservation | None: ...
    def coming(self, member_id: str) -> Reservation | None:
        """The member's next place, held beside the present one."""
        ...

    def waits_for_plan(self, member_id: str) -> str:
        """The reason why the plan that the member is part of has no place; empty without one."""
        ...

    def reserve_one(self, given: k.Reserve, now_s: float, out: Output) -> str:
        """Gives the reason when it was refused."""
        ...


class TaskRunner:
    def __init__(self, places: Places, context: Callable[[TaskId, Declaration], LaunchContext]) -> None:
        self._places = places
        self._context = context
        self.tasks = Tasks()
        self.connected: set[str] = set()
        """Nodes that can be told things: registered on a connection that holds, and compared."""
        self.registered: set[str] = set()
        """Nodes that were compared at least once since we started: what they run is known."""
        self._forgotten: set[str] = set()
        """Nodes that fell silent: what was told of their tasks counts no more."""
        self.wanted_known = False
        self.waiting = WaitingLaunches()

    # -- wishes -----------------------------------------------------------------------------------------------------

    def want(self, wanted: Wanted, now_s: float, out: Output) -> None:
        task = self.tasks.get(wanted.task)
        if task is None:
            if any(other.id > wanted.task for other in self.tasks.of_member(wanted.task.member_id)):
                return  # Of the past.
            if not wanted.beside:
                self._supersede(wanted.task, out)
            task = self.tasks.add(Task(wanted.task, wanted))
        elif task.ended or task.ending:
            out.up.append(task.observed())
            return
        told_generation = task.wanted.generation if task.wanted and task.told else 0
        task.wanted = wanted
        if task.told and wanted.generation <= told_generation and task.node in self.connected:
            out.up.append(task.observed())
            return
        self._advance(task, now_s, out)

    def _supersede(self, newer: TaskId, out: Output) -> None:
        """An older incarnation that was not launched never will be; one that may run is waited for, or left behind."""
        for task in self.tasks.of_member(newer.member_id):
            if task.id < newer and not task.ended and not task.ending and not task.told and not task.known:
                self._end(task, 0.0, out)

    def end(self, task_id: TaskId, grace_s: float, out: Output) -> None:
        task = self.tasks.get(task_id)
        if task is None:
            reservation = self._places.reservation(task_id.member_id)
            if reservation is None or reservation.node in self.registered:
                out.up.append(Observed(task=task_id, state="ended", exit=Exit(reason="it was not running")))
                return
            # Nobody knows yet what its node runs.
            task = self.tasks.add(Task(task_id, node=reservation.node, fence=reservation.fence))
        self._end(task, grace_s, out)

    def end_unwanted(self, asked: set[TaskId], out: Output) -> None:
        for task in self.tasks.live():
            if task.id not in asked and not task.ending:
                self._end(task, task.wanted.declaration.grace_s if task.wanted else 0.0, out)

    def forget(self, member_id: str, out: Output) -> None:
        """Its reservation is about to go."""
        for task in self.tasks.of_member(member_id):
            if task.ended:
                self.tasks.drop(task)
            elif not task.ending:
                # Nobody releases what runs; if it happens all the same, its address must not be given out twice.
                self._end(task, 0.0, out)

    def left_behind(self, member_id: str, out: Output) -> None:
        """The member may have another place: what still runs at an old one is ended unasked. So is what runs where the
        place was given up without it, and only the same node would do."""
        reservation, coming = self._places.reservation(member_id), self._places.coming(member_id)
        assert reservation is not None
        for task in self.tasks.of_member(member_id):
            if coming is not None and (task.node, task.fence) == (coming.node, coming.fence):
                continue
            given_up = task.wanted is not None and task.wanted.place < reservation.place
            elsewhere = (task.node, task.fence) != (reservation.node, reservation.fence)
            if (elsewhere or given_up) and not task.ended and not task.ending and (task.told or task.known):
                self._end(task, 0.0, out)

    def placed(self, member_id: str) -> None:
        """A plan that waited has found its places: so have its launches."""
        for task in self.tasks.of_member(member_id):
            if self.waiting.waits_for_room(task.id):
                self.waiting.wake(task.id)

    def proven_dead(self, node: str, out: Output) -> None:
        for task in self.tasks.live_on(node):
            self._over(task, Exit(reason=f"{node} was lost, and what was left of it was ended"), out)

    def go_on(self, now_s: float, out: Output) -> None:
        """Looks again at launches whose turn it is."""
        for task_id in self.waiting.turns():
            task = self.tasks.get(task_id)
            if task is not None and task.wanted is not None and not task.ended and not task.ending:
                self._advance(task, now_s, out)

    # -- bringing one up, and down ----------------------------------------------------------------------------------

    def _advance(self, task: Task, now_s: float, out: Output) -> None:
        """Takes a wanted task as far as it goes: a place, the end of what was there, names, the launch."""
        assert task.wanted is not None, f"{task.id} is not wanted"
        self.waiting.drop(task.id)
        if not self.wanted_known:
            # Those that have no place yet are placed together, once all are known.
            return
        refusal = self._place(task, now_s, out)
        if refusal:
            self.waiting.room(task.id)
            self._not_yet(task, "pending", refusal, out)
            return
        if older := self._in_its_place(task):
            # Its end is what makes this one go on.
            self._not_yet(task, "placed", f"waits for the end of {older.id}", out)
            return
        if task.node not in self.connected:
            if task.node in self.registered:
                self._not_yet(task, "placed", f"waits for {task.node} to register again", out)
            return
        context = self._context(task.id, task.wanted.declaration)
        if context.missing:
            self.waiting.names(task.id, context.waits_on)
            self._not_yet(task, "placed", context.missing, out)
            return
        self._send_launch(task, out, context)
        self._not_yet(task, "placed", "", out)

    def _in_its_place(self, task: Task) -> Task | None:
        """An older incarnation that may still run where this one is to run."""
        here = (task.node, task.fence)
        older = (one for one in self.tasks.of_member(task.id.member_id) if one.id < task.id and not one.ended)
        return next((one for one in older if (one.node, one.fence) == here), None)

    def _not_yet(self, task: Task, state: TaskState, reason: str, out: Output) -> None:
        """What we think of a task counts only until its agent has spoken."""
        if not task.known:
            self._show(task, state, reason, out)

    def _place(self, task: Task, now_s: float, out: Output) -> str:
        """Sees to the member's reservation. Gives the reason when there is none."""
        assert task.wanted is not None
        member_id, wanted = task.id.member_id, task.wanted
        need = need_of(wanted.declaration)
        reservation = self._places.reservation(member_id)
        if wanted.beside and (reservation is None or wanted.place > reservation.place):
            reservation = self._places.coming(member_id)
            if reservation is None or reservation.place != wanted.place:
                names = task.id.service, {task.id.member: need}, {task.id.member: wanted.place}
                if refusal := self._places.reserve_one(k.Reserve(*names, beside=True), now_s, out):
                    return refusal
                reservation = self._places.coming(member_id) or self._places.reservation(member_id)
        elif reservation is None or wanted.place > reservation.place or not covers(reservation.need, need):
            if reason := self._places.waits_for_plan(member_id):
                return reason
            given = k.Reserve(task.id.service, {task.id.member: need}, {task.id.member: wanted.place})
            refusal = self._places.reserve_one(given, now_s, out)
            if refusal:
                return refusal
            reservation = self._places.reservation(member_id)
        assert reservation is not None
        self.tasks.move(task, reservation.node)
        task.address, task.fence = reservation.address, reservation.fence
        return ""

    def _send_launch(self, task: Task, out: Output, context: LaunchContext | None = None) -> None:
        """Also repeated to an agent that runs it already, which then needs to know only that it stands."""
        if task.wanted is None or task.node not in self.connected:
            return
        context = context or self._context(task.id, task.wanted.declaration)
        task.told = True
        launch = wire.Launch(
            task=str(task.id),
            declaration=task.wanted.declaration,
            generation=task.wanted.generation,
            fence=task.fence,
            address=task.address,
            values=dict(context.values),
            secrets=dict(context.secrets),
        )
        out.send.append(Send(task.node, launch))

    def _end(self, task: Task, grace_s: float, out: Output) -> None:
        self.waiting.drop(task.id)
        if task.ended:
            out.up.append(task.observed())
            return
        never_told = not task.told and not task.known and (not task.node or task.node in self.registered)
        older = self._in_its_place(task) if never_told else None
        if never_told and older is None:
            self._over(task, Exit(reason="it was never started"), out)
            return
        task.end_grace_s = grace_s if task.end_grace_s is None else min(grace_s, task.end_grace_s)
        if older is not None:
            # "Ended" is a proof for the member: it is over with what it waited for.
            self._show(task, "ending", f"waits for the end of {older.id}", out)
            return
        self._send_end(task, out)
        self._show(task, "ending", task.reason if task.state == "ending" else "", out)

    def _send_end(self, task: Task, out: Output) -> None:
        if task.node in self.connected and task.end_grace_s is not None:
            out.send.append(Send(task.node, wire.End(task=str(task.id), grace_s=task.end_grace_s)))

    def _over(self, task: Task, ended: Exit, out: Output) -> None:
        """Proven dead. What waited for that goes on."""
        self.waiting.drop(task.id)
        task.exit = ended
        self._show(task, "ended", ended.reason, out)
        for other in self.tasks.of_member(task.id.member_id):
            if other.id <= task.id or other.ended:
                continue
            if other.ending and not other.told and not other.known:
                self._over(other, Exit(reason="it was never started"), out)
                return
            if other.wanted is not None and not other.ending:
                self.waiting.wake(other.id)
        if task.wanted is None:
            self.tasks.drop(task)

    def _show(self, task: Task, state: TaskState, reason: str, out: Output, progress: int = 0) -> None:
        """Tells what changed, once."""
        before = task.observed()
        task.state, task.reason, task.progress = state, reason, max(progress, task.progress)
        now = task.observed()
        if now != before:
            out.up.append(now)

    # -- what agents say --------------------------------------------------------------------------------------------

    def sync(self, node: str, statuses: Sequence[wire.TaskStatus], now_s: float, out: Output) -> None:
        """The node registered: compares what it runs with what is wanted there. From here on it is told things."""
        self.connected.add(node)
        self.registered.add(node)
        expected = self.tasks.live_on(node)
        listed = {status.task for status in statuses}
        for status in statuses:
            self.take(node, status, out)
        self._tell_again(node, out)
        for task in expected:
            if task.ended:
                continue
            if str(task.id) in listed:
                self._repeat(task, out)
            elif task.ending:
                if self._in_its_place(task) is None:
                    self._over(task, Exit(reason="it was not running"), out)
            elif task.known and task.state not in BEFORE_ITS_START:
                self._over(task, Exit(reason=f"the agent of {node} knows nothing of it any more"), out)
            else:
                # Never told, or told and lost: an agent that restarts forgets what it had not started.
                task.known = False
                self._advance(task, now_s, out)
        out.send.append(Send(node, wire.Synced()))

    def hears(self, node: str, out: Output, *, yes: bool) -> None:
        """Whether the node is up. With its silence, what was known of its tasks was forgotten above: it is told again
        when it is back, by a registration or, where the connection held, now."""
        if not yes:
            self._forgotten.add(node)
        elif node in self.connected:
            self._tell_again(node, out)

    def _tell_again(self, node: str, out: Output) -> None:
        if node in self._forgotten:
            self._forgotten.discard(node)
            out.up += [task.observed() for task in self.tasks.live_on(node) if task.known]

    def _repeat(self, task: Task, out: Output) -> None:
        if task.ending:
            self._send_end(task, out)
        elif not task.ended:
            self._send_launch(task, out)

    def take(self, node: str, status: wire.TaskStatus, out: Output) -> None:
        """What an agent says about a task."""
        task_id = parse(status.task)
        assert task_id is not None, f"{status.task} was not checked"
        task = self.tasks.get(task_id)
        if task is None or (task.node, task.fence) != (node, status.fence):
            self._stray(node, task_id, status, out)
            return
        task.known = True
        if task.ended:
            return
        if status.state == "ended":
            self._over(task, _exit(status), out)
            return
        task.generation = status.generation
        state = "ending" if task.ending else cast(TaskState, status.state)
        self._show(task, state, status.reason, out, status.progress)

    def _stray(self, node: str, task_id: TaskId, status: wire.TaskStatus, out: Output) -> None:
        """A task that nobody wants where it runs: an older incarnation, or of a place that was given up."""
        if status.state == "ended":
            if self.tasks.get(task_id) is None:
                out.up.append(Observed(task=task_id, state="ended", node=node, exit=_exit(status)))
            return
        if not self.wanted_known:
            return
        reason = "its member was placed anew, or it is not wanted any more"
        if self.tasks.get(task_id) is None:
            task = self.tasks.add(Task(task_id, node=node, fence=status.fence, known=True))
            task.end_grace_s = 0.0
            self._show(task, "ending", reason, out)
        out.send.append(Send(node, wire.End(task=str(task_id), grace_s=0.0, reason=reason)))

    def progress(self, node: str, message: wire.Progress, out: Output) -> None:
        task_id = parse(message.task)
        task = self.tasks.get(task_id) if task_id else None
        if task is not None and task.node == node and task.state in ("placed", "fetching"):
            self._show(task, "fetching", message.text, out)


def _exit(status: wire.TaskStatus) -> Exit:
    said = status.exit or wire.TaskExit()
    return Exit(
        code=said.code,
        signal=said.signal,
        reason=said.reason or status.reason,
        lines=said.lines,
        not_started=said.not_started,
        without_data=said.without_data,
    )
