"""The supervisor with real children: kept up, stopped in order, and nothing left behind."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_folder import Kept, eventually, kept_in, process, start_task

from upcall.keeper import records, sockets, spec, start
from upcall.keeper.identity import Identity


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with kept_in(Kept(tmp_path / "data folder")) as kept:
        yield kept


def test_up_returns_when_it_listens_and_children_run(kept: Kept) -> None:
    kept.write_spec(process("master", "echo hello $WHO; exec sleep 1000", env={"WHO": "world"}))
    done = kept.up()
    assert (done.returncode, done.stderr) == (0, "")
    assert kept.running("master").alive()
    eventually(lambda: kept.log("master") == "hello world\n", "its output is in its log")
    status = json.loads((kept.data / "keeper" / "status.json").read_text())
    assert Identity.from_json(status["supervisor"]) == kept.supervisor()


def test_what_dies_is_started_again(kept: Kept) -> None:
    kept.write_spec(process("master", "exec sleep 1000", backoff_first_s=0.01))
    kept.up()
    first = kept.running("master")
    first.send(signal.SIGKILL)
    second = eventually(lambda: kept.running("master") != first and kept.running("master"), "started again")
    assert second.alive()
    child = kept.child("master")
    assert (child["restarts"], child["last_exit"]) == (1, "signal SIGKILL")


def test_what_dies_at_once_is_started_less_and_less_often(kept: Kept) -> None:
    kept.write_spec(process("broken", "date +%s.%N; exit 3", backoff_first_s=0.1, backoff_max_s=0.8))
    kept.up()
    times = eventually(
        lambda: (
            [float(line) for line in kept.log("broken").split()][:6] if len(kept.log("broken").split()) >= 6 else None
        ),
        "six starts",
    )
    assert times[4] - times[3] >= 0.8
    assert kept.child("broken")["last_exit"] == "code 3"


def test_a_second_up_is_one_clear_error(kept: Kept) -> None:
    kept.up()
    second = kept.up()
    assert second.returncode == 1
    assert f"upcall runs already in {kept.data} (keeper pid {kept.supervisor().pid})" in second.stderr


def test_a_spec_that_is_wrong_starts_nothing(kept: Kept) -> None:
    kept.write_spec({"name": "a b", "argv": ["true"]})
    done = kept.up()
    assert done.returncode == 1
    assert "keeper/spec.json: name 'a b' is not one word" in done.stderr
    assert not start.runs(str(kept.data))


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = Kept(blocked).up()
    assert done.returncode == 1
    assert "this is no folder" in done.stderr


def test_nobody_there_is_one_clear_error(kept: Kept) -> None:
    with pytest.raises(start.CannotKeep, match="nothing runs in"):
        kept.ask("status")


def test_all_end_in_their_order(kept: Kept) -> None:
    last = "trap 'date +%s.%N; exit 0' TERM; echo on; while true; do sleep 0.05; done"
    kept.write_spec(
        process("master", last, stop_order=2), process("agent", last, stop_order=1), process("page", last, stop_order=3)
    )
    kept.up()
    names = ("agent", "master", "page")
    for name in names:
        eventually(lambda name=name: kept.log(name) == "on\n", f"{name} set its trap")  # type: ignore[misc]
    kept.down()
    ends = [float(kept.log(name).split()[1]) for name in names]
    assert ends == sorted(ends)


def test_what_ignores_sigterm_is_killed_after_its_grace(kept: Kept) -> None:
    kept.write_spec(process("deaf", "trap '' TERM; echo on; while true; do sleep 1000; done", grace_s=0.2))
    kept.up()
    deaf = kept.running("deaf")
    eventually(lambda: kept.log("deaf") == "on\n", "the trap is set")
    kept.ask("stop", name="deaf")
    assert not deaf.alive()
    assert kept.child("deaf")["state"] == "stopped"
    kept.ask("start", name="deaf")
    assert kept.running("deaf").alive()


def test_processes_are_added_and_removed_and_the_spec_remembers(kept: Kept) -> None:
    kept.up()
    kept.ask("add", process=process("agent-node-4", "exec sleep 1000", node="node-4"))
    agent = kept.running("agent-node-4")
    assert list(spec.load(str(kept.data))) == ["agent-node-4"]
    kept.ask("remove", name="agent-node-4")
    assert not agent.alive()
    assert spec.load(str(kept.data)) == {}
    kept.ask("remove", name="agent-node-4")  # Who asked may not have heard the answer.
    with pytest.raises(start.CannotKeep, match="no process is named 'agent-node-4'"):
        kept.ask("stop", name="agent-node-4")


def test_a_changed_spec_is_taken_up_at_sighup(kept: Kept) -> None:
    kept.write_spec(process("a", "exec sleep 1000"), process("b", "exec sleep 1000"))
    kept.up()
    a, b = kept.running("a"), kept.running("b")
    kept.write_spec(process("b", "exec sleep 1000"), process("c", "exec sleep 1000"))
    kept.supervisor().send(signal.SIGHUP)
    eventually(lambda: [one["name"] for one in kept.ask("status")["processes"]] == ["b", "c"], "the spec was read")
    eventually(lambda: not a.alive(), "a ended")
    assert kept.running("b") == b
    assert kept.running("c").alive()


def test_children_die_with_a_killed_supervisor_and_the_next_one_starts_anew(kept: Kept) -> None:
    kept.write_spec(process("master", "exec sleep 1000"))
    kept.up()
    first = kept.running("master")
    supervisor = kept.supervisor()
    supervisor.send(signal.SIGKILL)
    eventually(lambda: not supervisor.alive() and not first.alive(), "both died")
    assert kept.up().returncode == 0
    assert kept.running("master") != first


def test_death_of_a_nodes_tasks_is_proven_and_no_other_node_is_touched(kept: Kept) -> None:
    kept.write_spec(process("agent-node-1", "exec sleep 1000", node="node-1"))
    kept.up()
    agent = kept.running("agent-node-1")
    shim, task = start_task(kept, "node-1", "a.b.1", "setsid sleep 1000 & exec sleep 1000")
    _, other = start_task(kept, "node-2", "a.c.1", "exec sleep 1000")
    answer = kept.ask("prove_death", node="node-1")
    assert answer["killed"] >= 3
    # A process that is past its last instruction may still stand in the table for a moment.
    eventually(lambda: not any(each.alive() for each in (shim, task, agent)), "all are dead")
    assert other.alive()
    assert kept.running("agent-node-1") != agent


def test_a_proof_of_death_takes_what_wiped_its_mark_too(kept: Kept) -> None:
    """It is in a session of its own, carries no mark, and takes no SIGTERM; so it is found below its shim."""
    kept.up()
    said = kept.data.resolve() / "said"
    hides = f"trap '' TERM; echo $$ > '{said}.new'; mv '{said}.new' '{said}'; while true; do sleep 0.05; done"
    script = 'env -i PATH="$PATH" setsid sh -c "$0" & wait'.replace("$0", hides.replace("$", "\\$"))
    start_task(kept, "node-1", "a.b.1", script)
    eventually(said.exists, "it hides")
    hidden = Identity.of(int(said.read_text()))
    assert hidden is not None
    kept.ask("prove_death", node="node-1")
    eventually(lambda: not hidden.alive(), "it is dead")


def test_shutdown_ends_tasks_kindly_and_leaves_nothing(kept: Kept) -> None:
    kept.up()
    trapped = kept.data.resolve() / "trapped"
    script = f"trap 'exit 7' TERM; touch '{trapped}'; while true; do sleep 0.05; done"
    shim, task = start_task(kept, "node-1", "a.b.1", script)
    eventually(trapped.exists, "it takes a SIGTERM")
    kept.down()
    assert not shim.alive()
    assert not task.alive()
    record = records.read(str(kept.data / "nodes" / "node-1" / "tasks" / "a.b.1" / records.EXIT))
    assert record is not None
    assert record["code"] == 7


def test_everything_ends_when_the_data_folder_is_deleted(kept: Kept) -> None:
    kept.write_spec(process("master", "trap '' TERM; while true; do sleep 1000; done"))
    kept.up()
    supervisor, master = kept.supervisor(), kept.running("master")
    _, task = start_task(kept, "node-1", "a.b.1", "exec sleep 1000")
    while kept.data.exists():  # Somebody may be writing into it until he notices.
        shutil.rmtree(kept.data, ignore_errors=True)
    eventually(lambda: not any(one.alive() for one in (supervisor, master, task)), "all ended")


def test_malformed_requests_are_answered(kept: Kept) -> None:
    kept.up()
    for request, said in (
        ({"do": "dance"}, "unknown request"),
        ({"do": "start"}, "malformed request"),
        ({"do": "start", "name": "nobody"}, "no process is named 'nobody'"),
        ({"do": "add", "process": {"name": "x"}}, "argv is a list of words"),
        ({"do": "prove_death", "node": "../.."}, "is no node"),
    ):
        answer = sockets.ask(str(kept.data / "keeper" / "keeper.sock"), request)
        assert said in answer["error"]
