"""``install -f``: all or nothing, at the same time, actions in their order, and again without harm."""

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
        "/v1/services/two/actions/greet",
        "/v1/services/one/actions/greet",
    ]
    assert [body["name"] for path, body in posts if path.endswith("/greet")] == ["first", "second"]


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
    result = run(
        "install -f",
        written(
            tmp_path,
            TWO.replace("{package: greeter, name: two}", "{package: greeter, name: two, options: {members: 99}}"),
        ),
    )
    assert result.exit_code == 1
    assert "99 is out of range" in result.stderr
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
