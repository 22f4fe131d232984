"""What machines give beside the running of tasks, behind one more interface.

:class:`~upcall.substrate.interface.Substrate` says which task runs where, and has no I/O. What needs I/O is here, and
is as small: the text of logs, tools beside a task, figures, proof that nothing of a node runs, nodes that come and go,
the volumes that are kept. Whoever has machines of a kind implements both (:mod:`upcall.local` for those that we run
ourselves, :mod:`upcall.kubernetes` for a cluster of Kubernetes), and is found by the name that stands in
``cluster.json`` (:mod:`upcall.master.substrates`). The master knows these two interfaces and nothing that lies behind
them.

Nothing here decides about a task. What machines observe goes through :meth:`Master.take` into the substrate, and from
there to the ledger; what the substrate wants of them comes after the commit (:meth:`Machines.send`, ``prove``).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from upcall.protocol.declaration import Declaration
from upcall.protocol.operator import AddNode
from upcall.protocol.service import RunTool, ToolResult
from upcall.substrate.interface import DiskUse, Output, Send, Substrate, TaskId, VolumeSet

if TYPE_CHECKING:
    from fastapi import APIRouter


class LaunchContext(Protocol):
    """What a launch needs and only the master knows. ``missing`` says what it waits for; empty: all is known."""

    @property
    def values(self) -> dict[str, str]: ...
    @property
    def secrets(self) -> dict[str, str]: ...
    @property
    def missing(self) -> str: ...
    @property
    def waits_on(self) -> frozenset[str]:
        """What the missing comes from, in words of the master's own; :meth:`Substrate.known` names them again."""
        ...


class Master(Protocol):
    """What machines may do at the master."""

    def monotonic(self) -> float:
        """The clock of every call of the substrate."""
        ...

    def wall(self) -> float: ...

    def context(self, task: TaskId, declaration: Declaration) -> LaunchContext: ...

    def take(self, call: Callable[[float], Output]) -> None:
        """One call of the substrate, in a turn of the master that is given its time: what comes of it is recorded, and
        all follows from it. What is lost while the master reads its records anew is asked for again
        (:meth:`Machines.say_again`)."""
        ...

    def tell(self, node: str, text: str, *, detail: bool = False) -> None:
        """An event about a node. ``detail``: only for who wants each step."""
        ...

    def alert(self, about: str, text: str, *, over: bool = False) -> None:
        """What somebody has to do something about; or that nobody has to any more."""
        ...

    async def blob(self, sha256: str) -> bytes:
        """A lock file, or a file of a declaration."""
        ...

    def admit(self, party: str) -> None:
        """A party of the machines' own gets a token (``agent-node-1``), if it has none."""
        ...

    def dismiss(self, party: str) -> None:
        """Its token is worth nothing any more."""
        ...


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a task uses: cores over the last interval, the others now."""

    cpu_cores: float = 0.0
    memory_mib: float = 0.0
    disk_mib: float = 0.0
    """Of its volumes and its sandbox."""
    filling: tuple[DiskUse, ...] = ()


class Machines(Protocol):
    """Tasks are named as :class:`TaskId` writes them, with the node on which the master knows them."""

    def substrate(self, records: Mapping[tuple[str, str], Any]) -> Substrate:
        """The state machine, made from its own records; anew, and instead of the one before, whenever the master has
        read its records anew."""
        ...

    # -- after a commit ---------------------------------------------------------------------------------------------

    def send(self, send: Send) -> None:
        """What the substrate has to say to a machine. What is lost is said again when the machine is back."""
        ...

    def prove(self, node: str) -> None:
        """The substrate wants certainty that nothing of a node runs any more. Returns at once; the answer is observed,
        however late."""
        ...

    def say_again(self) -> None:
        """The master has read its records anew: what only machines know is to be observed once more."""
        ...

    # -- tasks ------------------------------------------------------------------------------------------------------

    def usage(self, task: str) -> Usage | None: ...

    def progress(self, task: str) -> str:
        """How far the fetching of its artifacts is, in words; empty when nothing is fetched."""
        ...

    async def run(self, task: str, node: str, tool: RunTool) -> ToolResult:
        """A one-shot tool beside a task. Raises ``NotNow`` where the node does not answer, ``Conflict`` with the reason
        where the tool could not be run to its end."""
        ...

    def read_log(
        self, task: str, node: str, stream: str, lines: int, *, follow: bool, after: str = ""
    ) -> AsyncIterator[str]:
        """Text of a task's log; when followed, until the caller goes away or the task ends. ``after``: of these lines
        only what stands after those of this mark (:mod:`upcall.protocol.read_before`). Raises as :meth:`run`."""
        ...

    # -- nodes ------------------------------------------------------------------------------------------------------

    def features(self, node: str) -> Sequence[str]:
        """What the node has, and what it lacks, in words."""
        ...

    def declared(self) -> Collection[str]:
        """Nodes that are to be there, whether or not they were heard of yet."""
        ...

    async def add_node(self, wish: AddNode, before: Callable[[str], Awaitable[None]]) -> str:
        """One more node; gives its name. ``before`` is awaited when the name is known and may be used. Refuses with
        what would be possible."""
        ...

    async def end_node(self, node: str) -> None:
        """What serves an emptied node ends, for good. Raises ``NotNow`` while it cannot be ended."""
        ...

    def forget_node(self, node: str, now_s: float) -> Output:
        """It has ended, by somebody's decision: it is gone, and its record with it."""
        ...

    # -- volumes ----------------------------------------------------------------------------------------------------

    def volumes(self) -> list[VolumeSet]:
        """All that the machines keep."""
        ...

    def drop_volumes(self, one: VolumeSet, now_s: float) -> Output:
        """A person gives up volumes that nobody uses: they are deleted as soon as their node hears it."""
        ...

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The master has begun, and takes in what it is told: whoever dials out does so from now on."""
        ...

    def routers(self) -> Sequence["APIRouter"]:
        """Doors of their own at the master's API, for machines that dial in."""
        ...

    def close(self) -> None:
        """The master ends; tasks run on."""
        ...
