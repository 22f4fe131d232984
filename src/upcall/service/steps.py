"""What a plan is made of, as an expert writes it.

A plan is phases, one after the other; a phase is steps, serial or parallel. An expert writes two kinds of step:
``Start`` brings a member up, ``Do`` calls a coroutine of the service (an update's plan has more of them)::

    def deploy(self):
        return [
            Phase.start(self.pod("node"), strategy="serial"),
            Phase("schema", Do("create keyspace", self.create_keyspace)),
        ]

Steps add; what takes something away is an operation, which a service proposes and is asked about like anybody else.
A ``Do`` step runs at least once: the host may die between its last line and the record of its end, so it must be fine
to run it twice. A member that was started once is never started by a plan again: it is the system's to bring back.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from upcall.service.pod import Pod, Strategy


@dataclass(frozen=True)
class Start:
    """Starts a member; done when it is ready (and ``after_ready`` has returned)."""

    member: str

    @property
    def name(self) -> str:
        return self.member


@dataclass(frozen=True)
class Do:
    """Calls ``work`` once; done when it returns. One that raises is tried again, ever more slowly."""

    name: str
    work: Callable[[], Awaitable[object]]
    attempts: int = 10
    """Then it has failed, until a person restarts the step."""
    timeout_s: float = 300.0


@dataclass(frozen=True)
class Restart:
    """Of an update: the member takes what it is told now over by a restart, which is proposed; done when it is ready
    (and ``after_ready`` has returned)."""

    member: str

    @property
    def name(self) -> str:
        return self.member


@dataclass(frozen=True)
class TakeOver:
    """Of an update: these members take what they are told now over with their next start, whenever that is."""

    members: tuple[str, ...]
    name: str = "take over"


@dataclass(frozen=True)
class Leave:
    """Of an update: the member leaves for good, which is proposed; done when it has left."""

    member: str

    @property
    def name(self) -> str:
        return self.member


Step = Start | Do | Restart | TakeOver | Leave


class Later(Exception):
    """Raised by the work of a step: nothing is wrong, it is only too early; called again after ``retry_after_s``."""

    def __init__(self, reason: str, retry_after_s: float = 1.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class GaveUp(Exception):
    """Raised by the work of a step: it has failed, and another attempt would as well."""


@dataclass(frozen=True, init=False)
class Phase:
    """Steps under one name: ``Phase("schema", Do(...), Do(...), strategy="serial")``."""

    name: str
    steps: tuple[Step, ...]
    strategy: Strategy

    def __init__(self, name: str, *steps: Step, strategy: Strategy = "serial") -> None:
        names = [step.name for step in steps]
        if len(set(names)) != len(names):
            raise ValueError(f"phase {name!r}: two steps have the same name: {sorted(names)}")
        if "/" in name or any("/" in step for step in names):
            raise ValueError(f"phase {name!r}: names of phases and steps have no '/' in them")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "strategy", strategy)

    @classmethod
    def start(cls, pod: Pod, *, name: str = "", strategy: Strategy | None = None) -> "Phase":
        """All members of a pod, by the pod's own strategy unless another one is given."""
        steps = tuple(Start(member) for member in pod.member_names)
        return cls(name or pod.name, *steps, strategy=strategy or pod.strategy)
