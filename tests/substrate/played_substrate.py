"""A local substrate whose master and agents are played by hand, call by call."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from upcall.protocol import agent as wire
from upcall.protocol.declaration import Constraints, Declaration, Resources, Volume
from upcall.substrate.interface import (
    NodeExpected,
    NodeObserved,
    Observed,
    Output,
    Placed,
    TaskId,
    Unplaced,
    VolumesSetAside,
    Wanted,
)
from upcall.substrate.local import LocalSubstrate


@dataclass
class Context:
    values: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    missing: str = ""
    waits_on: frozenset[str] = frozenset()


class Cluster:
    """A local substrate with the master and agents played by hand. ``records`` went through JSON, as in the store."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.records: dict[tuple[str, str], Any] = {}
        self.context = Context()
        self.start()

    def start(self, *wanted: Wanted) -> None:
        """The master starts (again)."""
        self.substrate = LocalSubstrate(
            self.records,
            prefix="127.40.7",
            context=lambda task, declaration: self.look(),
            cluster="c",
            wall=lambda: self.now_s,
        )
        self.asked = 0
        self.up: list[Any] = []
        self.sent: list[tuple[str, Any]] = []
        self.prove: list[str] = []
        if wanted:
            self.take(self.substrate.wanted(wanted, self.now_s))

    def look(self) -> Context:
        self.asked += 1
        return self.context

    def take(self, out: Output) -> Output:
        for change in out.records:
            if change.value is None:
                self.records.pop((change.kind, change.key), None)
            else:
                encoded = msgspec.json.encode(change.value)
                self.records[change.kind, change.key] = msgspec.json.decode(encoded)
        self.up += out.up
        self.sent += [(send.node, send.message) for send in out.send]
        self.prove += out.prove
        return out

    def said(self) -> list[str]:
        """What went up since the last call, in words."""
        up, self.up = self.up, []
        return [words(item) for item in up]

    def told(self, node: str = "") -> list[str]:
        """What went to agents since the last call, in words."""
        sent, self.sent = self.sent, []
        return [f"{to} {words(message)}" for to, message in sent if not node or to == node]

    def register(
        self,
        node: str,
        *tasks: wire.TaskStatus,
        volumes: tuple[wire.VolumeStatus, ...] = (),
        memory_mib: int = 4096,
        zone: str = "a",
    ) -> None:
        message = wire.Register(
            node=node,
            wire=1,
            boot="b",
            cpus=2,
            memory_mib=memory_mib,
            disk_mib=10_000,
            attributes={"zone": zone},
            tasks=tasks,
            volumes=volumes,
        )
        self.take(self.substrate.agent(node, message, self.now_s))

    def status(self, node: str, task: str, state: str, place: int = 1, **more: Any) -> None:
        status = wire.TaskStatus(task=task, state=state, fence=place, **more)
        self.take(self.substrate.agent(node, wire.Status(number=7, status=status), self.now_s))

    def launch(self, task: str, *, place: int = 1, **more: Any) -> None:
        self.take(self.substrate.launch(wanted(task, place=place, **more), self.now_s))

    def end(self, task: str, grace_s: float = 5.0) -> None:
        self.take(self.substrate.end(task_id(task), grace_s, self.now_s))

    def wait(self, seconds: float, *, hear: tuple[str, ...] = ()) -> None:
        """Time passes in steps of a second; the nodes in ``hear`` are heard."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s = min(self.now_s + 1.0, until_s)
            for node in hear:
                self.take(self.substrate.agent_heard(node, self.now_s))
            self.take(self.substrate.tick(self.now_s))


def task_id(text: str) -> TaskId:
    service, member, incarnation = text.split(".")
    return TaskId(service, member, int(incarnation))


def declaration(
    memory_mib: int = 1024, *, apart: str = "", volume_mib: int = 0, cpus: float = 0.5, **more: Any
) -> Declaration:
    return Declaration(
        command=("run",),
        resources=Resources(cpus=cpus, memory_mib=memory_mib),
        constraints=Constraints(apart=apart),
        volumes=(Volume(name="data", size_mib=volume_mib),) if volume_mib else (),
        **more,
    )


def wanted(task: str, *, place: int = 1, generation: int = 1, **more: Any) -> Wanted:
    return Wanted(task=task_id(task), declaration=declaration(**more), place=place, generation=generation)


def running(task: str, state: str = "ready", place: int = 1) -> wire.TaskStatus:
    return wire.TaskStatus(task=task, state=state, fence=place)


def volume(member_id: str, place: int = 1) -> wire.VolumeStatus:
    return wire.VolumeStatus(member_id=member_id, name="data", fence=place)


def words(item: Any) -> str:
    match item:
        case Observed():
            exit_ = "" if item.exit is None else f" [{item.exit.code if item.exit.code is not None else 'no code'}]"
            return f"{item.task} {item.state}{exit_}" + (f": {item.reason}" if item.reason else "")
        case NodeObserved():
            return f"{item.node} is {item.state}: {item.reason}"
        case NodeExpected():
            return f"{item.node} is expected"
        case Placed():
            return f"{item.member_id} on {item.node} at {item.address}"
        case Unplaced():
            return f"no place for {', '.join(item.members)}: {item.reason}"
        case VolumesSetAside():
            return f"volumes {item.member_id}/{item.fence} aside on {item.node}: {item.reason}"
        case wire.Launch():
            return f"launch {item.task} place {item.fence} at {item.address}"
        case wire.End():
            return f"end {item.task} within {item.grace_s:g} s"
        case wire.DeleteVolumes():
            return f"delete volumes {item.member_id}/{item.fence}"
        case _:
            return type(item).__name__.lower()
