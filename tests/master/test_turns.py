"""A turn costs what it changes, and what follows from its changes follows after a restart too."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from upcall.cluster.folder import Cluster, DataFolder
from upcall.master import records as r
from upcall.master import services
from upcall.master.app import Master, make
from upcall.master.context import SECRETS
from upcall.master.driver import Driver
from upcall.master.secrets import Secrets
from upcall.master.state import LEDGER_PREFIX
from upcall.master.transaction import Transaction
from upcall.operations import inputs as given
from upcall.operations import records as ledger
from upcall.protocol import agent as agent_wire
from upcall.protocol import service as wire
from upcall.protocol.declaration import Declaration, Port, Resources, Secret
from upcall.protocol.errors import Invalid
from upcall.protocol.operator import Install
from upcall.protocol.versions import WIRE
from upcall.store.interface import Put
from upcall.store.sqlite import SqliteStore
from upcall.substrate.interface import Send

RECORDED = 300
"""Operations on record where there are many: below the bound of history, so none is forgotten meanwhile."""


@asynccontextmanager
async def master(folder: Path) -> AsyncIterator[Master]:
    """Without its socket, and with agents that are played by hand."""
    made = make(DataFolder(folder), Cluster(cluster="turns", prefix="127.1.1", url="http://127.1.1.1:5050"))
    made.core.prove = lambda node: None
    async with made.app.router.lifespan_context(made.app):
        yield made
        await made.core.durable()


def declaration(*command: str, **more: Any) -> Declaration:
    return Declaration(command=command or ("run",), resources=Resources(memory_mib=16), **more)


def install(core: Driver, name: str, *members: str, like: Declaration | None = None) -> None:
    core.state.packages.put(wire.Package(name="package", version="1"))
    wanted = {m: wire.MemberWanted(declaration=like or declaration(), start=True) for m in members or ("m",)}
    core.post(lambda tx: services.install(tx, Install(package="package", name=name), "ann"))
    core.post(lambda tx: services.declare(tx, name, wire.Declare(members=wanted)))


def hear(core: Driver, node: str, message: agent_wire.FromAgent) -> None:
    core.post(lambda tx: tx.substrate(core.substrate.agent(node, message, tx.now_s)))  # type: ignore[attr-defined]


def register(core: Driver, node: str, **running: str) -> None:
    """``running``: member of service ``s`` -> state of its first incarnation."""
    tasks = tuple(agent_wire.TaskStatus(task=f"s.{m}.1", state=state, generation=1) for m, state in running.items())
    message = agent_wire.Register(
        node=node,
        wire=WIRE,
        boot="1",
        cpus=4,
        memory_mib=4096,
        disk_mib=4096,
        attributes={"zone": "a"},
        tasks=tasks,
    )
    hear(core, node, message)


def becomes(core: Driver, node: str, state: str) -> None:
    status = agent_wire.TaskStatus(task="s.m.1", state=state, generation=1)
    hear(core, node, agent_wire.Status(number=1, status=status))


# -- what a turn looks at -------------------------------------------------------------------------------------------


class Counted(dict[str, Any]):
    """Counts every record that is looked at."""

    looks = 0

    def __getitem__(self, key: str) -> Any:
        self.looks += 1
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.looks += 1
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        for key in super().__iter__():
            self.looks += 1
            yield key

    def values(self) -> Any:
        return [self[key] for key in self]

    def items(self) -> Any:
        return [(key, self[key]) for key in self]


def looks(core: Driver, work: Callable[[], object]) -> int:
    """How many records of the ledger, and services of the master, ``work`` looks at."""
    book, state = core.state.ledger.book, core.state
    book.services, book.members = Counted(book.services), Counted(book.members)
    book.operations, book.consents = Counted(book.operations), Counted(book.consents)
    state.services = Counted(state.services)
    work()
    return sum(one.looks for one in (book.services, book.members, book.operations, book.consents, state.services))


def fill(core: Driver, operations: int, state: str) -> None:
    """A service with so many operations on record, and one member."""
    install(core, "full")
    for number in range(operations):
        plan = given.Propose(kind="rebalance", service="full", asked_by="ann", impact=str(number))

        def propose(tx: Transaction, plan: given.Propose = plan) -> None:
            made = tx.ledger(plan).operation
            if state == "ended":
                tx.ledger(given.Cancel(operation=made, who="ann"))

        core.post(propose)


@pytest.mark.parametrize("state", ["open", "ended"])
async def test_what_is_on_record_besides_costs_a_turn_nothing(tmp_path: Path, state: str) -> None:
    counted: list[list[int]] = []
    for operations in (3, RECORDED):
        async with master(tmp_path / str(operations)) as made:
            core = made.core
            register(core, "node-1")
            install(core, "s")
            becomes(core, "node-1", "ready")
            fill(core, operations, state)
            propose = given.Propose(kind="replace", service="s", members=("m",), asked_by="ann")
            counted.append(
                [
                    looks(core, lambda core=core: heartbeat(core)),  # type: ignore[misc]
                    looks(core, lambda core=core: becomes(core, "node-1", "unready")),  # type: ignore[misc]
                    looks(core, lambda core=core: core.post(lambda tx: tx.ledger(propose))),  # type: ignore[misc]
                    looks(core, lambda core=core: core.desired("s")),  # type: ignore[misc]
                ]
            )
    few, many = counted
    assert few == many
    assert few[0] == 0, "a heartbeat changes nothing"
    assert few[1] > 0, "an observation is looked at"


async def test_what_was_done_to_a_member_before_costs_a_turn_nothing(tmp_path: Path) -> None:
    counted: list[tuple[int, int]] = []
    for cures in (3, 50):
        async with master(tmp_path / str(cures)) as made:
            core = made.core
            register(core, "node-1")
            install(core, "s")
            for _ in range(cures):
                becomes(core, "node-1", "unready")
                becomes(core, "node-1", "ready")
            assert len(core.state.ledger.operations()) >= cures, "each is on record"
            unready = looks(core, lambda core=core: becomes(core, "node-1", "unready"))  # type: ignore[misc]
            counted.append((unready, looks(core, lambda core=core: becomes(core, "node-1", "ready"))))  # type: ignore[misc]
    assert counted[0] == counted[1]


async def test_a_service_that_says_its_whole_set_again_pays_for_what_is_new_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    monkeypatch.setattr(services.checks, "validate", lambda member, *_, **__: looked_at.append(member))
    async with master(tmp_path) as made:
        core = made.core
        register(core, "node-1")
        install(core, "s", "a", "b", "c")
        records = {member.name: member.version for member in core.state.ledger.book.members_of("s")}
        looked_at.clear()
        wanted = {m: wire.MemberWanted(declaration=declaration(), start=True) for m in "abc"}
        wanted["b"] = wire.MemberWanted(declaration=declaration("run", "more"), start=True)
        core.post(lambda tx: services.declare(tx, "s", wire.Declare(members=wanted)))
        written = {m.name for m in core.state.ledger.book.members_of("s") if m.version != records[m.name]}
        assert (looked_at, written) == (["b"], {"b"})


def heartbeat(core: Driver) -> None:
    core.post(lambda tx: tx.substrate(core.substrate.agent_heard("node-1", tx.now_s)))  # type: ignore[attr-defined]


# -- what follows from the state, after a restart too ---------------------------------------------------------------


def recorded(folder: Path, *records: ledger.Record, **own: Any) -> None:
    """What a master left behind that died between two writes."""
    DataFolder(folder).root.mkdir(parents=True, exist_ok=True)
    store = SqliteStore(DataFolder(folder).database)
    changes = [Put(LEDGER_PREFIX + ledger.kind_of(each), each.key, ledger.encode(each)) for each in records]
    store.commit([*changes, *(Put(kind, each.name, msgspec.json.encode(each)) for kind, each in own.items())])
    store.close()


def uninstalled(created_at: float) -> tuple[ledger.Operation, r.ServiceRecord]:
    operation = ledger.Operation(
        id="op-1",
        kind="uninstall",
        class_="voluntary",
        target=ledger.Target(service="s"),
        reason="",
        asked_by="ann",
        state="done",
        proposed_wall_s=100.0,
        version=1,
    )
    service = r.ServiceRecord(
        name="s", package="package", version="1", revision=1, options={}, created_at=created_at, asked_by="ann"
    )
    return operation, service


async def test_an_uninstall_whose_last_write_was_lost_is_finished_at_the_start(tmp_path: Path) -> None:
    operation, service = uninstalled(created_at=50.0)
    recorded(tmp_path, operation, service=service)
    async with master(tmp_path) as made:
        assert made.core.state.services == {}
    async with master(tmp_path) as made:
        assert made.core.store.load(r.SERVICE) == []


async def test_an_uninstall_of_an_earlier_life_takes_nothing_away(tmp_path: Path) -> None:
    operation, service = uninstalled(created_at=150.0)
    recorded(tmp_path, operation, service=service)
    async with master(tmp_path) as made:
        assert list(made.core.state.services) == ["s"]


async def test_what_was_changed_before_a_refusal_has_its_consequences(tmp_path: Path) -> None:
    async with master(tmp_path) as made:
        core = made.core
        register(core, "node-1")
        install(core, "s")
        becomes(core, "node-1", "ready")
        ask = given.Propose(kind="uninstall", service="s", asked_by="ann", force=True, reason="x")
        core.post(lambda tx: tx.ledger(ask))

        def work(tx: Transaction) -> None:
            ended = agent_wire.TaskStatus(task="s.m.1", state="ended", generation=1)
            tx.substrate(core.substrate.agent("node-1", agent_wire.Status(number=2, status=ended), tx.now_s))  # type: ignore[attr-defined]
            raise Invalid("something else is wrong")

        with pytest.raises(Invalid):
            core.post(work)
        assert core.state.services == {}


async def test_proof_of_death_is_asked_for_when_a_loss_waits_for_it(tmp_path: Path) -> None:
    async with master(tmp_path) as made:
        core, asked = made.core, list[str]()
        core.prove = asked.append
        passed_s = 0.0
        monotonic, wall = core.monotonic, core.wall
        core.monotonic, core.wall = lambda: monotonic() + passed_s, lambda: wall() + passed_s
        register(core, "node-1")
        policy = wire.Policy(replace_after_s=90.0)
        install(core, "s")
        member = {"m": wire.MemberWanted(declaration=declaration(), start=True)}
        core.post(lambda tx: services.declare(tx, "s", wire.Declare(members=member, policy=policy)))
        becomes(core, "node-1", "ready")
        for _ in range(30):
            await core.durable()
            assert not asked, "silence alone is no reason to end what runs"
            passed_s += 3.0
            tick(core)
        for _ in range(10):
            passed_s += 3.0
            tick(core)
        await core.durable()
        assert asked
        assert set(asked) == {"node-1"}


def tick(core: Driver) -> None:
    def work(tx: Transaction) -> None:
        tx.substrate(core.substrate.tick(tx.now_s))
        tx.ledger(given.Tick())

    core.post(work)


# -- launches that wait for a name ----------------------------------------------------------------------------------


def sent_by(core: Driver) -> list[str]:
    """Tasks that agents are told to launch, from now on."""
    found: list[str] = []

    def send(send: Send) -> None:
        if isinstance(send.message, agent_wire.Launch):
            found.append(send.message.task)

    core.listener.send = send  # type: ignore[method-assign]
    return found


async def test_a_launch_goes_on_when_the_endpoint_that_it_names_appears(tmp_path: Path) -> None:
    async with master(tmp_path) as made:
        core = made.core
        sent = sent_by(core)
        register(core, "node-1")
        install(core, "s", like=declaration("run", "{{endpoint.other.api}}"))
        install(core, "other", like=declaration(ports=(Port(name="http", number=80),)))
        await core.durable()
        assert sent == ["other.m.1"]
        assert made.views.task("s.m").reason == "waits for endpoint.other.api"
        endpoint = wire.Endpoint(name="api", port="http", members=("m",))
        core.post(lambda tx: services.set_endpoints(tx, "other", wire.Endpoints(endpoints=(endpoint,))))
        await core.durable()
        assert sent == ["other.m.1", "s.m.1"]


async def test_a_launch_goes_on_when_the_service_behind_an_endpoint_has_its_place(tmp_path: Path) -> None:
    async with master(tmp_path) as made:
        core = made.core
        sent = sent_by(core)
        register(core, "node-1")
        install(core, "s", like=declaration("run", "{{endpoint.other.api}}"))
        big = Declaration(command=("run",), resources=Resources(memory_mib=8192), ports=(Port(name="http", number=80),))
        install(core, "other", like=big)
        endpoint = wire.Endpoint(name="api", port="http", members=("m",))
        core.post(lambda tx: services.set_endpoints(tx, "other", wire.Endpoints(endpoints=(endpoint,))))
        await core.durable()
        assert sent == []
        message = agent_wire.Register(
            node="node-2", wire=WIRE, boot="1", cpus=4, memory_mib=9000, disk_mib=4096, attributes={}
        )
        hear(core, "node-2", message)
        await core.durable()
        assert sorted(sent) == ["other.m.1", "s.m.1"]


async def test_a_launch_goes_on_when_its_secret_is_there(tmp_path: Path) -> None:
    async with master(tmp_path) as made:
        core = made.core
        sent = sent_by(core)
        register(core, "node-1")
        install(core, "s", like=declaration(secrets=(Secret(name="password", ref="s.token"),)))
        await core.durable()
        assert sent == []
        DataFolder(tmp_path).secret_values.mkdir(parents=True, exist_ok=True)
        Secrets(DataFolder(tmp_path).secret_values).put("s.token", "x")

        def told(tx: Transaction) -> None:
            tx.changed.names[SECRETS] = None

        core.post(told)
        await core.durable()
        assert sent == ["s.m.1"]


# -- what people see after a restart of the master ------------------------------------------------------------------


async def test_a_node_that_has_not_registered_again_is_listed_as_silent(tmp_path: Path) -> None:
    async with master(tmp_path) as made:
        register(made.core, "node-1")
        register(made.core, "node-2")
    async with master(tmp_path) as made:
        register(made.core, "node-2")
        first, second = made.views.nodes()
        assert (first.name, first.state, first.zone, first.memory_mib) == ("node-1", "silent", "a", 4096)
        assert "not registered yet" in first.reason
        assert (second.name, second.state) == ("node-2", "up")
        register(made.core, "node-1")
        assert [node.state for node in made.views.nodes()] == ["up", "up"]


async def test_since_when_a_member_is_as_it_is_outlives_the_master(tmp_path: Path) -> None:
    async with master(tmp_path) as made:
        core = made.core
        register(core, "node-1")
        install(core, "s")
        becomes(core, "node-1", "ready")
        since = made.views.task("s.m").since
        assert since > 0
    async with master(tmp_path) as made:
        core, wall = made.core, made.core.wall
        core.wall = lambda: wall() + 1000
        register(core, "node-1", m="ready")
        assert (made.views.task("s.m").state, made.views.task("s.m").since) == ("ready", since)
        becomes(core, "node-1", "unready")
        assert made.views.task("s.m").since > since + 900


async def test_what_a_removed_service_was_seen_as_is_forgotten(tmp_path: Path) -> None:
    async with master(tmp_path) as made:
        core = made.core
        register(core, "node-1")
        install(core, "s")
        becomes(core, "node-1", "ready")
        ask = given.Propose(kind="uninstall", service="s", asked_by="ann", force=True, reason="x")
        core.post(lambda tx: tx.ledger(ask))
        becomes(core, "node-1", "ended")
        await core.durable()
        assert core.state.services == {}
        assert core.store.load(r.SEEN) == []
