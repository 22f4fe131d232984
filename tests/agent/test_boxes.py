"""What a task can reach: real processes that try. The attempts print what they got, and get nothing."""

import os
import sys
from pathlib import Path

import pytest
from agent_node import Master, Node

from upcall.agent import boxes
from upcall.keeper import landlock, mounts
from upcall.protocol.agent import Run
from upcall.protocol.declaration import Check, Secret, Volume

pytestmark = pytest.mark.root

VOLUME = (Volume(name="data", size_mib=10),)
boxed = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
as_root = pytest.mark.skipif(
    os.getuid() != 0 or not mounts.possible(), reason="only root can give each service a user of its own"
)

TRY = """
import os, sys
for path in sys.argv[1:]:
    try:
        print(path, os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(20))
    except OSError as error:
        print(path, type(error).__name__)
"""


CLOSED = {"PermissionError", "FileNotFoundError", "NotADirectoryError"}


@boxed
async def test_a_task_reads_no_tokens_no_home_and_nothing_of_other_members(node: Node, master: Master) -> None:
    token = node.data / "secrets" / "operator.token"
    token.parent.mkdir()
    token.write_text("secret")
    await node.launch("db.main.1", "sleep", "1000", volumes=VOLUME, secrets=(Secret(name="key", ref="key"),),
                      secret_values={"key": "value"})  # fmt: skip
    await master.state("db.main.1", "ready")
    others = node.places.task("db.main.1")
    pid = node.running("db.main.1")["task"]["pid"]
    closed = [
        token, token.parent, node.data / "cluster.json", node.places.node, node.places.checkpoint, others,
        others / "secrets" / "key", others / "sandbox", node.places.volumes / "db.main" / "1" / "data",
        node.data.parent / "agent.token", Path.home() / ".bashrc", Path.home(),
    ]  # fmt: skip
    words = [str(path).replace(" ", "\x01") for path in closed]
    script = TRY.replace("sys.argv[1:]", "[word.replace(chr(1), ' ') for word in sys.argv[1:]]")
    await node.launch(
        "thief.main.1", sys.executable, "-c", script, *words, f"/proc/{pid}/environ", f"/proc/{pid}/cwd/x"
    )
    ended = await master.state("thief.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.code == 0, node.output("thief.main.1", "stderr")
    lines = node.output("thief.main.1").splitlines()
    assert len(lines) == len(closed) + 2
    said = [line.replace(str(path), "") for path, line in zip([*closed, "", ""], lines, strict=True)]
    got = [line.strip() for line in said if line.rsplit(" ", 1)[-1] not in CLOSED]
    # On the way to its own sandbox it meets folders that hold nothing but that way.
    assert set(got) <= {"[]", "['tasks']", "['volumes']"}, got


@boxed
async def test_a_task_changes_its_sandbox_its_volumes_and_its_temporary_folder_alone(
    node: Node, master: Master
) -> None:
    script = (
        'for place in "$HOME" "$TMPDIR" "$0" "$1"; do touch "$place/mark" && echo yes || echo no; done; '
        "touch /etc/upcall-mark /usr/upcall-mark 2>/dev/null && echo bad; mktemp >/dev/null && echo temporary"
    )
    beside = node.places.volumes / "other"
    beside.mkdir()
    await node.launch("db.main.1", "sh", "-c", script, "{{volume.data}}", str(beside), volumes=VOLUME)
    await master.state("db.main.1", "ended")
    assert node.output("db.main.1").splitlines() == ["yes", "yes", "yes", "no", "temporary"]
    assert (node.places.volumes / "db.main" / "1" / "data" / "mark").exists()
    assert list(beside.iterdir()) == []


@boxed
async def test_a_task_reaches_neither_launcher_nor_agent(node: Node, master: Master) -> None:
    """The launcher would start whatever it is asked for, outside of every box."""
    assert node.process is not None
    ask = (
        "import os, socket, sys\n"
        "for number in (0, 19):\n"
        "    try: os.kill(int(sys.argv[2]), number); print('signalled', number)\n"
        "    except OSError as error: print(type(error).__name__)\n"
        "client = socket.socket(socket.AF_UNIX)\n"
        "try:\n"
        "    os.chdir(os.path.dirname(sys.argv[1])); client.connect('launcher.sock')\n"
        "    client.sendall(b'{\"do\": \"list\"}\\n'); print('answered', client.recv(100))\n"
        "except OSError as error: print(type(error).__name__)\n"
    )
    await node.launch("thief.main.1", sys.executable, "-c", ask, str(node.places.node / "launcher.sock"),
                      str(node.process.pid))  # fmt: skip
    await master.state("thief.main.1", "ended")
    signals, again, launcher = node.output("thief.main.1").splitlines()
    if landlock.abi() >= landlock.SCOPES_ABI or os.getuid() == 0:
        assert {signals, again} <= {"PermissionError", "ProcessLookupError"}
    assert launcher in (*CLOSED, "ConnectionResetError", "BrokenPipeError", "answered b''")


@boxed
async def test_a_tool_beside_a_member_has_the_member_s_box(node: Node, master: Master) -> None:
    await node.launch("db.main.1", "sleep", "1000", volumes=VOLUME)
    await master.state("db.main.1", "ready")
    token = node.data.parent / "agent.token"
    script = 'touch "$0/mark" && echo mine; cat "$1" || echo closed; id -u'
    await master.send(Run(request="r1", task="db.main.1", command=("sh", "-c", script, "{{volume.data}}", str(token))))
    reply = await master.reply("r1")
    mine, *_, closed, user = [line for line in reply.output.splitlines() if not line.startswith("cat:")]
    assert (mine, closed) == ("mine", "closed")
    owner = (node.places.volumes / "db.main" / "1" / "data" / "mark").stat().st_uid
    assert owner == int(user)


@as_root
async def test_each_service_has_a_user_of_its_own_the_same_at_every_start(node: Node, master: Master) -> None:
    """Also one with a name: Java's login asks for it."""
    for task in ("db.main.1", "db.main.2", "db.other.1", "web.main.1"):
        await node.launch(
            task, "sh", "-c", "id -u; id -un; id -G; grep -i -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status"
        )
        await master.state(task, "ended")
    said = {task: node.output(task).split() for task in ("db.main.1", "db.main.2", "db.other.1", "web.main.1")}
    assert said["db.main.1"] == said["db.main.2"] == said["db.other.1"]
    user, name, groups, *privileges = said["db.main.1"]
    assert (name, groups) == ("upcall-db", user)
    assert int(user) >= 1_879_048_192
    assert said["web.main.1"][0] not in (user, "0")
    assert privileges == ["CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"]


@as_root
async def test_others_processes_are_not_listed(node: Node, master: Master) -> None:
    await node.launch("db.main.1", "sh", "-c", "ls /proc | grep -c '^[0-9]'; echo out >/dev/stdout")
    await master.state("db.main.1", "ended")
    count, said = node.output("db.main.1").splitlines()
    assert int(count) <= 4
    assert said == "out"


async def test_limits_of_open_files_and_no_core_dumps(node: Node, master: Master) -> None:
    await node.launch("db.main.1", "sh", "-c", "ulimit -Hn; ulimit -c")
    await master.state("db.main.1", "ended")
    files, core = node.output("db.main.1").split()
    assert int(files) <= boxes.FILES_MAX
    assert core == "0"


async def test_the_node_says_what_it_has_and_what_it_lacks(node: Node, master: Master) -> None:
    features = (await master.registered(1)).features
    assert ("landlock" if landlock.abi() else "no-landlock") in features
    own = os.getuid() == 0 and mounts.possible()
    assert ("own-user" if own else "no-own-user") in features
    assert len({"process-limits", "no-process-limits"} & set(features)) == 1
    assert not own or "process-limits" in features


async def test_a_member_that_is_ready_stays_so_when_its_agent_starts_again(node: Node, master: Master) -> None:
    """Volumes of an owner, a box for tools: all found again."""
    await node.launch("db.main.1", "sh", "-c", "echo on; sleep 1000", ready=Check(log="^on$"), volumes=VOLUME)
    await master.state("db.main.1", "ready")
    await node.kill()
    await node.start()
    await master.registered(2)
    await master.send(Run(request="r1", task="db.main.1", command=("sh", "-c", 'touch "$0/again"', "{{volume.data}}")))
    assert (await master.reply("r1")).code == 0
