"""Each command against a live fake of the operator API: what is sent, what is shown, how it ends."""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from fake_master import FakeMaster
from upcall.cli import keeping, shutting_down
from upcall.cli.catalog import type_words
from upcall.client.blocking import PATIENCE_S
from upcall.cluster.folder import DataFolder
from upcall.protocol.operator import DegradedView, KeeperView, PackageView
from upcall.transport.unix import short_address

Run = Callable[..., Result]


def test_status_shows_nodes_services_and_what_waits(run: Run, master: FakeMaster) -> None:
    master.add_service("hello", 2, steps_done=2)
    master.waiting = ["drain of node-2 is deferred by hello"]
    result = run("status")
    assert result.exit_code == 0, result.output
    assert "node-1" in result.output
    assert "2/2" in result.output
    assert "waits: drain of node-2 is deferred by hello" in result.output


def test_json_output_is_one_document_for_programs(run: Run, master: FakeMaster) -> None:
    master.add_service("hello", 1)
    for line in ("status", "node list", "task list", "service list", "catalog", "endpoints", "operation list", "why"):
        result = run(line, "--output", "json")
        assert result.exit_code == 0, (line, result.output)
        json.loads(result.stdout)


def test_install_follows_the_plan_until_deployed(run: Run, master: FakeMaster) -> None:
    result = run("install greeter --name hello --set members=3")
    assert result.exit_code == 0, result.output
    assert "hello: members/m-2" in result.stderr
    assert "hello is deployed" in result.stdout
    asked = next(body for method, path, body in master.calls if (method, path) == ("POST", "/v1/services"))
    assert asked["options"] == {"members": 3}


def test_a_blocked_install_says_why_and_is_taken_away(
    run: Run, master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upcall.cli.deploy.BLOCKED_GRACE_S", 0.1)
    master.blocked = "needs 3 nodes with 2 GiB free: node-1 has 1.2"
    result = run("install greeter")
    assert result.exit_code == 1
    assert "needs 3 nodes with 2 GiB free" in result.stderr
    assert "greeter is taken away again" in result.stderr
    assert "greeter" not in master.services


def test_install_without_waiting_returns_at_once(run: Run, master: FakeMaster) -> None:
    master.step_s = 60
    result = run("install greeter --no-wait")
    assert result.exit_code == 0
    assert "upcall plan show greeter" in result.stdout


def test_errors_use_the_words_of_the_api(run: Run) -> None:
    result = run("install greeter --set members=77")
    assert result.exit_code == 1
    assert "members: 77 is out of range" in result.stderr
    assert "--set members" in result.stderr
    assert "1 to 9" in result.stderr
    as_json = run("install nonsense --output json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stderr)["error"]["code"] == "not_found"


def test_wrong_usage_is_exit_code_two(run: Run) -> None:
    assert run("node drain").exit_code == 2
    assert run("node undrain").exit_code == 2
    assert run("node drain node-1 --zone a").exit_code == 2
    assert run("install", "--no-such-option").exit_code == 2


def test_a_setting_without_a_value_is_refused(run: Run, master: FakeMaster) -> None:
    result = run("install greeter --set members")
    assert result.exit_code == 1
    assert "key=value" in result.stderr
    assert not master.services


def test_a_drain_waits_for_a_node_that_the_master_has_not_heard_of_since_its_start(
    run: Run, master: FakeMaster
) -> None:
    master.nodes_are_late = 2
    result = run("node drain node-2 --no-wait")
    assert result.exit_code == 0
    assert "not now: node-2 has not registered yet" in result.stderr
    assert master.nodes["node-2"].state == "draining"


def test_drain_waits_and_shows_who_defers(run: Run, master: FakeMaster) -> None:
    result = run("node drain node-2 --reason disks")
    assert result.exit_code == 0, result.output
    assert "deferred by greeter: somebody is being greeted" in result.stderr
    assert "upcall node undrain node-2" in result.stdout
    assert run("node undrain node-2").exit_code == 0


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["withdrawn", "withdrawn"], "; no member had left\n"),
        (["withdrawn", "done"], "; its members come back\n"),
        ([], "; its members come back\n"),
    ],
)
def test_an_undrain_says_whether_anybody_had_left(run: Run, master: FakeMaster, states: list[str], said: str) -> None:
    stops = [master.operation("stop", f"greeter.{at}", reason="disks") for at in range(len(states))]
    for stop, state in zip(stops, states, strict=True):
        stop.state = state
    master.node_children = [stop.id for stop in stops]
    assert run("node undrain node-2").stdout.endswith(said)


def test_several_nodes_or_a_zone_are_drained_and_given_back_as_one(run: Run, master: FakeMaster) -> None:
    result = run("node drain node-1 node-2")
    assert result.exit_code == 0, result.output
    assert "nodes node-1, node-2 are drained; `upcall node undrain node-1 node-2` brings their" in result.stdout
    assert "node-1, node-2 are no longer drained" in run("node undrain node-1 node-2").stdout
    result = run("node drain --zone a --no-wait")
    assert "maintenance" not in result.stderr
    assert "drain of nodes " in result.stdout
    assert run("node undrain --zone a").exit_code == 0
    asked = [(path, body["nodes"], body["zone"]) for method, path, body in master.calls if "/maintenance" in path]
    assert asked == [
        ("/v1/maintenance", ["node-1", "node-2"], ""),
        ("/v1/maintenance/over", ["node-1", "node-2"], ""),
        ("/v1/maintenance", [], "a"),
        ("/v1/maintenance/over", [], "a"),
    ]
    unknown = run("node drain --zone z")
    assert unknown.exit_code == 1
    assert "no node is in a zone 'z'" in unknown.stderr


def test_an_operation_that_failed_fails_the_command(run: Run, master: FakeMaster) -> None:
    view = master.operation("restart", "hello.m-0")
    master.end(view, "failed", "it never got ready")
    result = run("why", view.id)
    assert result.exit_code == 0
    assert "restart of hello.m-0 (windowed) failed: it never got ready" in result.stdout


def test_why_without_an_operation_shows_all_that_waits(run: Run, master: FakeMaster) -> None:
    drain = master.operation("drain", "node-1")
    master.operation(
        "stop", "hello.m-0", parent=drain.id, waits_for="the guard: accepted by hello, but 2 of 3 ready, minimum 2"
    )
    result = run("why")
    assert "op-1 drain of node-1 (windowed) open" in result.stdout
    assert "  op-2 stop of hello.m-0" in result.stdout
    assert "the guard: accepted by hello, but 2 of 3" in result.stdout


def test_why_says_when_nothing_waits(run: Run) -> None:
    assert run("why").stdout.strip() == "nothing waits"


def test_why_of_a_service_in_a_crash_loop_says_the_cause(run: Run, master: FakeMaster) -> None:
    """Also where an operation on it is shown, which need not know it."""
    hello = master.add_service("hello", 2, steps_done=2)
    hello.state, hello.reason = "recovering", "m-0 ended 5 times, last: KeyError: 'port'; next try in 8 s"
    down = hello.members[0]
    down.state, down.exit_code, down.exit_reason, down.ended = "ended", 1, "KeyError: 'port'", 5
    master.operation("stop", "hello.m-1", service="hello", waits_for="hello")
    said = run("why hello").stdout
    assert f"hello: recovering, {hello.reason}" in said
    ended = "hello.m-0.5 ended with exit code 1: KeyError: 'port'; `upcall why hello.m-0` shows its last lines"
    assert ended in " ".join(said.split())
    assert "stop of hello.m-1" in said
    assert "KeyError: 'port'" in run("why").stdout


@pytest.mark.parametrize("state", ["recovering", "degraded", "running"])
def test_why_of_a_service_says_once_that_its_change_has_failed_and_the_ways_out(
    run: Run, master: FakeMaster, state: str
) -> None:
    """Also where what brings a member back says the rest."""
    hello = master.add_service("hello", 2, steps_done=2)
    hello.unfinished = "the change to revision 2 has failed: KeyError: 'x'; `upcall rollback hello` goes back"
    hello.state, hello.reason = (
        state,
        f"m-0 ended 5 times; {hello.unfinished}" if state != "degraded" else "1 of 2 ready",
    )
    down = hello.members[0]
    down.state, down.exit_code, down.exit_reason, down.ended = "ended", 1, "KeyError: 'x'", 5
    master.operation("lost", "hello.m-0", service="hello", waits_for="hello", reason="KeyError: 'x'")
    for said in (run("why hello").stdout, run("why").stdout):
        assert " ".join(said.split()).count(hello.unfinished) == 1


def test_why_of_what_is_mistyped_names_what_was_probably_meant(run: Run, master: FakeMaster) -> None:
    master.add_service("hello", 2, steps_done=2)
    master.operation("stop", "hello.m-1", service="hello")
    for subject, near in (("helo", "hello"), ("m-1", "hello.m-1"), ("hello.m-9", "hello.m-"), ("o1", "op-1")):
        said = run(f"why {subject}")
        assert said.exit_code == 1
        expected = next(line for line in said.stderr.splitlines() if "expected:" in line)
        assert near in expected, said.stderr
    assert "`upcall service action act-1`" in run("why act-1").stderr


def test_why_of_a_member_names_the_change_of_its_service_that_has_failed(run: Run, master: FakeMaster) -> None:
    hello = master.add_service("hello", 2, steps_done=2)
    hello.unfinished = "the change to revision 2 has failed: KeyError: 'x'; `upcall rollback hello` goes back"
    assert f"hello: {hello.unfinished}" in " ".join(run("why hello.m-0").stdout.split())


def test_why_of_a_member_says_what_its_services_code_says_is_wrong_with_it(run: Run, master: FakeMaster) -> None:
    hello = master.add_service("hello", 2, steps_done=2)
    looks = "m-0 started again and looks for 1 worker"
    hello.degraded = [
        DegradedView(what=looks, doing="20s at most", member="m-0", since=time.time() - 12, key="recovers"),
        DegradedView(what="m-1 lags", member="m-1", since=time.time(), key="lags"),
    ]
    said = " ".join(run("why hello.m-0").stdout.split())
    assert f"{looks}; 20s at most" in said
    assert "m-1 lags" not in said


def test_events_are_shown_oldest_first_and_filtered(run: Run, master: FakeMaster) -> None:
    master.happens("node", "node-1", "registered")
    master.happens("task", "hello.m-0", "ready")
    lines = run("events").stdout.splitlines()
    assert lines[0].endswith("node node-1: registered")
    assert len(lines) == 2
    assert len(run("events --kind task").stdout.splitlines()) == 1
    assert len(run("events --about hello").stdout.splitlines()) == 1
    assert len(run("events -n 1").stdout.splitlines()) == 1


def test_events_are_shown_since_one_of_them_or_as_far_back_as_a_time(run: Run, master: FakeMaster) -> None:
    for number in range(60):
        master.happens("node", f"node-{number}", "registered")
    numbers = [int(line.split()[0]) for line in run("events --since 10m").stdout.splitlines()]
    assert len(numbers) == 60, "not the newest fifty alone"
    assert len(run(f"events --since {numbers[49]}").stdout.splitlines()) == 10
    refused = run("events --since soon")
    assert refused.exit_code == 1
    assert "'soon' is no time" in refused.stderr
    assert "--since" in refused.stderr


def test_service_do_runs_an_action_and_names_the_nearest(run: Run, master: FakeMaster) -> None:
    master.add_service("hello", 1, steps_done=1)
    assert "hello you" in run("service do hello greet name=you").stdout
    wrong = run("service do hello gret name=you")
    assert wrong.exit_code == 1
    assert "greet" in wrong.stderr


def test_service_show_has_members_plan_and_endpoints(run: Run, master: FakeMaster) -> None:
    master.add_service("hello", 2, steps_done=2)
    shown = run("service show hello").stdout
    assert "hello.m-0.1" in shown
    assert "deploy" in shown
    assert "127.0.0.2:8000" in shown


def test_service_show_says_where_it_is_changed(run: Run, master: FakeMaster) -> None:
    master.add_service("hello", 2, steps_done=2)
    assert "is changed there alone" not in run("service show hello").stdout
    master.services["hello"].keeper = KeeperView(what="hello/hello in namespace data", how="kubectl edit hello hello")
    shown = " ".join(run("service show hello").stdout.split())
    assert (
        "it is what hello/hello in namespace data says, and is changed there alone: `kubectl edit hello hello`" in shown
    )


def test_plan_control_names_phase_and_step(run: Run, master: FakeMaster) -> None:
    master.add_service("hello", 1)
    assert run("plan show hello").exit_code == 0
    assert run("plan force hello deploy --phase members --step m-0").exit_code == 0
    method, path, body = master.calls[-1]
    assert (method, path) == ("POST", "/v1/services/hello/plans/deploy/force")
    assert body == {"phase": "members", "step": "m-0"}


def test_task_restart_is_an_operation(run: Run, master: FakeMaster) -> None:
    master.add_service("hello", 1, steps_done=1)
    result = run("task restart hello.m-0 --reason tired")
    assert result.exit_code == 0
    assert "done" in result.stdout
    assert run("task show hello.m-0").exit_code == 0
    assert "hello.m-0" in run("task show hello.m-9").stderr


def test_task_start_gives_a_stopped_member_back(run: Run, master: FakeMaster) -> None:
    master.add_service("hello", 1, steps_done=1)
    result = run("task start hello.m-0 --reason morning")
    assert result.exit_code == 0
    assert result.stdout.startswith("hello.m-0 is started again")
    method, path, body = master.calls[-1]
    assert (method, path) == ("POST", "/v1/tasks/hello.m-0/start")
    assert body["reason"] == "morning"


def test_volumes_that_were_left_are_listed_and_those_in_use_on_demand(run: Run) -> None:
    shown = run("volume list").stdout
    assert "log.m-0:1@node-1" not in shown
    assert "log.m-0 was placed anew; node-2 is silent" in " ".join(shown.split())
    assert "taken back by an install of the same package" in " ".join(shown.split())
    everything = json.loads(run("volume list log --all -o json").stdout)
    assert [one["state"] for one in everything] == ["in use", "aside", "kept"]
    nobody = run("volume list lgo -o json")
    assert (nobody.exit_code, nobody.stdout) == (1, ""), "a name that nothing has is a mistake"
    assert "no service 'lgo'" in nobody.stderr


def test_volumes_are_taken_back_by_an_operation_that_is_waited_for(run: Run, master: FakeMaster) -> None:
    result = run("volume take-back log.m-0:2@node-2 --reason all")
    assert result.exit_code == 0
    assert result.stdout.strip().startswith("take-back of log.m-0:2@node-2: done (op-")
    asked = next(call for call in master.calls if call[1].endswith("/take-back"))
    assert (asked[0], asked[2]["reason"], asked[2]["force"]) == ("POST", "all", False)


def test_volumes_are_dropped_by_name_with_a_reason(run: Run, master: FakeMaster) -> None:
    result = run("volume drop log.m-0:2@node-2 --reason old --yes")
    assert result.stdout.strip() == "log.m-0:2@node-2 is deleted as soon as node-2 answers"
    method, path, body = master.calls[-1]
    assert (method, path, body["reason"]) == ("POST", "/v1/volumes/log.m-0:2@node-2/drop", "old")
    refused = run("volume drop log.m-0:1@node-1 --yes")
    assert (refused.exit_code, "in use" in refused.output) == (1, True)


def test_logs_come_line_by_line(run: Run) -> None:
    assert run("logs hello.m-0 -n 3").stdout.splitlines() == ["line 0", "line 1", "line 2"]


def test_a_secret_comes_from_standard_input_and_is_never_shown(run: Run, master: FakeMaster) -> None:
    result = run("secret set password", input="hunter2\n")
    assert result.exit_code == 0
    assert "hunter2" not in result.output
    assert master.secrets == {"password": "hunter2"}
    assert "password" in run("secret list").stdout
    assert run("secret set empty", input="").exit_code == 1


def test_uninstall_waits_until_it_is_gone(run: Run, master: FakeMaster) -> None:
    master.add_service("hello", 1)
    result = run("uninstall hello --force")
    assert result.exit_code == 0
    assert "hello" not in master.services


def test_open_prints_an_address_with_a_one_use_code(run: Run, master: FakeMaster) -> None:
    assert run("open").stdout.strip() == "http://127.77.7.1:5080/login?code=code-1"


def test_open_docs_prints_where_the_api_is_documented(run: Run, master: FakeMaster) -> None:
    assert run("open --docs").stdout.strip() == f"{master.url}/docs?code=code-1"


def test_a_master_that_answers_not_now_is_asked_again(run: Run, master: FakeMaster) -> None:
    master.not_now = 2
    assert run("node list").exit_code == 0


def test_operation_pause_and_resume_say_who_and_why(run: Run, master: FakeMaster) -> None:
    view = master.operation("drain", "node-1")
    unsaid = run("operation pause", view.id)
    assert unsaid.exit_code == 1, "whoever finds it paused wants to know why"
    assert f"pause of {view.id} needs a reason" in unsaid.stderr
    unknown = run("operation cancel op-999")
    assert "op-999" in unknown.stderr
    assert "reason" not in unknown.stderr, "what is not there comes before what is missing for it"
    assert run("operation pause --reason later", view.id).exit_code == 0
    assert run("operation resume", view.id).exit_code == 0
    asked = [(path.rpartition("/")[2], body) for method, path, body in master.calls if method == "POST"]
    assert [(verb, body["reason"]) for verb, body in asked] == [("pause", "later"), ("resume", "")]


def test_operation_cancel_and_force(run: Run, master: FakeMaster) -> None:
    view = master.operation("drain", "node-1")
    assert run("operation list").stdout.count("op-1") == 1
    assert run("operation cancel --reason mistaken", view.id).exit_code == 0
    assert master.operations["op-1"].state == "withdrawn"


def test_catalog_shows_options_and_actions_of_a_package(run: Run) -> None:
    shown = run("catalog greeter").stdout
    assert "members" in shown
    assert "integer 1..9" in shown
    assert "greet" in shown
    assert "greeter" in run("catalog greter").stderr


def test_catalog_lists_shows_and_removes_and_the_usual_words_may_be_left_out(run: Run, master: FakeMaster) -> None:
    assert run("catalog").stdout == run("catalog list").stdout
    assert run("catalog -o json").stdout == run("catalog list -o json").stdout
    assert run("catalog greeter").stdout == run("catalog show greeter").stdout
    assert "archive" in run("catalog").stdout
    assert "package archive is removed" in run("catalog remove archive").stdout
    assert "archive" not in run("catalog").stdout
    refused = run("catalog remove nosuch")
    assert refused.exit_code == 1
    assert "no package 'nosuch'" in refused.stderr


def test_the_catalog_shows_which_versions_there_are(run: Run, master: FakeMaster) -> None:
    master.packages += [PackageView(name="greeter", version=one, description=one) for one in ("2.0.0", "2.1.0")]
    line = next(line for line in run("catalog").stdout.splitlines() if line.startswith("greeter"))
    assert line.split()[:4] == ["greeter", "2.1.0", "2.0.0,", "1.0.0"]
    assert run("catalog greeter").stdout.startswith("greeter 2.1.0  2.1.0\nalso in version 2.0.0, 1.0.0 (")
    assert run("catalog greeter@2.0").stdout.startswith("greeter 2.0.0  2.0.0\n")
    refused = run("catalog greeter@3")
    assert "package greeter has no version '3'" in refused.stderr
    assert "one of 1.0.0, 2.0.0, 2.1.0" in refused.stderr


def test_a_version_is_named_with_the_package(run: Run, master: FakeMaster) -> None:
    run("install greeter@2.0 --name old --no-wait")
    asked = next(body for method, path, body in master.calls if (method, path) == ("POST", "/v1/services"))
    assert (asked["package"], asked["name"], asked["version"]) == ("greeter", "old", "2.0")
    assert "two versions at once" in run("install greeter@2.0 --version 2.1").stderr


def test_an_own_package_is_registered_in_all_its_versions(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    for version in ("1.9.0", "2.0.0"):
        (tmp_path / "mine" / "versions" / version / "lock").mkdir(parents=True)
    code = 'from upcall.service import Service\n\nclass Mine(Service):\n    """Mine."""\n'
    (tmp_path / "mine" / "__init__.py").write_text(code)

    def asked(*words: str) -> dict[str, Any]:
        run("install", str(tmp_path / "mine"), "--no-wait", *words)
        return [body for method, path, body in master.calls if (method, path) == ("POST", "/v1/services")][-1]  # type: ignore[no-any-return]

    assert asked("--name", "newest")["version"] == "2.0.0"
    assert asked("--name", "older", "--version", "1.9")["version"] == "1.9.0"
    put = {path for method, path, _ in master.calls if method == "PUT" and path.startswith("/v1/packages/")}
    assert put == {"/v1/packages/mine/1.9.0", "/v1/packages/mine/2.0.0"}
    assert "package mine has no version '3'" in run("install", str(tmp_path / "mine"), "--version", "3").stderr


def test_node_add(run: Run, master: FakeMaster) -> None:
    assert "node-4" in run("node add --zone b --attribute disk=fast").stdout
    asked = next(body for method, path, body in master.calls if (method, path) == ("POST", "/v1/nodes"))
    assert asked["attributes"] == {"disk": "fast"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("node add a/b", "not a node's name: 'a/b'"),
        ("node add --zone x/y", "not a zone: 'x/y'"),
        (f"uninstall hello --reason {'x' * 501}", "at most 500 characters"),
    ],
)
def test_a_request_that_cannot_be_is_an_error_like_any_other(
    run: Run, master: FakeMaster, words: str, said: str
) -> None:
    refused = run(words)
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.output
    assert [path for method, path, _ in master.calls if method == "POST"] == []


def test_down_that_had_to_use_force_is_no_success(
    run: Run, master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper and what it keeps are pretended; the shutdown of the services fails."""
    ended: list[object] = []
    monkeypatch.setattr(keeping, "running", lambda folder: not ended)
    monkeypatch.setattr(keeping, "end", lambda folder: [ended.append(folder)][:0])  # type: ignore[func-returns-value]
    master.add_service("hello", 1)
    good = run("down")
    assert (good.exit_code, len(ended)) == (0, 1), good.output
    ended.clear()
    monkeypatch.setattr(shutting_down, "SHUTDOWN_TIMEOUT_S", 0.0)
    monkeypatch.setattr(master, "end_soon", lambda operation: None)
    incomplete = run("down")
    assert (incomplete.exit_code, len(ended)) == (1, 1)
    assert "by force: the shutdown of the services is incomplete" in incomplete.output
    assert "down; data is kept" not in incomplete.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("endpoints nosuch", "no service 'nosuch'"),
        ("task list nosuch", "no service 'nosuch'"),
        ("events --kind nod", "no events are of kind 'nod'"),
        ("events --about hell", "nothing is known of 'hell'"),
        ("events --since 0 --about hell", "nothing is known of 'hell'"),
        ("plan show hello deploi", "hello has no plan 'deploi'"),
    ],
)
def test_a_name_that_nothing_has_is_a_mistake(run: Run, master: FakeMaster, words: str, said: str) -> None:
    master.add_service("hello", 1)
    master.happens("node", "node-1", "registered")
    refused = run(words)
    assert refused.exit_code == 1, refused.output
    assert said in refused.stderr
    near = words.split()[-1].replace("nosuch", "").replace("deploi", "deploy").replace("nod", "node")
    assert near in refused.stderr


def test_a_name_of_which_nothing_was_said_yet_is_none(run: Run, master: FakeMaster) -> None:
    master.add_service("hello", 1)
    for words in ("--about hello", "--about node-2", "--about hello.m-0", "--kind volumes"):
        result = run(f"events {words}")
        assert result.exit_code == 0, result.output
    assert run("endpoints hello").exit_code == run("task list hello").exit_code == 0


def test_what_a_plan_was_asked_is_said_to_programs_too(run: Run, master: FakeMaster) -> None:
    master.add_service("hello", 1)
    said = json.loads(run("plan pause hello deploy -o json").stdout)
    assert said == {"asked": "pause", "service": "hello", "plan": "deploy", "phase": "", "step": ""}


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
def test_a_token_that_others_can_read_is_not_used(run: Run, master: FakeMaster, folder: Path, mode: int) -> None:
    token = folder / "secrets" / "operator.token"
    token.chmod(mode)
    refused = run("status")
    assert refused.exit_code == 1
    assert f"(mode {mode:03o})" in refused.stderr
    assert f"chmod 600 {token}" in refused.stderr
    assert master.calls == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "a service 'hello' is installed already"),
        ("--name other --set cuont=3", "unknown option 'cuont' of package hello, did you mean 'count'?"),
    ],
)
def test_an_install_of_a_file_that_is_refused_registers_nothing(
    run: Run, master: FakeMaster, words: str, said: str
) -> None:
    master.add_service("hello", 1)
    refused = run("install", str(Path(__file__).parents[2] / "examples" / "hello.py"), *words.split())
    assert refused.exit_code == 1
    assert said in refused.output
    assert [path for method, path, _ in master.calls if method in ("PUT", "POST")] == []


@pytest.mark.parametrize("left", ["nothing", "a socket"])
@pytest.mark.parametrize(
    "words",
    [
        *(
            "status",
            "why",
            "events",
            "events -f",
            "open",
            "endpoints",
            "logs hello.web-0",
        ),
        *("node list", "node drain node-1", "task list", "volume list", "operation list", "schedule list"),
        *("secret list", "access list", "service list", "catalog list", "plan show hello", "config show hello"),
        *("install hello", "uninstall hello", "backup hello --to /nowhere", "explain hello", "export --name mine"),
    ],
)
def test_a_cluster_that_is_down_is_said_to_be_at_once(run: Run, folder: Path, words: str, left: str) -> None:
    """Nothing keeps the folder, so nobody will answer however long one waits: also where a keeper that was killed has
    left a socket."""
    (folder / "run").unlink()
    if left == "a socket":
        DataFolder(folder).master_socket.parent.mkdir(mode=0o700, parents=True)
        with socket.socket(socket.AF_UNIX) as dead, short_address(DataFolder(folder).master_socket) as address:
            dead.bind(address)
    began = time.monotonic()
    refused = run(words)
    assert refused.exit_code == 1
    assert refused.output.splitlines() == [f"error: no cluster is up at {folder}: `upcall up` starts it"]
    assert time.monotonic() - began < PATIENCE_S / 2


def test_what_an_argument_takes_is_told_with_its_bounds() -> None:
    name = {"type": "string", "pattern": "^[a-z][a-z0-9-]*$", "maxLength": 50}
    assert type_words(name) == (
        "text: lower-case letters, digits and -, a lower-case letter first, at most 50 characters"
    )
    assert type_words({"type": "string", "maxLength": 60}) == "text: at most 60 characters"
    assert type_words({"type": "integer", "minimum": 1, "maximum": 9}) == "integer 1..9"
    assert type_words({"type": "number", "exclusiveMinimum": 0, "maximum": 64}) == "number >0..64"
    assert type_words({"type": "array", "maxItems": 20}) == "list of at most 20"
    assert type_words({"anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}]}) == (
        "text: at least 2 characters or none"
    )


def test_a_grant_of_a_secret_is_listed_and_taken_back_in_words(run: Run, master: FakeMaster) -> None:
    master.secrets["log.admin"] = "x"
    assert run("secret grant log.admin taker").stdout == "secret log.admin may be given by operators to taker\n"
    assert run("secret grant log.admin other").exit_code == 0
    assert run("secret list").stdout.splitlines()[1].split("  ")[::5] == ["log.admin", " other, taker"]
    taken = run("secret revoke log.admin other")
    assert taken.stdout == "the grant of secret log.admin to other is taken back; left: taker\n"
    assert run("secret revoke log.admin taker").stdout == "the grant of secret log.admin to taker is taken back\n"


def test_a_secret_is_listed_with_who_uses_it_and_removed_with_its_grants(run: Run, master: FakeMaster) -> None:
    master.secrets |= {"mail": "x", "old": "x"}
    master.add_service("shop", 1).secrets = ["mail"]
    assert run("secret list").stdout.splitlines() == ["NAME  USED BY  GRANTED TO", "mail  shop", "old"]
    assert run("secret grant old shop").exit_code == 0
    assert run("secret remove old --yes").stdout == "secret old is removed, and with it the grant to shop\n"
    assert run("secret list -o json").stdout.count('"name"') == 1


def test_an_own_file_with_a_secret_that_is_not_there_is_refused_before_it_is_registered(
    run: Run, master: FakeMaster, tmp_path: Path
) -> None:
    master.secrets["mail"] = "x"
    file = tmp_path / "own.py"
    file.write_text("import upcall.service as up\n\n\nclass Own(up.Service):\n    def pods(self):\n        return []\n")
    refused = run(f"install {file} --secret mial")
    assert refused.stderr.splitlines() == [
        "error: no secret 'mial', did you mean 'mail'?",
        "  where:    --secret",
        "  expected: mail; `upcall secret set mial` makes it",
    ]
    assert not [call for call in master.calls if call[0] != "GET"]


def test_a_service_is_given_a_secret_more_or_one_less(run: Run, master: FakeMaster) -> None:
    master.add_service("shop", 1).secrets = ["mail", "old"]
    assert run("update shop --secret new --secret mail --no-secret old --no-wait").exit_code == 0
    assert master.calls[-1][2]["secrets"] == ["mail", "new"]
    refused = run("update shop --no-secret mial")
    assert "shop was not given a secret 'mial', did you mean 'mail'?" in refused.stderr
    assert "expected: mail or old" in refused.stderr


def test_a_package_of_many_words_is_a_row_of_the_list_and_is_shown_whole(run: Run, master: FakeMaster) -> None:
    package = master.packages[0].model_copy(update={"name": "wordy", "description": "Says\nmuch.\n\nAnd\nmore."})
    master.packages.append(package)
    assert any("wordy" in line and line.endswith("Says much.") for line in run("catalog list").stdout.splitlines())
    shown = run("catalog show wordy").stdout.splitlines()
    assert shown[0].endswith("Says much.")
    assert shown[1:3] == ["And", "more."]
