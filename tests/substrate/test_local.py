"""What the local substrate tells agents and the ledger, call by call."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from upcall.protocol import agent as wire
from upcall.protocol.declaration import Constraints, Declaration, Resources, Volume
from upcall.protocol.errors import Invalid
from upcall.substrate.interface import (
    NodeExpected,
    NodeObserved,
    Observed,
    Output,
    Placed,
    Promised,
    Substrate,
    TaskId,
    Unplaced,
    Unpromised,
    VolumesSetAside,
    Wanted,
)
from upcall.substrate.local import PROVE_AGAIN_S, LocalSubstrate
from upcall.substrate.local_waiting import LOOKED_AT_MAX


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
        return [_words(item) for item in up]

    def told(self, node: str = "") -> list[str]:
        """What went to agents since the last call, in words."""
        sent, self.sent = self.sent, []
        return [f"{to} {_words(message)}" for to, message in sent if not node or to == node]

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


def _words(item: Any) -> str:
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


@pytest.fixture
def cluster() -> Cluster:
    """Two nodes, up; the wanted set is known and empty."""
    cluster = Cluster()
    cluster.take(cluster.substrate.wanted((), cluster.now_s))
    cluster.register("node-1")
    cluster.register("node-2", zone="b")
    cluster.said()
    cluster.told()
    return cluster


def test_is_a_substrate() -> None:
    substrate: Substrate = Cluster().substrate
    assert substrate.capabilities.placement == "kernel"
    assert substrate.capabilities.firmness == {"*": "enforced"}


def test_places_launches_and_follows_a_task(cluster: Cluster) -> None:
    cluster.launch("kafka.broker-1.1")
    assert cluster.told() == ["node-1 launch kafka.broker-1.1 place 1 at 127.40.7.10"]
    cluster.status("node-1", "kafka.broker-1.1", "fetching")
    cluster.status("node-1", "kafka.broker-1.1", "ready")
    cluster.status("node-1", "kafka.broker-1.1", "ready")
    cluster.end("kafka.broker-1.1")
    assert cluster.told() == ["node-1 ack"] * 3 + ["node-1 end kafka.broker-1.1 within 5 s"]
    cluster.status("node-1", "kafka.broker-1.1", "ended", exit=wire.TaskExit(code=143))
    assert cluster.said() == [
        "kafka.broker-1 on node-1 at 127.40.7.10",
        "kafka.broker-1.1 placed",
        "kafka.broker-1.1 fetching",
        "kafka.broker-1.1 ready",
        "kafka.broker-1.1 ending",
        "kafka.broker-1.1 ended [143]",
    ]


def test_an_acknowledgement_travels_with_what_it_acknowledges(cluster: Cluster) -> None:
    """One output: the master commits what follows from ``up`` before it releases ``send``."""
    cluster.launch("a.m.1")
    status = wire.TaskStatus(task="a.m.1", state="ready")
    out = cluster.substrate.agent("node-1", wire.Status(number=42, status=status), cluster.now_s)
    assert [_words(item) for item in out.up] == ["a.m.1 ready"]
    assert [send.message for send in out.send] == [wire.Ack(number=42)]


def test_an_incarnation_keeps_address_and_place_of_the_one_before(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=1))
    cluster.told()
    cluster.launch("a.m.2")
    assert cluster.told() == ["node-1 launch a.m.2 place 1 at 127.40.7.10"]


def test_a_member_never_runs_twice(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.said(), cluster.told()
    cluster.launch("a.m.2")
    assert cluster.said() == ["a.m.2 placed: waits for the end of a.m.1"]
    assert cluster.told() == []
    cluster.end("a.m.1")
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=0))
    assert cluster.told()[-2:] == ["node-1 ack", "node-1 launch a.m.2 place 1 at 127.40.7.10"]


def test_repeated_wishes_are_harmless(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.told()
    cluster.launch("a.m.1")
    assert cluster.told() == []
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=3))
    cluster.told(), cluster.said()
    cluster.launch("a.m.1")
    cluster.end("a.m.1")
    assert cluster.told() == []
    assert cluster.said() == ["a.m.1 ended [3]"] * 2


def test_a_plan_that_does_not_fit_reserves_nothing_and_says_what_would(cluster: Cluster) -> None:
    plan = {f"broker-{n}": declaration(1024, apart="broker") for n in (1, 2, 3)}
    before = dict(cluster.records)
    cluster.take(cluster.substrate.reserve("kafka", plan, cluster.now_s))
    (said,) = cluster.said()
    assert said == (
        "no place for broker-1, broker-2, broker-3: needs 3 nodes with 0.5 cpus, 1 GiB memory free for "
        "broker-1, broker-2, broker-3 (each on another node): node-1 would do, node-2 would do; would fit: 2 of 3"
    )
    assert cluster.records == before


def test_launches_of_a_plan_that_does_not_fit_wait_for_the_whole_of_it(cluster: Cluster) -> None:
    plan = {f"broker-{n}": declaration(1024, apart="broker") for n in (1, 2, 3)}
    cluster.take(cluster.substrate.reserve("kafka", plan, cluster.now_s))
    cluster.said()
    for n in (1, 2, 3):
        cluster.launch(f"kafka.broker-{n}.1", apart="broker")
    assert all(
        line.startswith(f"kafka.broker-{n}.1 pending: needs 3 nodes") for n, line in enumerate(cluster.said(), 1)
    )
    assert cluster.told() == []
    cluster.register("node-3", memory_mib=512)
    assert [line[:9] for line in cluster.said() if "broker" in line] == ["no place ", *["kafka.bro"] * 3]
    cluster.register("node-4")
    assert [line for line in cluster.told() if "launch" in line] == [
        "node-1 launch kafka.broker-1.1 place 1 at 127.40.7.10",
        "node-2 launch kafka.broker-2.1 place 1 at 127.40.7.11",
        "node-4 launch kafka.broker-3.1 place 1 at 127.40.7.12",
    ]


def test_a_plan_that_waits_is_one_plan_again_after_a_restart(cluster: Cluster) -> None:
    wishes = [wanted(f"kafka.broker-{n}.1", apart="broker") for n in (1, 2, 3)]
    cluster.start()
    for wish in wishes:
        cluster.take(cluster.substrate.launch(wish, cluster.now_s))
    cluster.take(cluster.substrate.wanted(wishes, cluster.now_s))
    cluster.register("node-1")
    cluster.register("node-2")
    assert not [line for line in cluster.told() if "launch" in line]
    cluster.register("node-3")
    assert len([line for line in cluster.told() if "launch" in line]) == 3


def test_a_plan_that_is_asked_for_again_is_refused_again(cluster: Cluster) -> None:
    for _ in range(2):
        cluster.take(cluster.substrate.reserve("a", {"m": declaration(9000)}, cluster.now_s))
        assert len(cluster.said()) == 1
    cluster.take(cluster.substrate.cordon("node-9", cluster.now_s, closed=False))
    assert cluster.said() == [], "nothing new about it"


def test_a_smaller_plan_takes_the_place_of_one_that_waits(cluster: Cluster) -> None:
    plan = {f"broker-{n}": declaration(1024, apart="broker") for n in (1, 2, 3)}
    cluster.take(cluster.substrate.reserve("kafka", plan, cluster.now_s))
    del plan["broker-3"]
    cluster.said()
    cluster.take(cluster.substrate.reserve("kafka", plan, cluster.now_s))
    assert cluster.said() == ["kafka.broker-1 on node-1 at 127.40.7.10", "kafka.broker-2 on node-2 at 127.40.7.11"]


def test_a_plan_that_waits_goes_on_without_a_member_that_is_released(cluster: Cluster) -> None:
    plan = {f"broker-{n}": declaration(1024, apart="broker") for n in (1, 2, 3)}
    cluster.take(cluster.substrate.reserve("kafka", plan, cluster.now_s))
    cluster.said()
    cluster.take(cluster.substrate.release("kafka.broker-2", cluster.now_s))
    cluster.take(cluster.substrate.cordon("node-9", cluster.now_s, closed=False))
    assert cluster.said() == ["kafka.broker-1 on node-1 at 127.40.7.10", "kafka.broker-3 on node-2 at 127.40.7.11"]


def test_a_member_that_has_its_place_comes_back_while_a_plan_waits(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=1))
    cluster.take(cluster.substrate.reserve("a", {"m": declaration(), "n": declaration(9000)}, cluster.now_s))
    cluster.told()
    cluster.launch("a.m.2")
    assert cluster.told() == ["node-1 launch a.m.2 place 1 at 127.40.7.10"]


def test_an_incarnation_that_was_never_launched_gives_way_to_the_next(cluster: Cluster) -> None:
    """After a restart of the master, on a person's word that the old one is dead: it must not be launched after all."""
    cluster.launch("a.m.1")
    cluster.start(wanted("a.m.1"))
    cluster.launch("a.m.2", place=2)
    cluster.register("node-1", zone="a")
    cluster.register("node-2", zone="b")
    assert [line for line in cluster.told() if "launch" in line] == ["node-2 launch a.m.2 place 2 at 127.40.7.11"]


def test_a_pending_task_starts_when_there_is_room(cluster: Cluster) -> None:
    cluster.launch("a.big.1", memory_mib=5000)
    assert cluster.said() == [
        "a.big.1 pending: needs a node with 4.8 GiB memory free for big: node-1 has 4 GiB memory free, "
        "node-2 has 4 GiB memory free; would fit: 4 GiB memory"
    ]
    cluster.register("node-3", memory_mib=8000)
    assert "node-3 launch a.big.1 place 1 at 127.40.7.10" in cluster.told()


def test_a_pending_task_can_be_ended(cluster: Cluster) -> None:
    cluster.launch("a.big.1", memory_mib=5000)
    cluster.end("a.big.1")
    cluster.register("node-3", memory_mib=8000)
    assert cluster.said()[1:] == ["a.big.1 ended [no code]: it was never started", "node-3 is up: registered"]


def test_a_launch_waits_for_names_that_are_not_known_yet(cluster: Cluster) -> None:
    cluster.context = Context(missing="waits for address.broker-2", waits_on=frozenset({"a"}))
    cluster.launch("a.m.1")
    assert cluster.said()[-1] == "a.m.1 placed: waits for address.broker-2"
    assert cluster.told() == []
    cluster.context = Context(values={"address.broker-2": "127.40.7.11"}, secrets={"password": "x"})
    cluster.take(cluster.substrate.known(["another"], cluster.now_s))
    assert cluster.told() == []
    cluster.take(cluster.substrate.known(["a"], cluster.now_s))
    ((_, launch),) = cluster.sent
    assert launch.values == {"address.broker-2": "127.40.7.11"}
    assert launch.secrets == {"password": "x"}


def test_who_waits_for_a_name_is_not_looked_at_until_it_is_known(cluster: Cluster) -> None:
    """Whatever happens meanwhile, and however much time passes: nothing polls."""
    cluster.context = Context(missing="waits for endpoint.b.c", waits_on=frozenset({"b"}))
    cluster.launch("a.m.1")
    asked = cluster.asked
    quiet_until = cluster.substrate.deadline()
    assert quiet_until is not None, "nodes are listened to"
    assert quiet_until > cluster.now_s + 1
    for _ in range(10):
        cluster.now_s += 1
        cluster.take(cluster.substrate.agent_heard("node-1", cluster.now_s))
        cluster.take(cluster.substrate.tick(cluster.now_s))
        cluster.take(cluster.substrate.known(["c"], cluster.now_s))
    assert cluster.asked == asked
    cluster.take(cluster.substrate.known(["b"], cluster.now_s))
    assert cluster.asked == asked + 1


def test_a_flood_of_launches_that_wait_for_a_name_is_gone_on_with_at_once(cluster: Cluster) -> None:
    cluster.context = Context(missing="waits for endpoint.b.c", waits_on=frozenset({"b"}))
    many = LOOKED_AT_MAX + 5
    for number in range(many):
        cluster.launch(f"a.m-{number}.1", memory_mib=1, cpus=0.01)
    cluster.told()
    cluster.context = Context()
    cluster.take(cluster.substrate.known(["b"], cluster.now_s))
    assert len(cluster.told()) == LOOKED_AT_MAX
    assert cluster.substrate.deadline() == cluster.now_s
    cluster.take(cluster.substrate.tick(cluster.now_s))
    assert len(cluster.told()) == 5
    assert cluster.substrate.deadline() != cluster.now_s


def test_launches_that_nothing_fits_are_looked_at_once_for_each_change_of_room(cluster: Cluster) -> None:
    """More of them than one call looks at: they have their turn, and then there is silence."""
    for number in range(LOOKED_AT_MAX + 5):
        cluster.launch(f"a.m-{number}.1", memory_mib=5000)
    cluster.register("node-3", memory_mib=100)
    calls = 0
    while cluster.substrate.deadline() == cluster.now_s:
        calls += 1
        assert calls < 10, "it polls"
        cluster.take(cluster.substrate.tick(cluster.now_s))
    assert calls == 1


# -- restarts -------------------------------------------------------------------------------------------------------


def test_after_a_restart_of_the_master_tasks_go_on(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.start()
    cluster.register("node-1", running("a.m.1"))
    assert cluster.told() == ["node-1 registered"], "nothing is ended before the wanted set is known"
    cluster.take(cluster.substrate.wanted([wanted("a.m.1")], cluster.now_s))
    assert cluster.told() == ["node-1 launch a.m.1 place 1 at 127.40.7.10", "node-1 synced"]
    assert cluster.said() == [
        "node-1 is up: registered",
        "a.m on node-1 at 127.40.7.10",
        "node-2 is expected",
        "a.m.1 ready",
    ]


def test_what_runs_is_told_to_go_on_even_while_a_name_is_missing(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.start(wanted("a.m.1"))
    cluster.context = Context(missing="waits for endpoint.b.c")
    cluster.register("node-1", running("a.m.1"))
    assert cluster.told() == ["node-1 registered", "node-1 launch a.m.1 place 1 at 127.40.7.10", "node-1 synced"]


def test_after_a_restart_the_wanted_come_and_the_unwanted_go(cluster: Cluster) -> None:
    for member in ("m", "n", "o"):
        cluster.launch(f"a.{member}.1", memory_mib=512)
    cluster.start(wanted("a.m.1", memory_mib=512), wanted("a.n.1", memory_mib=512))
    cluster.said()
    cluster.register("node-1", running("a.n.1"), running("a.o.1"), running("b.x.9"))
    assert cluster.told() == [
        "node-1 registered",
        "node-1 end a.o.1 within 0 s",
        "node-1 end b.x.9 within 0 s",
        "node-1 launch a.m.1 place 1 at 127.40.7.10",
        "node-1 launch a.n.1 place 1 at 127.40.7.11",
        "node-1 synced",
    ]
    cluster.status("node-1", "b.x.9", "ended", exit=wire.TaskExit(signal=9))
    assert cluster.said()[-1] == "b.x.9 ended [no code]"


def test_a_task_that_ended_while_the_master_was_down_is_reported_with_its_code(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.start(wanted("a.m.1"))
    cluster.said()
    cluster.register("node-1", wire.TaskStatus(task="a.m.1", state="ended", exit=wire.TaskExit(code=7)))
    assert "a.m.1 ended [7]" in cluster.said()
    assert not any("launch" in line for line in cluster.told())


def test_a_task_that_its_agent_forgot_has_ended(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.said(), cluster.told()
    cluster.take(cluster.substrate.agent_disconnected("node-1", cluster.now_s))
    cluster.register("node-1")
    assert cluster.said() == [
        "a.m.1 ended [no code]: the agent of node-1 knows nothing of it any more",
    ]
    assert cluster.told() == ["node-1 registered", "node-1 synced"]


def test_a_launch_that_got_lost_is_repeated(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.take(cluster.substrate.agent_disconnected("node-1", cluster.now_s))
    cluster.told()
    cluster.register("node-1")
    assert cluster.told() == ["node-1 registered", "node-1 launch a.m.1 place 1 at 127.40.7.10", "node-1 synced"]


def test_an_agent_that_restarts_while_it_fetches_is_told_again(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "fetching")
    cluster.said(), cluster.told()
    cluster.register("node-1")
    assert cluster.told() == ["node-1 registered", "node-1 launch a.m.1 place 1 at 127.40.7.10", "node-1 synced"]
    assert cluster.said() == ["a.m.1 placed"]


def test_an_end_while_the_agent_is_away_is_told_when_it_is_back(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.take(cluster.substrate.agent_disconnected("node-1", cluster.now_s))
    cluster.told()
    cluster.end("a.m.1", 3.0)
    assert cluster.told() == []
    cluster.register("node-1", running("a.m.1"))
    assert cluster.told() == ["node-1 registered", "node-1 end a.m.1 within 3 s", "node-1 synced"]


def test_an_end_after_a_restart_waits_for_what_the_node_says(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.start()
    cluster.end("a.m.1")
    cluster.take(cluster.substrate.wanted((), cluster.now_s))
    assert "ended" not in " ".join(cluster.said()), "nothing is known about node-1 yet"
    cluster.register("node-1")
    assert cluster.said()[-1] == "a.m.1 ended [no code]: it was not running"


# -- silence, loss, return ------------------------------------------------------------------------------------------


def test_silence_ends_nothing_and_is_told_once(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.said(), cluster.told()
    cluster.wait(40.0, hear=("node-2",))
    assert cluster.said() == ["node-1 is silent: nothing heard for 15 s"]
    assert cluster.told() == []
    assert cluster.prove == []
    cluster.register("node-1", running("a.m.1"))
    assert cluster.said() == ["node-1 is up: back after 40 s", "a.m.1 ready"]


def test_what_runs_is_told_again_after_a_silence_whether_the_connection_held_or_not(cluster: Cluster) -> None:
    """Whoever listens forgot what it knew of a silent node's tasks."""
    silent, heard = "node-1 is silent: nothing heard for 15 s", "node-1 is up: heard again after 40 s"
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.said()
    cluster.wait(40.0, hear=("node-2",))
    cluster.take(cluster.substrate.agent("node-1", wire.Usage(tasks=()), cluster.now_s))
    assert cluster.said() == [silent, heard, "a.m.1 ready"]
    cluster.wait(40.0, hear=("node-2",))
    cluster.take(cluster.substrate.agent_disconnected("node-1", cluster.now_s))
    cluster.take(cluster.substrate.agent_heard("node-1", cluster.now_s))
    assert cluster.said() == [silent, heard]
    cluster.register("node-1", running("a.m.1"))
    assert cluster.said() == ["a.m.1 ready"]
    cluster.register("node-1", running("a.m.1"))
    assert cluster.said() == []


def test_any_message_is_a_sign_of_life(cluster: Cluster) -> None:
    for _ in range(6):
        cluster.wait(10.0, hear=("node-2",))
        cluster.take(cluster.substrate.agent("node-1", wire.Usage(tasks=()), cluster.now_s))
    assert cluster.said() == []


def test_a_silent_node_is_proven_dead_and_replaced_elsewhere_and_its_return_is_cleaned_up(cluster: Cluster) -> None:
    cluster.launch("a.m.1", volume_mib=100)
    cluster.status("node-1", "a.m.1", "ready")
    cluster.wait(20.0, hear=("node-2",))
    cluster.said(), cluster.told()
    cluster.take(cluster.substrate.prove_death("node-1", cluster.now_s))
    assert cluster.prove == ["node-1"]
    cluster.wait(PROVE_AGAIN_S, hear=("node-2",))
    assert cluster.prove == ["node-1", "node-1"], "asked again until it is proven"
    cluster.take(cluster.substrate.death_proven("node-1", cluster.now_s))
    assert cluster.said() == [
        "a.m.1 ended [no code]: node-1 was lost, and what was left of it was ended",
    ]
    cluster.launch("a.m.2", place=2, volume_mib=100)
    assert cluster.told() == ["node-2 launch a.m.2 place 2 at 127.40.7.11"]
    assert cluster.said() == [
        "volumes a.m/1 aside on node-1: a.m was placed anew",
        "a.m on node-2 at 127.40.7.11",
        "a.m.2 placed",
    ]
    cluster.register("node-1", running("a.m.1"), volumes=(volume("a.m"),))
    assert cluster.told() == ["node-1 registered", "node-1 end a.m.1 within 0 s", "node-1 synced"]
    cluster.wait(60.0, hear=("node-1", "node-2"))
    assert cluster.prove == ["node-1", "node-1"]


def test_without_proof_a_person_may_replace_and_what_is_left_is_ended_unasked(cluster: Cluster) -> None:
    cluster.launch("a.m.1", volume_mib=100)
    cluster.status("node-1", "a.m.1", "ready")
    cluster.wait(20.0, hear=("node-2",))
    cluster.told(), cluster.said()
    cluster.launch("a.m.2", place=2, volume_mib=100)
    assert cluster.told() == ["node-1 end a.m.1 within 0 s", "node-2 launch a.m.2 place 2 at 127.40.7.11"]
    cluster.take(cluster.substrate.agent_disconnected("node-1", cluster.now_s))
    cluster.register("node-1", running("a.m.1"), volumes=(volume("a.m"),))
    assert cluster.told() == ["node-1 registered", "node-1 end a.m.1 within 0 s", "node-1 synced"]
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(signal=9))
    assert cluster.said()[-1] == "a.m.1 ended [no code]"


def test_what_is_left_on_the_only_node_is_ended_unasked_when_its_member_comes_back_there(cluster: Cluster) -> None:
    """Its place was given up on a person's word while no node was there; the launch that was told is on its way."""
    cluster.launch("a.m.1", volume_mib=100)
    cluster.wait(20.0)
    cluster.launch("a.m.2", place=2, volume_mib=100)
    cluster.told(), cluster.said()
    cluster.status("node-1", "a.m.1", "running")
    assert "node-1 end a.m.1 within 0 s" in cluster.told()
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(signal=9))
    assert "node-1 launch a.m.2 place 1 at 127.40.7.10" in cluster.told(), "with its volumes"


def test_a_late_death_proof_does_not_end_a_node_that_is_back(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.wait(20.0, hear=("node-2",))
    cluster.take(cluster.substrate.prove_death("node-1", cluster.now_s))
    cluster.register("node-1", running("a.m.1"))
    cluster.said()
    cluster.take(cluster.substrate.death_proven("node-1", cluster.now_s))
    assert cluster.said() == []


def test_a_removed_node_is_gone_and_can_be_forgotten_and_added_again(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.take(cluster.substrate.node_removed("node-1", cluster.now_s))
    assert cluster.prove == ["node-1"]
    assert cluster.said()[-1] == "node-1 is gone: removed"
    cluster.take(cluster.substrate.forget_node("node-1", cluster.now_s))
    assert ("node", "node-1") in cluster.records, "a.m is still reserved there"
    cluster.take(cluster.substrate.death_proven("node-1", cluster.now_s))
    cluster.take(cluster.substrate.release("a.m", cluster.now_s))
    cluster.take(cluster.substrate.forget_node("node-1", cluster.now_s))
    assert ("node", "node-1") not in cluster.records
    cluster.register("node-1")
    assert cluster.said()[-1] == "node-1 is up: registered"


def test_a_master_that_slept_judges_nobody(cluster: Cluster) -> None:
    cluster.now_s += 3600.0
    cluster.take(cluster.substrate.tick(cluster.now_s))
    assert cluster.said() == []
    cluster.wait(14.0, hear=("node-1",))
    assert cluster.said() == []
    cluster.wait(2.0, hear=("node-1",))
    assert cluster.said() == ["node-2 is silent: nothing heard for 15 s"]


# -- places, volumes ------------------------------------------------------------------------------------------------


def test_nothing_new_comes_to_a_cordoned_node_and_what_is_there_stays(cluster: Cluster) -> None:
    cluster.launch("a.m.1")
    cluster.status("node-1", "a.m.1", "ready")
    cluster.take(cluster.substrate.cordon("node-1", cluster.now_s, closed=True))
    cluster.said(), cluster.told()
    cluster.launch("a.n.1")
    assert cluster.told() == ["node-2 launch a.n.1 place 1 at 127.40.7.11"]
    cluster.launch("a.o.1", memory_mib=4000)
    assert cluster.said()[-1].endswith("node-1 is kept free for its maintenance; would fit: 3 GiB memory")
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=0))
    cluster.told()
    cluster.take(cluster.substrate.cordon("node-1", cluster.now_s, closed=False))
    assert cluster.told() == [], "3 GiB are free there, for a.m keeps its place"
    cluster.launch("a.m.2")
    assert cluster.told() == ["node-1 launch a.m.2 place 1 at 127.40.7.10"]


def test_released_volumes_are_kept_for_a_grace_and_taken_back(cluster: Cluster) -> None:
    cluster.launch("a.m.1", volume_mib=100)
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=0))
    cluster.take(cluster.substrate.release("a.m", cluster.now_s, keep_volumes_s=60.0))
    cluster.wait(30.0, hear=("node-1", "node-2"))
    cluster.told()
    cluster.launch("a.m.1", volume_mib=100)
    assert cluster.told() == ["node-1 launch a.m.1 place 1 at 127.40.7.11"]
    cluster.wait(120.0, hear=("node-1", "node-2"))
    assert cluster.told() == []


def test_released_volumes_are_deleted_after_the_grace_also_on_a_node_that_is_away(cluster: Cluster) -> None:
    cluster.launch("a.m.1", volume_mib=100)
    cluster.status("node-1", "a.m.1", "ended", exit=wire.TaskExit(code=0))
    cluster.take(cluster.substrate.release("a.m", cluster.now_s, keep_volumes_s=10.0))
    cluster.take(cluster.substrate.agent_disconnected("node-1", cluster.now_s))
    cluster.told()
    cluster.wait(12.0, hear=("node-1", "node-2"))
    assert cluster.told() == []
    cluster.start()
    cluster.take(cluster.substrate.wanted((), cluster.now_s))
    cluster.register("node-1", volumes=(volume("a.m"),))
    assert cluster.told() == ["node-1 registered", "node-1 delete volumes a.m/1", "node-1 synced"]
    cluster.register("node-1")
    assert [kind for kind, _ in cluster.records if kind == "left_volumes"] == []


def test_volumes_that_nobody_knows_are_set_aside_and_shown_and_a_person_drops_them(cluster: Cluster) -> None:
    cluster.register("node-1", volumes=(volume("old.m", place=3),))
    assert cluster.said() == ["volumes old.m/3 aside on node-1: no such member is known"]
    cluster.told()
    cluster.take(cluster.substrate.drop_volumes("old.m", 3, cluster.now_s))
    assert cluster.told() == ["node-1 delete volumes old.m/3"]


# -- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status",
    [running("nonsense"), running("a.b.x"), wire.TaskStatus(task="a.b.1", state="flying")],
)
def test_a_malformed_message_is_refused_and_changes_nothing(cluster: Cluster, status: wire.TaskStatus) -> None:
    records = dict(cluster.records)
    with pytest.raises(Invalid, match="node-9"):
        cluster.register("node-9", status)
    with pytest.raises(Invalid):
        cluster.take(cluster.substrate.agent("node-1", wire.Status(number=1, status=status), cluster.now_s))
    assert cluster.records == records
    assert cluster.substrate.kernel.node("node-9") is None


def test_an_impossible_machine_is_refused(cluster: Cluster) -> None:
    with pytest.raises(Invalid, match="makes no sense"):
        cluster.register("node-9", memory_mib=-1)
    assert cluster.substrate.kernel.node("node-9") is None


def test_a_next_place_is_held_and_used_by_the_launch_that_names_it(cluster: Cluster) -> None:
    """Held beside the present one, which is given up only then."""
    first = wanted("a.m.1", volume_mib=10)
    cluster.take(cluster.substrate.launch(first, cluster.now_s))
    present = cluster.substrate.reservation("a.m")
    assert present is not None
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 2, cluster.now_s))
    (promised,) = [up for up in cluster.up if isinstance(up, Promised)]
    assert (promised.member_id, promised.place) == ("a.m", 2)
    assert promised.node != present.node
    assert cluster.substrate.reservation("a.m") == present
    cluster.start(first)
    assert [up.node for up in cluster.up if isinstance(up, Promised)] == [promised.node], "said again after a start"
    second = msgspec.structs.replace(first, task=task_id("a.m.2"), place=2)
    cluster.take(cluster.substrate.launch(second, cluster.now_s))
    assert cluster.substrate.reservation("a.m").node == promised.node  # type: ignore[union-attr]


def test_a_next_place_on_its_own_node_has_volumes_of_its_own(cluster: Cluster) -> None:
    first = wanted("a.m.1", volume_mib=10)
    cluster.take(cluster.substrate.launch(first, cluster.now_s))
    present = cluster.substrate.reservation("a.m")
    assert present is not None
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 2, cluster.now_s))
    cluster.take(cluster.substrate.call_off_place("a.m", 2, cluster.now_s))
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 2, cluster.now_s, same_node=True))
    promised = [up for up in cluster.up if isinstance(up, Promised)]
    assert promised[0].node != present.node
    assert promised[-1].node == present.node
    second = msgspec.structs.replace(first, task=task_id("a.m.2"), place=2)
    cluster.take(cluster.substrate.launch(second, cluster.now_s))
    renewed = cluster.substrate.reservation("a.m")
    assert renewed is not None
    assert (renewed.node, renewed.fence > present.fence) == (present.node, True)


def test_a_next_place_that_does_not_fit_is_looked_for_until_it_is_called_off(cluster: Cluster) -> None:
    first = wanted("a.m.1")
    cluster.take(cluster.substrate.launch(first, cluster.now_s))
    for node in ("node-1", "node-2"):
        cluster.take(cluster.substrate.cordon(node, cluster.now_s, closed=True))
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 2, cluster.now_s))
    (refused,) = [up for up in cluster.up if isinstance(up, Unpromised)]
    assert "node-2 is kept free for its maintenance" in refused.reason
    cluster.take(cluster.substrate.cordon("node-2", cluster.now_s, closed=False))
    assert [up.node for up in cluster.up if isinstance(up, Promised)] == ["node-2"]
    cluster.take(cluster.substrate.call_off_place("a.m", 2, cluster.now_s))
    assert cluster.substrate.kernel.coming("a.m") is None


def test_a_newer_one_is_launched_beside_the_older_and_both_places_are_its_members_until_that_has_ended(
    cluster: Cluster,
) -> None:
    first = wanted("a.m.1", volume_mib=10)
    cluster.take(cluster.substrate.launch(first, cluster.now_s))
    old = cluster.substrate.reservation("a.m")
    assert old is not None
    cluster.status(old.node, "a.m.1", "ready")
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 2, cluster.now_s))
    new = cluster.substrate.coming("a.m")
    assert new is not None
    second = msgspec.structs.replace(first, task=task_id("a.m.2"), place=2, beside=True)
    cluster.told()
    cluster.take(cluster.substrate.launch(second, cluster.now_s))
    assert cluster.told() == [f"{new.node} launch a.m.2 place {new.fence} at {new.address}"]
    cluster.status(new.node, "a.m.2", "ready", place=new.fence)
    # The plan is declared again meanwhile, and the master starts again.
    cluster.take(cluster.substrate.reserve("a", {"m": first.declaration}, cluster.now_s, places={"m": 1}))
    cluster.start(first, second)
    cluster.said()
    held = {old.node: ("a.m.1", old.fence), new.node: ("a.m.2", new.fence)}
    for node, (task, fence) in held.items():
        cluster.register(node, running(task, place=fence), volumes=(volume("a.m", fence),))
    assert not [words for words in cluster.told() if " end " in words], "both stay"
    assert not [words for words in cluster.said() if "aside" in words], "and so do the volumes of both"
    assert (cluster.substrate.reservation("a.m"), cluster.substrate.coming("a.m")) == (old, new)
    cluster.end("a.m.1")
    cluster.status(old.node, "a.m.1", "ended", place=old.fence)
    cluster.told()
    cluster.take(cluster.substrate.reserve("a", {"m": first.declaration}, cluster.now_s, places={"m": 2}))
    assert (cluster.substrate.reservation("a.m"), cluster.substrate.coming("a.m")) == (new, None)
    assert cluster.told() == [], "what runs there runs on"


def test_a_newer_one_comes_back_beside_the_older_though_its_place_was_exchanged_for_a_third_that_nobody_uses(
    cluster: Cluster,
) -> None:
    cluster.register("node-3")
    first = wanted("a.m.1")
    cluster.take(cluster.substrate.launch(first, cluster.now_s))
    old = cluster.substrate.reservation("a.m")
    assert old is not None
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 2, cluster.now_s))
    second = msgspec.structs.replace(first, task=task_id("a.m.2"), place=2, beside=True)
    cluster.take(cluster.substrate.launch(second, cluster.now_s))
    before = cluster.substrate.coming("a.m")
    assert before is not None
    cluster.status(before.node, "a.m.2", "ended", place=before.fence)
    cluster.take(cluster.substrate.hold_place("a.m", first.declaration, 3, cluster.now_s))
    third = cluster.substrate.coming("a.m")
    assert third is not None
    assert third.node not in (old.node, before.node), "it was no good there"
    cluster.told()
    again = msgspec.structs.replace(second, task=task_id("a.m.3"))
    cluster.take(cluster.substrate.launch(again, cluster.now_s))
    now = cluster.substrate.coming("a.m")
    assert now is not None
    assert cluster.told() == [f"{now.node} launch a.m.3 place {now.fence} at {now.address}"]
    cluster.take(cluster.substrate.call_off_place("a.m", 3, cluster.now_s))
    assert (cluster.substrate.reservation("a.m"), cluster.substrate.coming("a.m")) == (old, now)
