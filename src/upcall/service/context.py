"""What a running service stands on: the facts of the moment, and the calls it may make.

The runner fills it before each call into the expert's code; tests fill it by hand. A service reads it through its own
attributes (``self.members``, ``self.state`` ...), never directly.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration
from upcall.service import faults
from upcall.service.apart import Apart
from upcall.service.hanging import marked
from upcall.service.member import MemberSet, Runner, _nowhere
from upcall.service.pod import Pod
from upcall.service.roles import Roles
from upcall.service.state import State

if TYPE_CHECKING:
    from upcall.service.service import Service

R = TypeVar("R")

THREADS_MAX: Final = 4
"""Blocking clients of one service at once. Each service has threads of its own, so they run out for it alone."""

THREADS: Final = "blocking"
HEALTH_THREADS: Final = "health"
"""Apart from the others: a look at how the service is may hang, and answers must not wait for it."""

threads: ContextVar[str] = ContextVar("threads", default=THREADS)
"""Whose threads what runs here takes for its blocking calls."""


class Volatile:
    """A :class:`upcall.service.state.Keep` in memory, for services that no host runs."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[Any, int]] = {}

    async def read(self, key: str) -> tuple[Any, int]:
        return self.entries.get(key, (None, 0))

    async def write(self, key: str, value: Any, version: int) -> int:
        self.entries[key] = (value, version + 1)
        return version + 1

    async def delete(self, key: str) -> None:
        self.entries.pop(key, None)


async def _no_proposal(_propose: wire.Propose) -> str:
    raise RuntimeError("only a service that a host runs can propose")


async def _no_code(_revision: wire.Revision) -> "type[Service] | None":
    return None


async def _fits(_declared: wire.Declare) -> str:
    return ""


async def _differ(_declared: wire.Declare) -> tuple[str, ...]:
    return ()


async def _no_resize(_wish: wire.Resize) -> wire.Resized:
    raise RuntimeError("only a service that a host runs has members that run")


async def _no_credentials(_reference: str) -> wire.Credentials | None:
    return None


async def _nothing_granted(_action: str) -> str:
    return ""


@dataclass
class Context:
    """One service's surroundings."""

    name: str = ""
    version: str = ""
    """Of the package, as it is installed."""
    options: Mapping[str, Any] = field(default_factory=dict)
    derived: tuple[str, ...] = ()
    """Of the options, those that follow from goals."""
    bindings: Mapping[str, str] = field(default_factory=dict)
    nodes: tuple[wire.NodeView, ...] = ()
    members: Mapping[str, wire.Member] = field(default_factory=dict)
    operations: tuple[wire.Operation, ...] = ()
    started: bool = True
    """``on_start`` has returned: what the code learns there is known. Under a host it is not so from the beginning."""
    life: float = 0.0
    """When it was installed."""
    left_behind: tuple[str, ...] = ()
    lost_behind: tuple[str, ...] = ()
    state: State = field(default_factory=lambda: State(Volatile()))
    roles: Roles = field(default_factory=lambda: Roles(State(Volatile())))
    run_tool: Runner = _nowhere
    propose: Callable[[wire.Propose], Awaitable[str]] = _no_proposal
    credentials: Callable[[str], Awaitable[wire.Credentials | None]] = _no_credentials
    """By the reference of an endpoint: its own, or one that it is bound to."""
    granted: Callable[[str], Awaitable[str]] = _nothing_granted
    """The secret that a person named in an action that is being answered, by the action's id."""
    load: Callable[[wire.Revision], Awaitable["type[Service] | None"]] = _no_code
    """The code of a revision that is made of other files; None: it cannot be had here."""
    fits: Callable[[wire.Declare], Awaitable[str]] = _fits
    """Why not all of these would have a place now."""
    differ: Callable[[wire.Declare], Awaitable[tuple[str, ...]]] = _differ
    """Which of the members that are there run something else."""
    resize: Callable[[wire.Resize], Awaitable[wire.Resized]] = _no_resize
    in_place: bool = False
    """The machines can give a member that runs another amount."""
    refresh: Callable[[], None] = lambda: None
    ask_again: Callable[[], None] = lambda: None
    note: Callable[[str, str], None] = lambda operation, text: None
    """Tells people, by the system, why an operation gets no answer."""
    fault: Callable[[faults.Fault], None] = lambda fault: None
    """Hears of what the expert's code raised; a test fails by it."""
    busy: set[str] = field(default_factory=set)
    """What is done once at a time, while it is."""
    may_have_left: bool = True
    """A trial restore that did not return may have left something; of those before this host nobody knows."""
    inline: bool = False
    """A test in virtual time: a blocking call takes none."""
    said: dict[str, str] = field(default_factory=dict)
    """Operation -> why it was not answered, as the log has it already."""
    coming: frozenset[str] = frozenset()
    """Members that an update brings, and whose turn has not come: nobody waits for them, and nothing counts on them."""
    chosen: tuple[str, ...] = ()
    """Members that the last change wants there to be: who leaves is chosen once."""
    declined: dict[str, str] = field(default_factory=dict)
    """Operation -> why it was declined, of the newest."""
    made: tuple[Mapping[str, wire.Member], list[Pod], MemberSet] | None = None
    """What the members were made from last, and the members."""
    pods: list[Pod] | None = None
    """While one look at the service lasts: what ``pods`` gave."""
    built: dict[str, Declaration] | None = None
    """While one look lasts: the declarations that were made of its members."""
    apart: Apart = field(default_factory=Apart)
    """Where code is called that is only to come, and may hang."""
    _threads: dict[str, ThreadPoolExecutor] = field(default_factory=dict)

    @property
    def log(self) -> logging.Logger:
        return logging.getLogger(f"upcall.services.{self.name or 'unnamed'}")

    @contextlib.contextmanager
    def one_look(self, pods: list[Pod]) -> Iterator[None]:
        """All that is made of the service at once is made of one answer to ``pods``, and of each member's task once.
        Nothing waits in between, so nothing changes either."""
        self.pods, self.built = pods, {}
        try:
            yield
        finally:
            self.pods = self.built = None

    @contextlib.contextmanager
    def only(self, pod: Pod) -> Iterator[None]:
        """While the service chooses who leaves a pod, all of it is there."""
        pods, self.pods = self.pods, [pod]
        try:
            yield
        finally:
            self.pods = pods

    async def blocking(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        if self.inline:
            return function(*args, **kwargs)
        whose = threads.get()
        if (pool := self._threads.get(whose)) is None:
            pool = self._threads[whose] = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix=f"{self.name}-{whose}")
        work = marked(self.name, functools.partial(function, *args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def close(self) -> None:
        for pool in self._threads.values():
            pool.shutdown(wait=False, cancel_futures=True)
        self._threads = {}
