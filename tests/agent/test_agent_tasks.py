"""From launch to end, with real processes."""

import sys

from agent_node import Master, Node, eventually

from upcall.protocol.agent import End, Status, TaskExit
from upcall.protocol.declaration import Check, File, Port, Secret, Volume

SERVE = (
    "import http.server, sys\n"
    "http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), http.server.SimpleHTTPRequestHandler)"
    ".serve_forever()\n"
)


async def test_a_task_goes_through_its_states_to_ready_and_to_its_end(node: Node, master: Master) -> None:
    await node.launch(
        "web.server.1",
        "sh",
        "-c",
        "trap 'exit 3' TERM; echo up; while true; do sleep 0.1; done",
        ready=Check(log="up"),  # from then on it minds a signal
    )
    await master.state("web.server.1", "ready")
    ended = await node.end("web.server.1")
    assert master.states("web.server.1") == [
        "fetching", "starting", "running", "ready", "ending", "ended",
    ]  # fmt: skip
    assert ended.exit is not None
    assert (ended.exit.code, ended.exit.reason) == (3, "asked to")


async def test_a_job_that_finishes_is_reported_with_its_code(node: Node, master: Master) -> None:
    await node.launch("job.main.1", "sh", "-c", "exit 0", restart="never")
    ended = await master.state("job.main.1", "ended")
    assert ended.exit is not None
    assert (ended.exit.code, ended.exit.signal, ended.exit.reason) == (0, None, "")


async def test_ready_when_the_port_answers_and_unready_when_it_does_not(
    node: Node, master: Master, free_port: int
) -> None:
    await node.launch(
        "web.server.1",
        sys.executable, "-c", SERVE, "{{address}}", "{{port.http}}",
        ports=(Port(name="http", number=free_port),),
        ready=Check(tcp="http"),
        health=Check(http="http/health", interval_s=0.2, failures=2),
        files=(File(path="health", text="fine"),),
    )  # fmt: skip
    await master.state("web.server.1", "ready")
    (node.places.sandbox("web.server.1") / "health").unlink()
    unready = await master.state("web.server.1", "unready")
    assert "404" in unready.reason
    master.forget()
    (node.places.sandbox("web.server.1") / "health").write_text("fine again")
    await master.state("web.server.1", "ready")


async def test_templates_files_env_and_secrets_reach_the_task(node: Node, master: Master) -> None:
    script = 'cat conf/app.conf; echo "$PEER"; cat "$1"; stat -c %a "$1" conf/app.conf'
    await node.launch(
        "app.main.3",
        "sh", "-c", script, "app", "{{secret.password}}",
        files=(File(path="conf/app.conf", text="{{node}} {{zone}} {{incarnation}} {{attribute.rack}}\n", mode=0o640),),
        env={"PEER": "{{address.main-2}}"},
        values={"address.main-2": "127.84.9.9"},
        secrets=(Secret(name="password", ref="vault/x"),),
        secret_values={"password": "hunter2\n"},
    )  # fmt: skip
    await master.state("app.main.3", "ended")
    assert node.output("app.main.3") == "node-1 a 3 r7\n127.84.9.9\nhunter2\n600\n640\n"
    assert "hunter2" not in node.log()
    assert "hunter2" not in node.places.checkpoint.read_text()


async def test_an_unknown_name_ends_the_launch_with_one_clear_reason(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "echo", "{{port.client}}", ports=(Port(name="clients", number=1234),))
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.reason == "unknown name {{port.client}}; at command[1]; expected port.clients"


async def test_a_port_in_use_is_named_with_its_address(node: Node, master: Master, free_port: int) -> None:
    import socket

    with socket.create_server((node.address, free_port)):
        await node.launch("app.main.1", "sleep", "1000", ports=(Port(name="http", number=free_port),))
        ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert f"port {node.address}:{free_port} (http) is in use by process" in ended.exit.reason


async def test_a_command_that_does_not_exist_is_a_clear_reason(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "/no/such/thing")
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.reason == "cannot execute /no/such/thing: No such file or directory"


async def test_not_ready_in_time_is_said_with_its_reason_and_never_ended(
    node: Node, master: Master, free_port: int
) -> None:
    gate = node.shared / "gate"
    await node.launch(
        "app.main.1",
        "sh", "-c", f"until [ -e '{gate}' ]; do sleep 0.1; done; exec \"$@\"", "wait",
        sys.executable, "-c", SERVE, "{{address}}", "{{port.http}}",
        ports=(Port(name="http", number=free_port),), ready=Check(tcp="http"), start_timeout_s=0.5,
        health=Check(http="http/well", interval_s=0.2, failures=1),
    )  # fmt: skip
    late = await master.state("app.main.1", "unready")
    assert late.reason.startswith("not ready within 0.5 s: 127.84.")
    pid = node.running("app.main.1")["task"]["pid"]
    await node.kill()
    await node.start()
    await master.registered(2)
    master.forget()
    gate.touch()
    await master.state("app.main.1", "ready")
    assert node.running("app.main.1")["task"]["pid"] == pid, "the same process, ready at last"
    await master.until(lambda: any("404" in said.status.reason for said in master.of(Status)), "its health is watched")
    assert not {"ending", "ended"} & set(master.states("app.main.1"))


async def test_what_ignores_sigterm_is_killed_after_its_grace(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sh", "-c", "trap '' TERM; echo on; while true; do sleep 1000; done",
                      ready=Check(log="^on$"))  # fmt: skip
    await master.state("app.main.1", "ready")
    ended = await node.end("app.main.1", grace_s=0.5)
    assert ended.exit is not None
    assert ended.exit.signal == 9
    assert "killed after its grace of 0.5 s" in ended.exit.reason


async def test_ready_by_a_line_of_the_log(node: Node, master: Master) -> None:
    gate = node.shared / "gate"
    gate.mkdir()
    await node.launch(
        "app.main.1",
        "sh", "-c", f"until [ -e '{gate}/open' ]; do sleep 0.1; done; echo 'Started in 3 s' >&2; sleep 1000",
        ready=Check(log=r"Started in \d+ s"),
    )  # fmt: skip
    await master.state("app.main.1", "running")
    assert "ready" not in master.states("app.main.1")
    (gate / "open").touch()
    await master.state("app.main.1", "ready")


async def test_unhealthy_by_a_line_of_the_log_that_was_written_after_it_was_ready(node: Node, master: Master) -> None:
    gate = node.shared / "gate"
    said = "echo 'ERROR not there yet'; echo up; until [ -e \"$0\" ]; do sleep 0.05; done; echo 'ERROR: stuck' >&2; "
    await node.launch("app.main.1", "sh", "-c", said + "sleep 1000", str(gate),
                      ready=Check(log="^up$"), health=Check(log="^ERROR"))  # fmt: skip
    await master.state("app.main.1", "ready")
    # What is written while no agent looks is not missed, and what came before is not held against it.
    await node.kill()
    gate.touch()
    await eventually(lambda: "stuck" in node.output("app.main.1", "stderr"), "the line is written")
    await node.start()
    unwell = await master.state("app.main.1", "unready")
    assert unwell.reason == "a line of its stderr matches '^ERROR'"
    assert "ended" not in master.states("app.main.1")


async def test_a_check_that_cannot_be_carried_out_ends_the_launch_before_there_is_a_process(
    node: Node, master: Master
) -> None:
    await node.launch("app.main.1", "sleep", "1000", ready=Check(tcp="http"))
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.reason.startswith("the ready check of app.main.1 names an unknown port 'http'")
    assert "running" not in master.states("app.main.1")


async def test_ready_by_a_command(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sh", "-c", "sleep 0.3; touch here; sleep 1000",
                      ready=Check(exec=("test", "-e", "{{sandbox}}/here"), interval_s=0.1))  # fmt: skip
    await master.state("app.main.1", "ready")


async def test_a_repeated_launch_starts_nothing_and_an_ended_one_is_told_again(node: Node, master: Master) -> None:
    launch = await node.launch("app.main.1", "sleep", "1000")
    await master.state("app.main.1", "ready")
    pid = node.running("app.main.1")["task"]["pid"]
    await master.send(launch)
    await node.end("app.main.1")
    assert node.running("app.main.1")["task"]["pid"] == pid
    master.forget()
    await master.send(launch)
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.signal == 15
    assert master.states("app.main.1") == ["ended"]


async def test_an_end_before_the_start_is_an_end(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sleep", "1000", prepare=(("sleep", "1000"),))
    await master.state("app.main.1", "starting")
    ended = await node.end("app.main.1")
    assert ended.exit is not None
    assert ended.exit.reason == "asked to"
    assert [folder.name for folder in node.places.runs.iterdir()] == []


async def test_an_end_that_comes_with_its_launch_is_an_end_too(node: Node, master: Master) -> None:
    """Both are read in one step of the agent's loop, so the bring-up is cancelled before its first line."""
    tasks = [f"app.main-{number}.1" for number in range(20)]
    for task in tasks:
        await node.launch(task, "sleep", "1000")
        await master.send(End(task=task, grace_s=5.0, reason="asked to"))
        master.launches.pop(task)
    for task in tasks:
        ended = await master.state(task, "ended")
        assert ended.exit is not None
        assert ended.exit.reason == "asked to"


async def test_the_end_of_an_unknown_task_is_confirmed(node: Node, master: Master) -> None:
    ended = await node.end("app.main.9")
    assert ended.exit is not None
    assert ended.exit.reason == "it does not run here"


async def test_two_incarnations_of_a_member_never_run_side_by_side(node: Node, master: Master) -> None:
    slow = "trap 'sleep 0.3; exit 0' TERM; echo on; while true; do sleep 0.1; done"
    await node.launch("app.main.1", "sh", "-c", slow, ready=Check(log="^on$"))
    await master.state("app.main.1", "ready")
    await node.launch("app.main.2", "sleep", "1000")
    await master.state("app.main.2", "starting")
    await node.end("app.main.1")
    await master.state("app.main.2", "ready")
    heard = [(said.status.task, said.status.state) for said in master.of(Status)]
    assert heard.index(("app.main.1", "ended")) < heard.index(("app.main.2", "running"))


TRACE = """import sys
def load(): raise RuntimeError("no port is set")
try: load()
finally: print("closing", file=sys.stderr)
"""


async def test_the_reason_of_an_end_is_the_line_that_says_why_with_the_last_lines_beside(
    node: Node, master: Master
) -> None:
    await node.launch("app.main.1", sys.executable, "-c", TRACE)
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert (ended.exit.code, ended.exit.reason, ended.reason) == (1, "RuntimeError: no port is set", ended.exit.reason)
    assert ended.exit.lines[0] == "closing"
    assert ended.exit.lines[-1] == "RuntimeError: no port is set"


async def test_the_last_lines_stand_in_the_order_in_which_they_were_written(node: Node, master: Master) -> None:
    script = "echo one; until [ -e go ]; do sleep 0.05; done; echo two >&2; exit 3"
    await node.launch("app.main.1", "sh", "-c", script)
    await eventually(lambda: "one" in node.output("app.main.1"), "the first line is written down")
    (node.places.sandbox("app.main.1") / "go").touch()
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.lines == ("one", "two")


async def test_a_package_s_expressions_say_what_is_fatal(node: Node, master: Master) -> None:
    script = "echo 'E7: disk gone (store)'; echo 'error: bye' >&2; exit 3"
    await node.launch("app.main.1", "sh", "-c", script, fatal=(r"^E\d+: (.*?) \(",))
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert (ended.exit.code, ended.exit.reason) == (3, "disk gone")


async def test_an_end_that_was_wished_or_went_well_needs_no_explanation(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sh", "-c", "echo an error perhaps; exit 0")
    done = await master.state("app.main.1", "ended")
    await node.launch("app.other.1", "sh", "-c", "echo an error perhaps; sleep 1000")
    await master.state("app.other.1", "ready")
    ended = await node.end("app.other.1", reason="a drain")
    assert done.exit == TaskExit(code=0)
    assert ended.exit is not None
    assert (ended.exit.reason, ended.exit.lines) == ("a drain", ())


async def test_the_last_line_of_a_task_that_was_ended_as_wished_is_no_reason(node: Node, master: Master) -> None:
    script = "trap 'echo could not say goodbye; exit 143' TERM; echo ready; while :; do sleep 0.05; done"
    await node.launch("app.main.1", "sh", "-c", script, ready=Check(log="^ready$"))
    await master.state("app.main.1", "ready")
    ended = await node.end("app.main.1", reason="")
    assert ended.exit == TaskExit(code=143)


async def test_a_signal_is_not_never_ran(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "sh", "-c", "echo before; kill -SEGV $$")
    ended = await master.state("app.main.1", "ended")
    assert ended.exit is not None
    assert (ended.exit.code, ended.exit.signal, ended.exit.lines) == (None, 11, ("before",))


async def test_a_preparation_that_fails_is_explained_like_any_end(node: Node, master: Master) -> None:
    await node.launch(
        "db.main.1", "true", prepare=((sys.executable, "-c", TRACE),), volumes=(Volume(name="data", size_mib=1),)
    )
    ended = await master.state("db.main.1", "ended")
    assert ended.exit is not None
    assert ended.exit.reason == "preparation 1 of 1 ended with code 1: RuntimeError: no port is set"
    assert ended.exit.lines[-1] == "RuntimeError: no port is set"
    assert ended.exit.not_started


async def test_what_cannot_be_prepared_is_told_apart_from_what_ended(node: Node, master: Master) -> None:
    await node.launch("app.main.1", "true", files=(File(path="program.py", text="{{nothing}}"),))
    failed = await master.state("app.main.1", "ended")
    assert failed.exit is not None
    assert failed.exit.not_started
    assert "unknown name {{nothing}}" in failed.exit.reason
    await node.launch("app.other.1", "sh", "-c", "exit 3")
    ended = await master.state("app.other.1", "ended")
    assert ended.exit is not None
    assert not ended.exit.not_started


async def test_a_start_that_tells_progress_is_not_late(node: Node, master: Master) -> None:
    gate = node.shared / "gate"
    script = 'n=0; until [ -e "$0" ]; do n=$((n+1)); echo "replayed $n"; sleep 0.2; done; echo on; sleep 1000'
    await node.launch("app.main.1", "sh", "-c", script, str(gate), ready=Check(log="^on$"),
                      progress=(r"^replayed \d+",), start_timeout_s=8.0)  # fmt: skip

    def told() -> int:
        return max((said.status.progress for said in master.of(Status)), default=0)

    await master.until(lambda: told() >= 6, "progress, for longer than the start may last without")
    assert "unready" not in master.states("app.main.1")
    reasons = [said.status.reason for said in master.of(Status) if said.status.progress]
    assert all(reason.startswith("replayed ") for reason in reasons)
    gate.touch()
    assert (await master.state("app.main.1", "ready")).progress >= 6
