"""What was acknowledged survives everything: SIGKILL of all, of the master in a loop, `down`, silence, deletion."""

import contextlib
import json
import os
import shutil
import signal
import threading
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from real_cluster import WAIT_S, Cluster

from live_files import content, files
from upcall.protocol.errors import Conflict, NotFound
from upcall.protocol.operator import Ask, Drain, Install, TaskView

COUNTER = str(Path(__file__).parent / "packages" / "counter.py")
HELLO = str(Path(__file__).parents[2] / "examples" / "hello.py")
MEMBERS = ("counter.member-0", "counter.member-1")
SECRET = "the-word-that-nobody-says"
REPLACE_AFTER_S = 90
KILLS, INSTALLS, ROUNDS_MAX = 3, 4, 500

T = TypeVar("T")


@pytest.fixture(scope="module")
def counter(cluster: Cluster) -> Cluster:
    cluster.client.call("PUT", "/v1/secrets/counter.key", {"value": SECRET})
    cluster.upcall("install", COUNTER)
    return cluster


def served(task: TaskView, name: str = "starts") -> str:
    with urllib.request.urlopen(f"http://{task.address}:{task.ports['http']}/{name}", timeout=60) as response:
        return str(response.read().decode())


def starts(cluster: Cluster) -> dict[str, list[str]]:
    return {task.member: served(task).split() for task in cluster.until_ready(*MEMBERS)}


# -- secrets --------------------------------------------------------------------------------------------------------


def test_a_secret_reaches_its_task_and_nothing_else(counter: Cluster) -> None:
    (task, *_) = counter.until_ready(*MEMBERS)
    assert served(task, "seen") == SECRET
    said = json.dumps([event.model_dump() for event in counter.client.events(limit=10_000)])
    assert SECRET not in said
    assert SECRET not in json.dumps(counter.client.get("/v1/status"))
    logs = files(counter.data, "*.log*")
    assert logs
    assert not [path for path in logs if SECRET.encode() in content(path)]
    for pid in counter.all_processes():
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                assert SECRET.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    for path in counter.data.joinpath("master").iterdir():
        assert SECRET.encode() not in path.read_bytes(), f"{path.name} holds the secret's value"


def test_what_is_secret_is_readable_by_its_owner_only(counter: Cluster) -> None:
    secrets = [path for path in files(counter.data) if "secrets" in path.parts]
    assert {path.name for path in secrets} >= {"operator.token", "host.token", "counter.key", "key"}
    assert {oct(path.stat().st_mode & 0o777) for path in secrets} == {"0o600"}
    assert counter.data.stat().st_mode & 0o077 == 0


# -- killed ---------------------------------------------------------------------------------------------------------


def test_everything_killed_at_once_comes_back_together_with_its_volumes(counter: Cluster) -> None:
    before, services = starts(counter), [one.name for one in counter.client.services()]
    counter.kill_everything()
    counter.upcall("up")
    assert [one.name for one in counter.client.services()] == services
    after = starts(counter)
    assert {member: lines[:-1] for member, lines in after.items()} == before
    counter.until("the service runs", lambda: counter.client.service("counter").state == "running")


def test_down_and_up_keep_services_volumes_and_places(counter: Cluster) -> None:
    before, places = starts(counter), {task.member: task.node for task in counter.until_ready(*MEMBERS)}
    counter.down()
    counter.until_no_process()
    counter.upcall("up")
    after = starts(counter)
    assert {member: lines[:-1] for member, lines in after.items()} == before
    assert {task.member: task.node for task in counter.until_ready(*MEMBERS)} == places


def test_acknowledged_operations_survive_a_master_that_is_killed_again_and_again(counter: Cluster) -> None:
    counter.upcall("install", HELLO, "--no-wait")
    counter.until_ready("hello.web-0", "hello.web-1")
    stop = threading.Event()
    kills: list[str] = []

    def kill() -> None:
        # Few enough that the keeper, which waits ever longer, still starts it soon.
        while len(kills) < KILLS and not stop.wait(1.0):
            with contextlib.suppress(KeyError, OSError, json.JSONDecodeError):
                kills.append(counter.kill("master"))  # type: ignore[arg-type]

    def surely(work: Callable[[], T]) -> T:
        """An answer that came; whether an unanswered call was heard is not known, so it is asked again."""
        return counter.client.patient(work, WAIT_S)

    installed: set[str] = set()
    drains: list[str] = []
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for number in range(ROUNDS_MAX):
            if len(kills) >= KILLS and number >= INSTALLS:
                break
            name = f"extra-{number % INSTALLS}"
            with contextlib.suppress(Conflict):  # a call before, whose answer was lost, had been heard
                surely(partial(counter.client.post, "/v1/services", Install(package="hello", name=name)))
            installed.add(name)
            try:
                drain = surely(lambda: counter.client.operation_of("/v1/nodes/node-3/drain", Drain(window_s=600)))
            except Conflict:  # as above: it is drained already
                drain = next(one for one in surely(counter.client.operations) if one.target == "node-3")
            drains.append(drain.id)
            with contextlib.suppress(NotFound):  # as above: it is no longer drained
                surely(lambda: counter.client.operation_of("/v1/nodes/node-3/undrain", Ask()))
    finally:
        stop.set()
        killer.join()
    assert len(kills) >= KILLS
    assert {one.name for one in surely(counter.client.services)} >= {*installed, "counter", "hello"}
    for drain_id in drains:
        found = counter.client.operation(drain_id)
        assert found.kind == "maintenance"
        counter.until(f"{drain_id} is lifted", lambda found=found: counter.client.operation(found.id).state == "lifted")  # type: ignore[misc]
    numbers = [event.sequence for event in counter.client.events(since=0, limit=10_000)]
    assert numbers == sorted(set(numbers))
    for name in installed:
        counter.until(f"{name} runs", lambda name=name: counter.client.service(name).state == "running")  # type: ignore[misc]
        counter.client.operation_of(f"/v1/services/{name}/uninstall", Ask(force=True, reason="the test is over"))
    counter.until("they are gone", lambda: {one.name for one in counter.client.services()} == {"counter", "hello"})
    counter.upcall("uninstall", "hello")
    starts(counter)


# -- nodes ----------------------------------------------------------------------------------------------------------


def test_a_removed_nodes_members_move_and_an_added_node_takes_members(counter: Cluster) -> None:
    added = counter.upcall("node", "add", "--zone", "b", "--attribute", "disk=fast")
    assert "node-4 is up" in added.stdout
    node = next(one for one in counter.client.nodes() if one.name == "node-4")
    assert (node.zone, node.attributes["disk"]) == ("b", "fast")
    before = {task.member: task for task in counter.until_ready(*MEMBERS)}
    leaving = before[MEMBERS[0]].node
    counter.upcall("node", "remove", leaving)
    after = {task.member: task for task in counter.until_ready(*MEMBERS)}
    assert after[MEMBERS[0]].node != leaving
    assert after[MEMBERS[1]].task == before[MEMBERS[1]].task
    assert served(after[MEMBERS[0]]).split() == [str(after[MEMBERS[0]].incarnation)], "a new place has empty volumes"
    counter.until("the node is gone", lambda: leaving not in {one.name for one in counter.client.nodes()})
    counter.until("its agent is gone", lambda: f"agent-{leaving}" not in counter.processes())
    assert not (counter.data / "secrets" / f"agent-{leaving}.token").exists()
    counter.upcall("node", "add", leaving)


@pytest.mark.long
def test_a_silent_nodes_member_is_replaced_elsewhere_once_it_is_proven_dead(own_cluster: Cluster) -> None:
    """Longer than ``replace_after_s``, which is at least 90 s."""
    own_cluster.up()
    own_cluster.client.call("PUT", "/v1/secrets/counter.key", {"value": SECRET})
    own_cluster.upcall("install", COUNTER, "--set", f"replace_after_s={REPLACE_AFTER_S}")
    before = {task.member: task for task in own_cluster.until_ready(*MEMBERS)}
    lost = before[MEMBERS[0]]
    agent = own_cluster.processes()[f"agent-{lost.node}"]
    stopped_at = time.monotonic()
    os.kill(agent, signal.SIGSTOP)
    try:
        own_cluster.until(
            "the silence is seen",
            lambda: any(one.name == lost.node and one.state == "silent" for one in own_cluster.client.nodes()),
        )
        assert served(lost).split() == ["1"], "silence proves nothing: its task runs on"
        after = own_cluster.until(
            "it is replaced elsewhere",
            lambda: next(
                (task for task in own_cluster.client.tasks() if task.member == MEMBERS[0] and task.state == "ready"
                 and task.node != lost.node),
                None,
            ),
            wait_s=REPLACE_AFTER_S + 2 * WAIT_S,
        )  # fmt: skip
        assert time.monotonic() - stopped_at >= REPLACE_AFTER_S
        assert after.incarnation > lost.incarnation
        assert served(after).split() == [str(after.incarnation)]
        with pytest.raises(OSError):
            served(lost)
        assert own_cluster.task(MEMBERS[1]).task == before[MEMBERS[1]].task
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(agent, signal.SIGCONT)
    own_cluster.until(
        "the node is back",
        lambda: any(one.name == lost.node and one.state == "up" for one in own_cluster.client.nodes()),
    )
    assert own_cluster.task(MEMBERS[0]).task == after.task


# -- deleted --------------------------------------------------------------------------------------------------------


def test_a_data_folder_that_is_deleted_ends_everything(own_cluster: Cluster) -> None:
    own_cluster.up()
    own_cluster.upcall("install", HELLO)
    assert len(own_cluster.all_processes()) >= 6
    # Processes write while it is deleted, so once is not enough.
    while own_cluster.data.exists():
        shutil.rmtree(own_cluster.data, ignore_errors=True)
    own_cluster.until_no_process()
    assert not own_cluster.data.exists()
