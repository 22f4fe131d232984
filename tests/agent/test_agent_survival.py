"""What outlives what: the agent, its launcher, a shim and the master are killed, and tasks are not."""

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path

from agent_node import Master, Node, eventually

from upcall.keeper import processes, records
from upcall.keeper.identity import Identity, stat_of
from upcall.protocol.agent import Register, RegisterAgain, Run
from upcall.protocol.declaration import Check, Volume


async def test_a_new_agent_takes_over_what_runs(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sleep", "1000")
    await master.state("app.main.1", "ready")
    pid = node.running("app.main.1")["task"]["pid"]
    await node.kill()
    await node.start()
    register = await master.registered(2)
    assert [(task.task, task.state) for task in register.tasks] == [("app.main.1", "ready")]
    ended = await node.end("app.main.1")
    assert ended.exit is not None
    assert ended.exit.signal == 15
    assert node.running("app.main.1")["task"]["pid"] == pid


async def test_a_task_that_ended_while_no_agent_ran_is_reported_with_its_code(node: Node, master: Master) -> None:
    gate = node.shared / "gate"
    os.mkfifo(gate)
    await node.launch("app.main.1", "sh", "-c", f"read x < '{gate}'; exit 42")
    await master.state("app.main.1", "ready")
    await node.kill()
    await asyncio.to_thread(gate.write_text, "go\n")
    exit_record = str(node.places.task("app.main.1") / records.EXIT)
    await eventually(lambda: records.read(exit_record), "the task ended")
    await node.start()
    register = await master.registered(2)
    assert register.tasks[0].state == "ended"
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.code == 42


async def test_an_end_that_was_begun_is_finished_by_the_next_agent(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sh", "-c", "trap '' TERM; echo on; while true; do sleep 1000; done",
                      ready=Check(log="^on$"))  # fmt: skip
    await master.state("app.main.1", "ready")
    ending = asyncio.create_task(node.end("app.main.1", grace_s=3.0))
    await master.state("app.main.1", "ending")
    await node.kill()
    await node.start()
    ended = await ending
    assert ended.exit is not None
    assert ended.exit.signal == 9


async def test_a_terminated_agent_leaves_its_tasks_alone(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sleep", "1000")
    await master.state("app.main.1", "ready")
    assert await node.stop() == 0
    assert Identity.from_json(node.running("app.main.1")["task"]).alive()


async def test_the_launcher_is_started_again_and_its_tasks_live_on(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sleep", "1000")
    await master.state("app.main.1", "ready")
    shim = Identity.from_json(node.running("app.main.1")["shim"])
    stat = stat_of(shim.pid)
    assert stat is not None
    os.kill(stat.parent, signal.SIGKILL)
    await node.launch("app.other.1", "sleep", "1000")
    await master.state("app.other.1", "ready")
    assert shim.alive()
    assert (await node.end("app.main.1")).exit is not None


async def test_a_dead_launcher_is_started_again_without_being_asked(node: Node, master: Master) -> None:
    (launcher,) = [stat for stat in node.left() if processes.marks(stat.pid)[1] == "" and is_launcher(stat.pid)]
    os.kill(launcher.pid, signal.SIGKILL)
    await eventually(
        lambda: [stat for stat in node.left() if is_launcher(stat.pid) and stat.pid != launcher.pid], "a new launcher"
    )


def is_launcher(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text() == "upcall-launcher\n"
    return False


async def test_a_dead_shim_ends_its_task_with_all_descendants_and_is_reported(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sh", "-c", "setsid sleep 1000 & echo $!; wait", ready=Check(log=r"^\d+$"))
    await master.state("app.main.1", "ready")
    child = Identity.of(int(node.output("app.main.1")))
    assert child is not None
    Identity.from_json(node.running("app.main.1")["shim"]).send(signal.SIGKILL)
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.reason == "its shim was killed, and the task with it"
    assert not child.alive()


async def test_a_shim_that_died_while_no_agent_ran_is_reported(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sh", "-c", "sleep 1000 & echo $!; wait", ready=Check(log=r"^\d+$"))
    await master.state("app.main.1", "ready")
    child = Identity.of(int(node.output("app.main.1")))
    assert child is not None
    await node.kill()
    Identity.from_json(node.running("app.main.1")["shim"]).send(signal.SIGKILL)
    await node.start()
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert "shim was killed" in ended.exit.reason
    assert not child.alive()


async def test_tasks_run_on_while_the_master_is_down_and_are_told_of_afterwards(node: Node, master: Master) -> None:
    gate = node.shared / "gate"
    os.mkfifo(gate)
    await node.launch("app.main.1", "sleep", "1000")
    await node.launch("app.other.1", "sh", "-c", f"read x < '{gate}'; exit 9")
    await master.state("app.main.1", "ready")
    await master.state("app.other.1", "ready")
    await master.stop()
    await asyncio.to_thread(gate.write_text, "go\n")
    exit_record = str(node.places.task("app.other.1") / records.EXIT)
    await eventually(lambda: records.read(exit_record), "the task ended")
    master.forget()
    await master.start()
    ended = await master.state("app.other.1", "ended")
    assert ended.exit is not None
    assert ended.exit.code == 9
    assert Identity.from_json(node.running("app.main.1")["task"]).alive()


async def test_what_is_not_acknowledged_is_said_again(node: Node, master: Master) -> None:
    master.acknowledges = False
    await node.launch("app.main.1", "sh", "-c", "exit 5")
    await master.state("app.main.1", "ended")
    await node.kill()
    master.forget()
    await node.start()
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.code == 5


async def test_what_no_launch_names_is_ended_after_synced(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sleep", "1000")
    await node.launch("app.other.1", "sleep", "1000")
    await master.state("app.main.1", "ready")
    await master.state("app.other.1", "ready")
    await master.stop()
    del master.launches["app.main.1"]
    master.forget()
    await master.start()
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.reason == "the master does not want it any more"
    assert Identity.from_json(node.running("app.other.1")["task"]).alive()


async def test_everything_ends_itself_when_the_data_folder_is_deleted(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sh", "-c", "setsid sleep 1000 & wait", volumes=(Volume(name="data", size_mib=1),))
    await master.state("app.main.1", "ready")
    while node.data.exists():  # Somebody may be writing into it until he notices.
        shutil.rmtree(node.data, ignore_errors=True)
    assert node.process is not None
    async with asyncio.timeout(180):
        assert await node.process.wait() == 3
    await eventually(lambda: not node.left(), "nothing is left")


async def test_a_tool_does_not_outlive_the_agent_that_ran_it(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sleep", "1000")
    await master.state("app.main.1", "ready")
    await master.send(Run(request="r1", task="app.main.1", command=("sleep", "1000")))
    runs = await eventually(lambda: list(node.places.runs.glob("*/running.json")), "the tool runs")
    running = records.read(str(runs[0]))
    assert running is not None
    await node.kill()
    await node.start()
    await master.registered(2)
    assert not Identity.from_json(running["task"]).alive()
    assert list(node.places.runs.iterdir()) == []


async def test_a_second_agent_on_the_same_node_refuses(node: Node, master: Master) -> None:
    second = await asyncio.create_subprocess_exec(*node.command(), stderr=asyncio.subprocess.PIPE)
    _, errors = await second.communicate()
    assert second.returncode == 2
    assert b"another agent serves this node already" in errors
    assert len(master.of(Register)) == 1


async def test_an_agent_that_is_asked_says_all_again_on_the_connection_that_it_has(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sleep", "1000")
    await master.state("app.main.1", "ready")
    before = master._socket
    await master.send(RegisterAgain())
    register = await master.registered(2)
    assert [(task.task, task.state) for task in register.tasks] == [("app.main.1", "ready")]
    assert master._socket is before
    ended = await node.end("app.main.1")
    assert ended.exit is not None
    assert ended.exit.signal == 15
