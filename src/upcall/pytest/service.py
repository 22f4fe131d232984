"""A service in a test: where it listens, who may log in, and what can be done to its members.

What a test does to a member is undone after it, and waited for. While it lasts nobody else's test works with that
service: the first such call makes the service this test's alone, or says that it is not.
"""

import os
import re
import signal
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from upcall.client import paths
from upcall.keeper import processes
from upcall.protocol.errors import Conflict, Invalid, NotFound
from upcall.protocol.nearest import choice
from upcall.protocol.operator import Ask, Drain, OperationView, TaskView
from upcall.pytest.asked import MARKER, Wanted
from upcall.pytest.cluster import Cluster
from upcall.pytest.holding import Lock
from upcall.pytest.use import Use

WINDOW_S: Final = 60.0
"""So long a drain asks; a test that wants to see a refusal says less."""
ENDED: Final = frozenset({"done", "failed", "withdrawn", "lifted", "declined"})
SPARES_ONE: Final = 3
"""Members of which one may be missing, with a majority left."""


class Login(NamedTuple):
    user: str
    password: str


class Turn:
    """Tests that share a service share its lock; one that does something to a member has it alone."""

    def __init__(self, cluster: Cluster, service: str, *, alone: bool) -> None:
        place = cluster.use.place
        self._gate, self._used = Lock(place.turn(service)), Lock(place.used(service))
        self.alone = alone
        # Who waits to be alone keeps the others from coming, or it would never be.
        self._gate.take()
        try:
            self._used.take(shared=not alone)
        finally:
            self._gate.let_go()

    def only_mine(self) -> bool:
        """Whether nobody else's test works with it, from now to the end of this one."""
        if not self.alone:
            self.alone = self._used.try_take()
            if not self.alone:
                self._used.take(shared=True)
        return self.alone

    def end(self) -> None:
        self._used.close()
        self._gate.close()


class Service:
    """Of any kind; what a system has besides is in its own class."""

    size: str = ""
    """The option that says how many members it has."""
    member_kind: str = ""
    """Which of its members are numbered: ``node`` of ``node-1``; empty: all."""

    def __init__(self, cluster: Cluster, wanted: Wanted, turn: Turn, test: str) -> None:
        self.cluster, self.wanted, self.name = cluster, wanted, wanted.name
        self._turn, self._undo = turn, dict[tuple[str, str], Callable[[], None]]()
        self.test = test
        """Part of the name of all that this test makes: nobody else's begins so."""
        self._touched: set[str] = set()

    # -- where, and as whom -----------------------------------------------------------------------------------------

    def members(self) -> list[TaskView]:
        """Those that are numbered, as they are now."""
        found = [one for one in self.cluster.client.tasks() if one.service == self.name]
        return sorted((one for one in found if self._is_numbered(one)), key=lambda one: _number(one.name))

    def _is_numbered(self, task: TaskView) -> bool:
        kind, _, number = task.name.rpartition("-")
        return number.isdigit() and self.member_kind in ("", kind)

    def addresses(self, endpoint: str) -> list[str]:
        """``host:port`` of each member that serves it."""
        known = [one for one in self.cluster.client.endpoints() if one.service == self.name]
        for one in known:
            if one.name == endpoint:
                return list(one.addresses)
        raise NotFound(
            f"{self.name} has no endpoint {endpoint!r}",
            where=self.name,
            expected=choice([one.name for one in known], "a service that has endpoints"),
        )

    def login(self, endpoint: str) -> Login | None:
        """None: nobody is asked who he is."""
        said = self.cluster.client.credentials(self.name, endpoint)
        return Login(said.user, said.password) if said.user else None

    def do(self, action: str, **arguments: Any) -> Any:
        """One of the service's own actions (``upcall service show`` lists them)."""
        return self.cluster.act(self.name, action, **arguments)

    # -- what is done to its members --------------------------------------------------------------------------------

    def kill(self, number: int) -> None:
        """SIGKILL to all processes of a member. It is started again by itself; :meth:`until_ready` waits for that."""
        task = self._spared(number, "kill")
        self._touched.add(task.member)
        self._signal(task, signal.SIGKILL)
        self.cluster.until(f"{task.member} is dead", lambda: not self._processes(task))

    def freeze(self, number: int) -> None:
        """SIGSTOP to all processes of a member: connections stay open and nothing is answered, until :meth:`heal`. One
        that says nothing for long is ended and started again by the cluster, as in production."""
        task = self._mine(number, "freeze")
        self._touched.add(task.member)
        self._signal(task, signal.SIGSTOP)
        self._undo["freeze", task.member] = lambda: self._signal(task, signal.SIGCONT)

    def heal(self, number: int | None = None) -> None:
        """What :meth:`freeze` did to a member, or to all of them, is over."""
        ended = "" if number is None else self._member(number).member
        for key in [key for key in self._undo if key[0] == "freeze" and ended in ("", key[1])]:
            self._undo.pop(key)()

    def partition(self, number: int) -> None:
        """Cut a member from the network. No machine that we know of lets us: the members share one network, and none
        is in a namespace of its own."""
        self._member(number)
        raise Conflict(
            f"{self.name} {number} cannot be cut from the network: the members of this cluster share the machine's own",
            where="partition",
            expected=f"freeze({number}) stops it instead: connections stay open, nothing is answered, until heal()",
        )

    def drain(self, number: int, window_s: float = WINDOW_S) -> None:
        """Its node is drained, as for maintenance: the service is asked, and the member is held with its volume until
        :meth:`undrain`. Members of other services on that node are held too."""
        task = self._spared(number, "drain")
        self._touched.add(task.member)
        self._undo["drain", task.node] = lambda: self._undrained(task.node)
        said = Drain(reason=f"a test: {self.test}", window_s=window_s)
        path = paths.of("nodes", task.node, "drain")
        self._over(self.cluster.client.operation_of(path, said), window_s)

    def undrain(self, number: int) -> None:
        """Back, and ready."""
        task = self._mine(number, "undrain")
        undo = self._undo.pop(("drain", task.node), None)
        if undo is None:
            raise Invalid(f"{self.name} {number} is not drained", where="undrain", expected=f"drain({number}) before")
        undo()
        self.until_ready()

    def until_ready(self) -> None:
        """All members serve."""

        def look() -> bool:
            view = self.cluster.client.service(self.name)
            return view.state == "running" and 0 < view.wanted <= view.ready

        self.cluster.until(f"{self.name} is ready", look)

    def sweep(self, use: Use) -> None:
        """What runs that were killed have left in it, where it was kept."""

    def undo(self) -> None:
        """After the test: nothing is frozen, held or missing any more."""
        try:
            for key in list(self._undo):
                self._undo.pop(key)()
            if self._touched:
                self.until_ready()
        finally:
            self._turn.end()

    def _undrained(self, node: str) -> None:
        path = paths.of("nodes", node, "undrain")
        self._over(self.cluster.client.operation_of(path, Ask(reason="the test is over")), WINDOW_S)

    def _over(self, operation: OperationView, window_s: float) -> None:
        def look() -> OperationView | None:
            found = self.cluster.client.operation(operation.id)
            return found if found.state in ENDED else None

        try:
            ended = self.cluster.until(f"{operation.id} is over", look, window_s)
        except Conflict:
            waits = self.cluster.client.operation(operation.id).waits_for
            raise Conflict(
                f"the drain waits: {waits or 'no reason was given'}", where=operation.id, expected="a longer window_s"
            ) from None
        if ended.state not in ("done", "lifted"):
            raise Conflict(f"{operation.id} was {ended.state}: {ended.outcome}", where=operation.id)

    def _member(self, number: int) -> TaskView:
        members = self.members()
        for one in members:
            if _number(one.name) == number:
                return one
        there = [str(_number(one.name)) for one in members]
        raise Invalid(f"{self.name} has no member {number}", where=self.name, expected=choice(there, "a member"))

    def _mine(self, number: int, what: str) -> TaskView:
        found = self._member(number)
        if not self._turn.only_mine():
            raise Conflict(
                f"{what}({number}): tests of other workers use {self.name} just now",
                where=self.name,
                expected=f"@pytest.mark.{MARKER}(alone=True) at this test, which waits for them",
            )
        return found

    def _spared(self, number: int, what: str) -> TaskView:
        """Who is without a member goes on with a majority only where there are three."""
        members = self.members()
        if self.size and len(members) < SPARES_ONE:
            asked = f'@pytest.mark.{MARKER}({self.wanted.package}={{"{self.size}": {SPARES_ONE}}})'
            raise Invalid(
                f"{what}({number}): {self.name} has {len(members)} of {self.size}, and none to spare",
                where=self.name,
                expected=f"{asked} at this test",
            )
        return self._mine(number, what)

    def _processes(self, task: TaskView) -> Sequence[Any]:
        folder = os.path.join(self.cluster.folder, "nodes", task.node)  # noqa: PTH118 - as the mark has it
        return processes.marked(folder, task.task)

    def _signal(self, task: TaskView, number: int) -> None:
        processes.send(self._processes(task), number)


def _number(name: str) -> int:
    found = re.search(r"(\d+)$", name)
    return int(found[1]) if found else -1
