"""Volumes, tools, logs, limits, usage and blobs of real tasks."""

import sys
from pathlib import Path
from typing import Any

import pytest
from agent_node import Master, Node, eventually

from upcall.agent import cgroups
from upcall.protocol.agent import DeleteVolumes, ReadLog, Run, StopReading, TaskExit, TaskUsage, Usage
from upcall.protocol.declaration import Check, File, Resources, Secret, Volume

pytestmark = pytest.mark.root

DATA = (Volume(name="data", size_mib=10),)


async def done(node: Node, master: Master, task: str) -> None:
    ended = await master.state(task, "ended")
    assert ended.exit is not None
    assert ended.exit.code == 0, (ended, node.output(task, "stderr"))


async def test_a_volume_stays_with_the_member_and_is_prepared_once(node: Node, master: Master) -> None:
    declared: dict[str, Any] = {
        "volumes": DATA,
        "prepare": (("sh", "-c", 'echo prepared >> "$0/state"', "{{volume.data}}"),),
    }
    command = ("sh", "-c", 'echo "$1" >> "$0/state"; cat "$0/state"', "{{volume.data}}", "{{incarnation}}")
    await node.launch("db.main.1", *command, **declared)
    await done(node, master, "db.main.1")
    await node.launch("db.main.2", *command, **declared)
    await done(node, master, "db.main.2")
    assert node.output("db.main.2") == "prepared\n1\n2\n"


async def test_a_new_place_has_fresh_volumes_and_the_old_ones_are_kept_apart(node: Node, master: Master) -> None:
    command = ("sh", "-c", 'ls "$0"; touch "$0/$1"', "{{volume.data}}", "{{incarnation}}")
    await node.launch("db.main.1", *command, volumes=DATA)
    await done(node, master, "db.main.1")
    await node.launch("db.main.2", *command, volumes=DATA, fence=2)
    await done(node, master, "db.main.2")
    assert node.output("db.main.2") == ""
    await node.kill()
    await node.start()
    register = await master.registered(2)
    assert [(volume.member_id, volume.name, volume.fence) for volume in register.volumes] == [
        ("db.main", "data", 1),
        ("db.main", "data", 2),
    ]
    await master.send(DeleteVolumes(member_id="db.main", fence=1))
    volumes = node.places.volumes / "db.main"
    await eventually(lambda: [folder.name for folder in volumes.iterdir()] == ["2"], "the old place is deleted")


async def test_who_was_ready_with_its_data_is_not_started_without_it(node: Node, master: Master) -> None:
    """An agent that takes the task over marks no volume that was emptied meanwhile."""
    volumes = (Volume(name="data", size_mib=1, holds_data=True),)
    folder = node.places.volumes / "db.main" / "1" / "data"
    script = "touch '{{volume.data}}/rows'; echo written; exec sleep 1000"
    await node.launch("db.main.1", "sh", "-c", script, volumes=volumes, ready=Check(log="written"))
    await master.state("db.main.1", "ready")
    await eventually(lambda: (node.places.served / "db.main" / "1").exists(), "its volume is marked")
    for entry in folder.iterdir():
        entry.unlink()
    await node.kill()
    await node.start()
    await master.registered(2)
    await node.end("db.main.1")
    await node.launch("db.main.2", "touch", "{{volume.data}}/began", volumes=volumes)
    ended = await master.state("db.main.2", "ended")
    assert ended.exit is not None
    assert ended.exit.not_started
    assert ended.exit.without_data
    assert "not started without what it served with" in ended.exit.reason
    assert list(folder.iterdir()) == []
    await node.launch("db.main.3", "sleep", "1000", volumes=volumes, fence=2)
    await master.state("db.main.3", "ready")


async def test_a_half_prepared_volume_is_wiped_and_prepared_again(node: Node, master: Master) -> None:
    gate = node.shared / "gate"
    script = 'ls "$0"; touch "$0/half"; until [ -e "$1" ]; do sleep 0.1; done; touch "$0/whole"'
    prepare = (("sh", "-c", script, "{{volume.data}}", str(gate)),)
    await node.launch("db.main.1", "ls", "{{volume.data}}", volumes=DATA, prepare=prepare)
    half = node.places.volumes / "db.main" / "1" / "data" / "half"
    await eventually(half.exists, "the preparation began")
    await node.kill()
    half.with_name("rubbish").touch()
    gate.touch()
    await node.start()
    await done(node, master, "db.main.1")
    assert node.output("db.main.1") == "half\nwhole\n"


async def test_a_preparation_that_fails_fails_the_launch_and_says_why(node: Node, master: Master) -> None:
    prepare = (("sh", "-c", "echo no quorum >&2; exit 4"),)
    await node.launch("db.main.1", "true", volumes=DATA, prepare=prepare)
    ended = await master.state("db.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.reason == "preparation 1 of 1 ended with code 4: no quorum"


async def test_a_preparation_that_fails_leaves_all_that_it_wrote_as_the_logs_of_its_task(
    node: Node, master: Master
) -> None:
    script = "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i + 1)); done; echo no quorum >&2; exit 4"
    await node.launch("db.main.1", "true", volumes=DATA, prepare=(("sh", "-c", script),))
    await master.state("db.main.1", "ended")
    await master.send(ReadLog(request="all", task="db.main.1", stream="both", lines=1000))
    await master.reply("all")
    assert master.output("all").splitlines() == [*(f"line {i}" for i in range(200)), "no quorum"]


async def test_a_preparation_that_is_ended_leaves_what_it_wrote(node: Node, master: Master) -> None:
    began = node.shared / "began"
    script = 'echo so far; touch "$0"; sleep 1000'
    await node.launch("db.main.1", "true", volumes=DATA, prepare=(("sh", "-c", script, str(began)),))
    await eventually(began.exists, "the preparation began")
    await node.end("db.main.1")
    await master.send(ReadLog(request="all", task="db.main.1", stream="both"))
    await master.reply("all")
    assert master.output("all") == "so far\n"


async def test_a_member_that_has_written_nothing_yet_has_the_logs_of_the_last_time(node: Node, master: Master) -> None:
    gate = node.shared / "gate"
    await node.launch("app.main.9", "sh", "-c", "echo older")
    await done(node, master, "app.main.9")
    await node.launch("app.main.10", "sh", "-c", "echo newer")
    await done(node, master, "app.main.10")
    wait = ("sh", "-c", 'until [ -e "$0" ]; do sleep 0.1; done', str(gate))
    await node.launch("app.main.11", "true", prepare=(wait,))
    await master.send(ReadLog(request="before", task="app.main.11", follow=True))
    await master.reply("before")
    note = "[upcall: app.main.11 has written nothing yet; this is of app.main.10]"
    assert master.output("before") == f"{note}\nnewer\n"
    gate.touch()
    await done(node, master, "app.main.11")


async def test_volumes_in_use_are_deleted_when_their_task_has_ended(node: Node, master: Master) -> None:
    await node.launch("db.main.1", "sleep", "1000", volumes=DATA)
    await master.state("db.main.1", "ready")
    await master.send(DeleteVolumes(member_id="db.main", fence=1))
    await master.send(Run(request="look", task="db.main.1", command=("ls", "-d", "{{volume.data}}")))
    assert (await master.reply("look")).code == 0
    await node.end("db.main.1")
    await eventually(lambda: not (node.places.volumes / "db.main").exists(), "the volumes are deleted")


async def test_a_tool_runs_beside_the_task_with_its_names_and_environment(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sleep", "1000", env={"WHO": "app"}, values={"endpoint.db": "127.0.0.1:1"})
    await master.state("app.main.1", "ready")
    command = ("sh", "-c", 'cat; echo "$WHO $MORE $0"; pwd; exit 3', "{{endpoint.db}}")
    await master.send(
        Run(request="r1", task="app.main.1", command=command, env={"MORE": "{{address}}"}, input="given\n")
    )
    reply = await master.reply("r1")
    sandbox = node.places.sandbox("app.main.1")
    assert (reply.code, reply.error) == (3, "")
    assert reply.output == f"given\napp {node.address} 127.0.0.1:1\n{sandbox}\n"
    assert list(node.places.runs.iterdir()) == []


async def test_a_tool_is_bounded_in_time_and_output(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sleep", "1000")
    await master.state("app.main.1", "ready")
    await master.send(Run(request="slow", task="app.main.1", command=("sleep", "1000"), timeout_s=0.3))
    assert (await master.reply("slow")).error == "did not end within 0.3 s"
    script = "import sys; [print(i) for i in range(400000)]"
    await master.send(Run(request="loud", task="app.main.1", command=(sys.executable, "-c", script)))
    reply = await master.reply("loud")
    assert len(reply.output) <= 512 * 1024
    assert reply.output.endswith("399999\n")


async def test_a_tool_for_a_task_that_does_not_run_is_a_clear_error(node: Node, master: Master) -> None:
    await master.send(Run(request="r1", task="app.main.1", command=("true",)))
    assert (await master.reply("r1")).error == "app.main.1 does not run on node-1"


async def test_logs_are_read_and_followed_to_the_end(node: Node, master: Master) -> None:
    gate = node.shared / "gate"
    script = f"echo one; echo two; until [ -e '{gate}' ]; do sleep 0.1; done; echo three; echo four >&2"
    await node.launch("app.main.1", "sh", "-c", script, ready=Check(log="two"))
    await master.state("app.main.1", "ready")
    await master.send(ReadLog(request="last", task="app.main.1", lines=1))
    await master.reply("last")
    assert master.output("last") == "two\n"
    await master.send(ReadLog(request="all", task="app.main.1", stream="both", follow=True))
    await master.until(lambda: master.output("all") == "one\ntwo\n", "what is there already")
    gate.touch()
    await master.reply("all")
    assert sorted(master.output("all").splitlines()) == ["four", "one", "three", "two"]
    await master.send(ReadLog(request="after", task="app.main.1", lines=2))
    await master.reply("after")
    assert master.output("after") == "two\nthree\n"


async def test_a_reader_can_stop_following(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sh", "-c", "echo one; sleep 1000")
    await master.send(ReadLog(request="r1", task="no.such.1"))
    assert "no logs of no.such.1 are kept" in (await master.reply("r1")).error
    await master.state("app.main.1", "ready")
    await master.send(ReadLog(request="r2", task="app.main.1", follow=True))
    await master.until(lambda: "one\n" in master.output("r2"), "the reader reads")
    await master.send(StopReading(request="r2"))
    await master.reply("r2")


async def test_usage_of_each_task_is_told(node: Node, master: Master) -> None:
    script = (
        "import time\ndata = bytearray(64 << 20)\nend = time.process_time() + 0.3\n"
        "while time.process_time() < end: pass\ntime.sleep(1000)\n"
    )
    await node.launch("app.main.1", sys.executable, "-c", script, resources=Resources(memory_mib=256))
    await master.state("app.main.1", "ready")
    await master.until(lambda: any(one.cpu_s > 0.1 and one.memory_mib > 60 for one in used(master)), "its usage")


def used(master: Master) -> list[TaskUsage]:
    return [one for usage in master.of(Usage) for one in usage.tasks]


async def test_blobs_are_fetched_verified_and_kept(node: Node, master: Master) -> None:
    digest = master.add_blob(b"\x00binary\xff")
    bad = master.add_blob(b"right")
    master.blobs[bad] = b"wrong"
    await node.launch("app.main.1", "wc", "-c", "lib/x.bin", files=(File(path="lib/x.bin", blob=digest),))
    await done(node, master, "app.main.1")
    assert node.output("app.main.1") == "8 lib/x.bin\n"
    await node.launch("app.main.2", "true", files=(File(path="x", blob=bad),))
    ended = await master.state("app.main.2", "ended")
    assert ended.exit is not None
    assert "does not match its hash" in ended.exit.reason


@pytest.mark.parametrize(
    "declared",
    [
        {"files": (File(path="../../escape", text="x"),)},
        {"files": (File(path="/etc/escape", text="x"),)},
        {"volumes": (Volume(name="../../../escape", size_mib=1),)},
        {"volumes": (Volume(name="/abs", size_mib=1),)},
        {"volumes": (Volume(name=".prepared", size_mib=1),)},
        {"secrets": (Secret(name="../escape", ref="x"),)},
    ],
    ids=lambda declared: repr(next(iter(declared.values())))[:50],
)
async def test_a_launch_whose_names_leave_their_folder_ends_with_the_reason(
    node: Node, master: Master, tmp_path: Path, declared: dict[str, Any]
) -> None:
    await node.launch("app.main.1", "true", **declared)
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert "not a name that may become a path" in ended.exit.reason
    assert not [path for path in tmp_path.rglob("*") if "escape" in path.name]


async def test_a_volume_that_became_a_link_is_not_followed(node: Node, master: Master, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    volumes = (Volume(name="data", size_mib=1),)
    await node.launch("app.main.1", "rmdir", "{{volume.data}}", volumes=volumes)  # Its box keeps it from doing so.
    assert (await master.state("app.main.1", "ended")).exit != TaskExit(code=0)
    volume = node.places.volumes / "app.main" / "1" / "data"
    volume.rmdir()
    volume.symlink_to(tmp_path / "elsewhere")
    await node.launch("app.main.2", "touch", "{{volume.data}}/here", volumes=volumes)
    ended = await master.state("app.main.2", "ended")
    assert ended.exit is not None
    assert "symbolic link" in ended.exit.reason
    assert not list((tmp_path / "elsewhere").iterdir())


def memory_limited(tmp_path: Path) -> bool:
    probe = tmp_path / "probe-node"
    probe.mkdir()
    groups = cgroups.detect(probe)
    groups.tidy([])
    return "memory-limits" in groups.features


async def test_an_out_of_memory_kill_is_named_as_one(node: Node, master: Master, tmp_path: Path) -> None:
    if not memory_limited(tmp_path):
        pytest.skip("this user may not limit memory here (no writable memory controller)")
    script = "data = []\nwhile True: data.append(bytearray(1 << 20))"
    await node.launch("app.main.1", sys.executable, "-c", script, resources=Resources(memory_mib=48))
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert (ended.exit.signal, ended.exit.reason) == (9, "out of memory (limit 48 MiB)")


async def test_groups_are_gone_after_the_task(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sleep", "1000")
    await master.state("app.main.1", "ready")
    assert node.process is not None
    name = cgroups.group_name(node.places.node)
    found = [path for path in Path("/sys/fs/cgroup").rglob(f"{name}/app.main.1") if path.is_dir()]
    await node.end("app.main.1")
    await eventually(lambda: not any(path.exists() for path in found), "the groups are removed")
    assert await node.stop() == 0
    assert [path for path in Path("/sys/fs/cgroup").rglob(name) if path.is_dir()] == []
