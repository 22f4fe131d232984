"""Agents that restart, fall silent, lose messages; masters that restart: no member runs twice, and in the end what
runs is what is wanted.

Agents here keep the promises of the agent API and no more: they register with all that they run, launch and end what
they are told, end after ``Synced`` what was not named, and repeat an ended status until it is acknowledged.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from upcall.protocol import agent as wire
from upcall.protocol.declaration import Constraints, Declaration, Resources, Volume
from upcall.substrate.interface import Observed, Output, Placed, TaskId, Unplaced, Wanted
from upcall.substrate.local import LocalSubstrate

NODES = ("n1", "n2", "n3")
MEMBERS = ("a", "b", "c")


@dataclass
class Context:
    values: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    missing: str = ""
    waits_on: frozenset[str] = frozenset()


@dataclass
class Agent:
    """One node. ``inbox`` and ``outbox`` are the connection: in order, and gone when it breaks."""

    name: str
    connected: bool = False
    tasks: dict[str, tuple[str, int]] = field(default_factory=dict)
    """task -> state, place."""
    volumes: set[tuple[str, int]] = field(default_factory=set)
    inbox: list[Any] = field(default_factory=list)
    outbox: list[Any] = field(default_factory=list)
    unacknowledged: dict[int, wire.TaskStatus] = field(default_factory=dict)
    number: int = 0
    named: set[str] = field(default_factory=set)

    def connect(self) -> None:
        self.connected = True
        self.inbox.clear()
        statuses = [wire.TaskStatus(task=t, state=s, fence=p) for t, (s, p) in self.tasks.items()]
        volumes = tuple(wire.VolumeStatus(member_id=m, name="data", fence=p) for m, p in sorted(self.volumes))
        register = wire.Register(
            node=self.name,
            wire=1,
            boot="b",
            cpus=8,
            memory_mib=1000,
            disk_mib=1000,
            attributes={},
            tasks=tuple(statuses),
            volumes=volumes,
        )
        self.outbox = [register, *(wire.Status(number=n, status=s) for n, s in self.unacknowledged.items())]

    def disconnect(self) -> None:
        self.connected = False
        self.inbox.clear()
        self.outbox.clear()

    def say(self, task: str, state: str, place: int) -> None:
        self.number += 1
        status = wire.TaskStatus(task=task, state=state, fence=place)
        self.unacknowledged[self.number] = status
        if self.connected:
            self.outbox.append(wire.Status(number=self.number, status=status))

    def set(self, task: str, state: str) -> None:
        _, place = self.tasks[task]
        self.tasks[task] = (state, place)
        self.say(task, state, place)

    def receive(self, message: Any) -> None:
        match message:
            case wire.Registered():
                self.named.clear()
            case wire.Launch(task=task, fence=place):
                self.named.add(task)
                if task not in self.tasks:
                    member_id = task.rpartition(".")[0]
                    self.volumes.add((member_id, place))
                    self.tasks[task] = ("running", place)
                    self.say(task, "running", place)
            case wire.End(task=task):
                if task not in self.tasks:
                    self.say(task, "ended", 1)
                elif self.tasks[task][0] != "ended":
                    self.set(task, "ending")
            case wire.Synced():
                for task, (state, _) in list(self.tasks.items()):
                    if task not in self.named and state != "ended":
                        self.set(task, "ending")
            case wire.DeleteVolumes(member_id=member_id, fence=place):
                self.volumes = {v for v in self.volumes if (v[0], v[1]) != (member_id, place)}
            case wire.Ack(number=number):
                status = self.unacknowledged.pop(number, None)
                if status is not None and status.state == "ended":
                    self.tasks.pop(status.task, None)

    def kill_all(self) -> None:
        """What the keeper does for a proof of death; the agent is dead, so nobody tells."""
        self.tasks.clear()
        self.unacknowledged.clear()

    def graces_are_over(self) -> None:
        for task, (state, _) in list(self.tasks.items()):
            if state == "ending":
                self.set(task, "ended")

    def live(self) -> dict[str, int]:
        return {task: place for task, (state, place) in self.tasks.items() if state != "ended"}


@dataclass
class Member:
    """The ledger's record of one member."""

    incarnation: int = 0
    place: int = 1
    over: bool = True
    """The incarnation is known to be dead."""


def declaration(member: str) -> Declaration:
    return Declaration(
        command=("run",),
        resources=Resources(cpus=1, memory_mib=400),
        constraints=Constraints(apart="x" if member != "c" else ""),
        volumes=(Volume(name="data", size_mib=10),),
    )


class LocalMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.now_s = 0.0
        self.records: dict[tuple[str, str], Any] = {}
        self.agents = {name: Agent(name) for name in NODES}
        self.members = {member: Member() for member in MEMBERS}
        self.proving: set[str] = set()
        self.given_up: set[str] = set()
        """Tasks that a person declared dead without proof: only these may run beside their successor."""
        self._master_starts()
        for name in NODES:
            self.connect(name)
        self.everything_arrives()

    def _master_starts(self) -> None:
        self.substrate = LocalSubstrate(
            self.records,
            prefix="127.40.9",
            context=lambda task, declaration: Context(),
            wall=lambda: self.now_s,
        )
        self.proving.clear()
        for agent in self.agents.values():
            agent.disconnect()
        wanted = [self._wanted(member) for member, record in self.members.items() if not record.over]
        self.take(self.substrate.wanted(wanted, self.now_s))

    def _wanted(self, member: str) -> Wanted:
        record = self.members[member]
        task = TaskId("s", member, record.incarnation)
        return Wanted(task=task, declaration=declaration(member), place=record.place)

    def take(self, out: Output) -> None:
        """The master: records are durable, then the ledger hears, then messages go out."""
        for change in out.records:
            if change.value is None:
                self.records.pop((change.kind, change.key), None)
            else:
                self.records[change.kind, change.key] = msgspec.json.decode(msgspec.json.encode(change.value))
        for up in out.up:
            if isinstance(up, Observed) and up.state == "ended":
                record = self.members[up.task.member]
                if up.task.incarnation == record.incarnation:
                    record.over = True
            elif isinstance(up, Unplaced):
                assert up.reason
            elif isinstance(up, Placed):
                assert up.node in NODES
        for send in out.send:
            agent = self.agents[send.node]
            if agent.connected:
                agent.inbox.append(send.message)
        self.proving |= set(out.prove)

    # -- the ledger's wishes ----------------------------------------------------------------------------------------

    @rule(member=st.sampled_from(MEMBERS))
    def launch(self, member: str) -> None:
        record = self.members[member]
        if record.over:
            record.incarnation += 1
            record.over = False
        self.take(self.substrate.launch(self._wanted(member), self.now_s))

    @rule(members=st.sets(st.sampled_from(MEMBERS), min_size=1))
    def plan(self, members: set[str]) -> None:
        plan = {member: declaration(member) for member in sorted(members)}
        places = {member: self.members[member].place for member in plan}
        self.take(self.substrate.reserve("s", plan, self.now_s, places=places))

    @rule(member=st.sampled_from(MEMBERS))
    def end(self, member: str) -> None:
        record = self.members[member]
        if record.incarnation:
            self.take(self.substrate.end(TaskId("s", member, record.incarnation), 5.0, self.now_s))

    @rule(member=st.sampled_from(MEMBERS))
    def restart(self, member: str) -> None:
        """The next incarnation is wanted before the end of this one was seen."""
        record = self.members[member]
        self.end(member)
        record.over = True
        self.launch(member)

    @rule(member=st.sampled_from(MEMBERS))
    def replace(self, member: str) -> None:
        """Elsewhere, with proof."""
        record = self.members[member]
        if record.over and record.incarnation:
            record.place += 1
            self.launch(member)

    @rule(member=st.sampled_from(MEMBERS))
    def assume_dead(self, member: str) -> None:
        """Elsewhere, on a person's word."""
        record = self.members[member]
        if not record.over:
            self.given_up |= {f"s.{member}.{number}" for number in range(1, record.incarnation + 1)}
            record.over = True
            self.replace(member)

    @rule(member=st.sampled_from(MEMBERS), keep_s=st.sampled_from([0.0, 60.0]))
    def release(self, member: str, keep_s: float) -> None:
        record = self.members[member]
        if record.over:
            self.take(self.substrate.release(f"s.{member}", self.now_s, keep_volumes_s=keep_s))

    # -- the world --------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NODES))
    def connect(self, name: str) -> None:
        agent = self.agents[name]
        if agent.connected:
            self.disconnect(name)
        agent.connect()

    @rule(name=st.sampled_from(NODES))
    def disconnect(self, name: str) -> None:
        if self.agents[name].connected:
            self.agents[name].disconnect()
            self.take(self.substrate.agent_disconnected(name, self.now_s))

    @rule(name=st.sampled_from(NODES), count=st.integers(1, 4))
    def deliver(self, name: str, count: int) -> None:
        """Some messages each way, in order."""
        agent = self.agents[name]
        for _ in range(count):
            if agent.outbox:
                self.take(self.substrate.agent(name, agent.outbox.pop(0), self.now_s))
            if agent.inbox:
                agent.receive(agent.inbox.pop(0))

    @rule()
    def everything_arrives(self) -> None:
        while any(agent.inbox or agent.outbox for agent in self.agents.values()):
            for name in NODES:
                self.deliver(name, 1)

    @rule()
    def graces_are_over(self) -> None:
        for agent in self.agents.values():
            agent.graces_are_over()

    @rule()
    def all_is_well_for_a_moment(self) -> None:
        for name, agent in self.agents.items():
            if not agent.connected:
                self.connect(name)
        self.everything_arrives()
        self.graces_are_over()
        self.everything_arrives()

    @rule(name=st.sampled_from(NODES), data=st.data())
    def a_task_moves_on(self, name: str, data: st.DataObject) -> None:
        live = sorted(self.agents[name].live())
        if live:
            task = data.draw(st.sampled_from(live))
            ending = self.agents[name].tasks[task][0] == "ending"
            self.agents[name].set(task, "ended" if ending else data.draw(st.sampled_from(["ready", "ended"])))

    @rule(seconds=st.sampled_from([1.0, 9.0, 16.0]), heard=st.booleans())
    def time_passes(self, seconds: float, heard: bool) -> None:
        self.now_s += seconds
        for agent in self.agents.values():
            if agent.connected and heard:
                self.take(self.substrate.agent_heard(agent.name, self.now_s))
        self.take(self.substrate.tick(self.now_s))

    @rule(name=st.sampled_from(NODES))
    def prove_death(self, name: str) -> None:
        self.take(self.substrate.prove_death(name, self.now_s))

    @rule(name=st.sampled_from(NODES))
    def the_keeper_proves(self, name: str) -> None:
        """It ends the agent and all that it left; a node that came back first is not touched."""
        if name in self.proving:
            self.proving.discard(name)
            if not self.agents[name].connected:
                self.agents[name].kill_all()
                self.take(self.substrate.death_proven(name, self.now_s))

    @rule()
    def the_master_restarts(self) -> None:
        self._master_starts()

    # -- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def no_member_runs_twice(self) -> None:
        for member in MEMBERS:
            running = [
                task
                for agent in self.agents.values()
                for task in agent.live()
                if task.startswith(f"s.{member}.") and task not in self.given_up
            ]
            assert len(running) <= 1, running

    @invariant()
    def no_two_share_volumes(self) -> None:
        for agent in self.agents.values():
            users = [(task.rpartition(".")[0], place) for task, place in agent.live().items()]
            assert len(set(users)) == len(users), users

    def teardown(self) -> None:
        """All is well again: what runs becomes what is wanted."""
        for agent in self.agents.values():
            if not agent.connected:
                agent.connect()
        for _ in range(60):
            self.now_s += 1.0
            self.take(self.substrate.tick(self.now_s))
            for name, agent in self.agents.items():
                self.deliver(name, 10)
                agent.graces_are_over()
                self.take(self.substrate.agent_heard(name, self.now_s))
                assert agent.connected
        running = {task for agent in self.agents.values() for task in agent.live()}
        wanted = {f"s.{m}.{r.incarnation}" for m, r in self.members.items() if not r.over}
        assert running == wanted


class TestLocal(LocalMachine.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
