"""The keeper of a real cluster is killed at any moment: it comes back by itself, no task notices, and what a command
says of it is true."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from real_cluster import Cluster

from upcall.cli import keeping
from upcall.client.folder import folder_at
from upcall.keeper.identity import Identity

pytestmark = pytest.mark.root

HELLO = Path(__file__).parents[2] / "examples" / "hello.py"
MEMBERS = ("hello.web-0", "hello.web-1")
STAND_BY = ("master", "agent-node-1", "agent-node-2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster").resolve() / "data", nodes=2)
    made.up()
    yield made
    keeping.end(folder_at(made.data))
    assert made.all_processes() == []


@pytest.fixture
def running(cluster: Cluster) -> Cluster:
    """Up and whole, with a service of two members, whatever the test before has left."""
    if not keeping.running(folder_at(cluster.data)):
        cluster.upcall("up")
    if not any(one.name == "hello" for one in cluster.client.services()):
        cluster.upcall("install", str(HELLO), "--set", "count=2")
    cluster.until_ready(*MEMBERS)
    until_stood_by(cluster)
    return cluster


def status(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cluster.data / "keeper" / "status.json").read_bytes())
    return found


def keeper(cluster: Cluster) -> Identity:
    return Identity.from_json(status(cluster)["supervisor"])


def until_stood_by(cluster: Cluster) -> None:
    def look() -> bool:
        listed: list[dict[str, Any]] = status(cluster)["processes"]
        return {str(one["name"]) for one in listed if one["stands_by"]} == set(STAND_BY)

    cluster.until("all that are to stand by do", look)


def tasks(cluster: Cluster) -> dict[str, tuple[Identity, Identity]]:
    """Each task that runs: its process and what holds it."""
    found = {}
    for path in cluster.data.glob("nodes/*/tasks/*/running.json"):
        said = json.loads(path.read_bytes())
        both = Identity.from_json(said["task"]), Identity.from_json(said["shim"])
        if all(one.alive() for one in both):
            found[path.parent.name] = both
    return found


def killed(cluster: Cluster, *names: str) -> Identity:
    """The keeper, together with these: it cannot notice their death before its own."""
    dying, pids = keeper(cluster), cluster.processes()
    dying.send(signal.SIGSTOP)
    for name in names:
        os.kill(pids[name], signal.SIGKILL)
    dying.send(signal.SIGKILL)
    cluster.until("the keeper is dead", lambda: not dying.alive())
    return dying


@pytest.mark.parametrize("names", [(), ("master",), ("master", "host"), ("agent-node-1", "agent-node-2")])
def test_a_killed_keeper_comes_back_by_itself_and_no_task_notices(running: Cluster, names: tuple[str, ...]) -> None:
    before, ours = tasks(running), set(running.processes().values())
    assert len(before) == len(MEMBERS)
    dead = killed(running, *names)
    next_keeper(running, dead)
    until_stood_by(running)
    running.until("all of ours are new", lambda: len(set(running.processes().values()) - ours) == len(ours))
    running.until_ready(*MEMBERS)
    assert tasks(running) == before
    assert not set(running.all_processes()) & ours


def test_a_keeper_that_dies_again_and_again_gives_nobody_the_page(running: Cluster) -> None:
    before = tasks(running)
    page = urlsplit(json.loads((running.data / "cluster.json").read_bytes())["page_url"])
    address = (page.hostname or "", page.port or 0)
    dead = keeper(running)
    for _ in range(3):
        dead.send(signal.SIGKILL)
        with socket.socket() as mine:
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                mine.bind(address)
        dead = next_keeper(running, dead)
    until_stood_by(running)
    running.until_ready(*MEMBERS)
    assert tasks(running) == before


def test_when_all_that_stand_by_die_with_it_commands_say_so_and_up_keeps_it_again(running: Cluster) -> None:
    before, certificate = tasks(running), (running.data / "api.crt").read_bytes()
    killed(running, *STAND_BY)
    said = running.refused("status")
    assert f"nothing keeps the cluster at {running.data} any more" in said
    assert "2 tasks of its services run on; `upcall up` keeps them again, `upcall down` ends them" in said
    running.upcall("up")
    running.until_ready(*MEMBERS)
    assert (tasks(running), (running.data / "api.crt").read_bytes()) == (before, certificate)


def test_down_ends_services_in_their_order_though_the_keeper_dies_meanwhile(running: Cluster) -> None:
    """The tasks are held, so that it dies while they end."""
    ending = [task for task, _ in tasks(running).values()]
    for task in ending:
        task.send(signal.SIGSTOP)
    going = running.begin("down")
    running.until("they are told to end", lambda: any(one.state == "ending" for one in running.client.tasks()))
    dead = keeper(running)
    dead.send(signal.SIGKILL)
    next_keeper(running, dead)
    for task in ending:
        task.send(signal.SIGCONT)
    out, errors = going.communicate()
    assert going.returncode == 0, out + errors
    running.until_no_process()
    assert "no cluster is up" in running.refused("status")


def test_down_ends_our_own_processes_though_the_keeper_dies_as_it_ends_them(running: Cluster) -> None:
    pids = running.processes()
    os.kill(pids["host"], signal.SIGSTOP)  # so that it has to wait for it
    going = running.begin("down")
    until = running.data / "keeper" / "ending.json"
    running.until("our own processes are to end", until.exists)
    keeper(running).send(signal.SIGKILL)
    out, errors = going.communicate()
    assert going.returncode == 0, out + errors
    running.until_no_process()


def next_keeper(cluster: Cluster, before: Identity) -> Identity:
    def look() -> Identity | None:
        found = keeper(cluster)
        return found if found != before else None

    return cluster.until("another keeper keeps it", look)
