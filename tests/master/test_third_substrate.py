"""Machines of another kind are added beside the master, without a change in it: a whole life through its API."""

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import third_substrate
from served_master import Server
from test_service_door import MEMBER, PACKAGE, Stranger

from upcall.cluster.folder import Cluster
from upcall.master import substrates
from upcall.protocol.errors import Invalid
from upcall.substrate.interface import Substrate, TaskId
from upcall.substrate.machines import Machines


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "data", third_substrate.make)
    yield found
    found.stop()


def test_a_service_is_installed_served_and_drained_on_machines_of_a_third_kind(server: Server) -> None:
    nodes = server.call("GET", "/v1/nodes").json()
    assert [(node["name"], node["state"], node["features"]) for node in nodes] == [
        ("there-1", "up", ["elsewhere"]),
        ("there-2", "up", ["elsewhere"]),
    ]
    assert server.call("PUT", "/v1/packages/log/1", PACKAGE, principal="host").status == 200
    assert server.call("POST", "/v1/services", {"package": "log", "name": "log"}).status == 200
    expert = Stranger(server)
    status, said = expert.call("PUT", "members", {"members": {"m-0": MEMBER}, "policy": {"minimum": 0}})
    assert status == 200, said
    running = task(server, lambda one: one["state"] == "ready")
    assert (running["node"], running["address"], running["cpu_used"]) == ("there-1", "10.1.1.1", 0.5)
    assert (running["ended"], running["exit_code"]) == (0, None), "what never ended is not told as ended"

    # What machines give beside the task.
    assert server.call("GET", "/v1/tasks/log.m-0/logs").body == b"both of log.m-0.1 on there-1\n"
    status, said = expert.call("POST", "run", {"member": "m-0", "command": ["nodetool", "status"]})
    assert (status, said["output"]) == (200, "nodetool status beside log.m-0.1 on there-1")
    refused = server.call("POST", "/v1/nodes", {"name": "there-3"})
    assert (refused.status, refused.json()["message"]) == (409, "these machines are somebody else's")
    assert server.call("GET", "/v1/volumes").json() == []

    # A drain is asked, and the member comes up elsewhere.
    whole = server.call("GET", "/v1/status").json()
    assert whole["cpus"] == sum(one["cpus"] for one in whole["nodes"]), "machines of their own"
    drained = server.call("POST", "/v1/nodes/there-1/drain", {"reason": "a new fan"})
    assert drained.status == 200, drained.body
    answer(expert)
    moved = task(server, lambda one: one["state"] == "ready" and one["node"] == "there-2")
    assert moved["incarnation"] == 2
    until(lambda: server.call("GET", f"/v1/operations/{drained.json()['id']}").json()["state"] == "done")

    # So is a node that its owner has closed for what is new, also for himself.
    machines = server.master.machines
    assert isinstance(machines, third_substrate.Elsewhere)
    for closed, shown in (("by its owner", ("cordoned", "by its owner")), ("", ("up", ""))):
        server.in_loop(lambda closed=closed: machines.close_to_others("there-2", closed))
        (node,) = [one for one in server.call("GET", "/v1/nodes").json() if one["name"] == "there-2"]
        assert (node["state"], node["reason"]) == shown

    # What others do to a task is observed, with its reason.
    server.in_loop(lambda: machines.crash(TaskId("log", "m-0", 2)))
    again = task(server, lambda one: one["incarnation"] == 3 and one["state"] == "ready")
    assert (again["exit_code"], again["exit_reason"]) == (3, "the rack caught fire")
    assert again["ended"] == 2, "it is said which one that was, and when"
    assert again["since"] >= again["ended_at"] > 0
    expert.events.close()


def answer(expert: Stranger) -> None:
    """Its code accepts what it is asked."""
    for event in expert.events:
        if event["type"] == "operations" and event["operations"]:
            verdicts = [{"operation": one["id"], "verdict": "accept"} for one in event["operations"]]
            status, said = expert.call("POST", "answers", {"epoch": event["epoch"], "answers": verdicts})
            if status == 200:
                return
            assert said["code"] == "stale", said


def task(server: Server, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found[:] = server.call("GET", "/v1/tasks?service=log").json()
        return bool(found) and holds(found[0])

    until(look)
    return found[0]


def until(holds: Callable[[], bool]) -> None:
    import time

    end = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_each_implements_both_interfaces() -> None:
    """Checked by mypy where it is assigned; by name here, so that nothing of either is forgotten."""
    for interface, made in (
        (Substrate, third_substrate.ElsewhereSubstrate),
        (Machines, third_substrate.Elsewhere),
    ):
        wanted = {name for name in vars(interface) if not name.startswith("_")}
        assert not wanted - {name for name in dir(made) if not name.startswith("_")}


CLUSTER = Cluster(cluster="c", prefix="127.9.9", url="http://127.9.9.1:1")


def test_machines_are_found_by_the_name_in_the_clusters_file(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = importlib.metadata.EntryPoints(
        [
            importlib.metadata.EntryPoint("elsewhere", "third_substrate:make", substrates.GROUP),
            importlib.metadata.EntryPoint("nowhere", "no_such_module:make", substrates.GROUP),
        ]
    )
    monkeypatch.setattr(substrates, "entry_points", lambda group: offered)
    assert substrates.chosen(CLUSTER).__module__ == "upcall.local.machines"
    kubernetes = msgspec.structs.replace(CLUSTER, substrate="kubernetes")
    assert substrates.chosen(kubernetes).__module__ == "upcall.kubernetes.machines"
    assert substrates.chosen(msgspec.structs.replace(CLUSTER, substrate="elsewhere")) is third_substrate.make
    with pytest.raises(Invalid, match=r"machines 'nowhere' cannot be loaded: ModuleNotFoundError"):
        substrates.chosen(msgspec.structs.replace(CLUSTER, substrate="nowhere"))
    with pytest.raises(Invalid, match=r"offers machines 'mars'.*one of elsewhere, kubernetes, local, nowhere"):
        substrates.chosen(msgspec.structs.replace(CLUSTER, substrate="mars"))


def test_what_the_interface_names_is_read_by_somebody() -> None:
    """A capability, or a method, that nobody reads promises something that nobody tests."""
    from upcall.substrate import interface, machines

    root = Path(sys.modules["upcall"].__path__[0]) / "master"
    source = "\n".join(path.read_text() for path in root.glob("*.py"))
    names = set(interface.Capabilities.__struct_fields__)
    for one in (interface.Substrate, machines.Machines):
        names |= {name for name in vars(one) if not name.startswith("_")}
    assert {name for name in names if f".{name}" not in source} == set()
