"""``install -f``: all or nothing, at the same time, actions in their order, and again without harm."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from fake_master import FakeMaster

Run = Callable[..., Result]

TWO = """\
services:
  - {package: greeter, name: one, options: {members: 2}}
  - {package: greeter, name: two}
actions:
  - {service: two, action: greet, arguments: {name: first}}
  - {service: one, action: greet, arguments: {name: second}}
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "composition.yaml"
    path.write_text(text)
    return str(path)


def test_services_come_together_and_actions_in_the_files_order(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    result = run("install -f", written(tmp_path, TWO))
    assert result.exit_code == 0, result.output
    assert "one, two: deployed" in result.stdout
    posts = [(path, body) for method, path, body in master.calls if method == "POST"]
    assert [path for path, _ in posts] == [
        "/v1/services",
        "/v1/services",
        "/v1/services/two/actions/greet/begin",
        "/v1/services/one/actions/greet/begin",
    ]
    assert [body["name"] for path, body in posts if path.endswith("/greet/begin")] == ["first", "second"]


def test_what_is_there_already_is_kept(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    file = written(tmp_path, TWO)
    assert run("install -f", file).exit_code == 0
    assert run("install -f", file).exit_code == 0
    assert sum((method, path) == ("POST", "/v1/services") for method, path, _ in master.calls) == 2


def test_another_package_of_that_name_is_refused(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    master.add_service("two", 1, package="archive")
    result = run("install -f", written(tmp_path, TWO))
    assert result.exit_code == 1
    assert "two is there already, made from package archive" in result.stderr
    assert "one" not in master.services  # what this command began was taken away again


def test_a_refused_service_leaves_nothing_behind(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    master.refused = "two"
    result = run("install -f", written(tmp_path, TWO))
    assert result.exit_code == 1
    assert "two is not wanted here" in result.stderr
    assert "one is taken away again" in result.stderr
    uninstalls = [body for _, path, body in master.calls if path == "/v1/services/one/uninstall"]
    assert uninstalls[0]["force"] is True


def test_resources_are_shown_and_checked_first(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    result = run("install -f", written(tmp_path, "requires: {nodes: 9, memory_mib: 1024}\n" + TWO))
    assert result.exit_code == 1
    assert "9 nodes (here: 3)" in result.stderr
    assert not master.services
    fits = run("install -f", written(tmp_path, "requires: {nodes: 2, memory_mib: 1024}\n" + TWO))
    assert "needs 2 nodes, 1.0 GiB memory; here:" in fits.stderr


def test_a_file_and_a_package_at_once_are_refused(run: Run, tmp_path: Path) -> None:
    result = run("install greeter -f", written(tmp_path, TWO))
    assert result.exit_code == 1
    assert "either -f FILE or PACKAGE" in result.stderr


def test_a_missing_file_is_named(run: Run, tmp_path: Path) -> None:
    result = run("install -f", str(tmp_path / "none.yaml"))
    assert result.exit_code == 1
    assert "none.yaml" in result.stderr


def test_a_composition_of_one_service_can_be_applied_again(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    file = written(tmp_path, "services: [{package: greeter}]\n")
    assert run("install -f", file).exit_code == 0
    again = run("install -f", file)
    assert again.exit_code == 0, again.output
    assert "greeter" in master.services


def test_nothing_is_begun_when_an_action_is_unknown(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    result = run("install -f", written(tmp_path, TWO.replace("service: one, action: greet", "service: one, action: x")))
    assert result.exit_code == 1
    assert "one (greeter) has no action 'x'" in result.stderr
    assert not any(method == "POST" for method, _, _ in master.calls)


def test_an_action_that_fails_takes_back_what_was_begun(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    master.add_service("one", 2, steps_done=2).options = {"members": 2}
    master.failing_actions = 1
    result = run("install -f", written(tmp_path, TWO))
    assert result.exit_code == 1
    assert "nobody is there to greet" in result.stderr
    assert "two is taken away again" in result.stderr
    assert list(master.services) == ["one"], "what was there before stays"


def test_an_action_is_asked_again_while_it_cannot_be_answered(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    master.actions_not_now = 2
    result = run("install -f", written(tmp_path, TWO))
    assert result.exit_code == 0, result.output
    assert "two: greet done" in result.stderr


def test_a_plan_of_a_life_before_is_not_deployed_before_its_members_are_ready(
    run: Run, master: FakeMaster, tmp_path: Path
) -> None:
    """After ``down`` and ``up`` the plan is still done, and nothing runs yet."""
    for name in ("one", "two"):
        view = master.add_service(name, 2, steps_done=2)
        view.options = {"members": 2} if name == "one" else {}
        view.state, view.ready, view.reason = "degraded", 0, "0 of 2 members ready"
        for member in view.members:
            member.state = "starting"
    asked_before: list[bool] = []

    def comes_up() -> None:
        asked_before.append(any(path.endswith("/actions/greet/begin") for _, path, _ in master.calls))
        for view in master.services.values():
            view.state, view.ready, view.reason = "running", 2, ""
        master.happens("task", "two.m-1", "ready")

    master.once_looked_at("two", 3, comes_up)
    result = run("install -f", written(tmp_path, TWO))
    assert result.exit_code == 0, result.output
    assert asked_before == [False], "an action was asked of a service of which nothing ran"
    assert "two: greet done" in result.stderr


def test_an_interrupt_says_what_goes_on_and_what_was_not_run(run: Run, master: FakeMaster, tmp_path: Path) -> None:
    master.step_s = 60
    master.once_looked_at("two", 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    result = run("install -f", written(tmp_path, TWO))
    assert result.exit_code == 130
    assert "one, two: what is begun goes on" in result.stderr
    assert "actions not run: two greet, one greet" in result.stderr
