"""How clients connect: texts that are right as they stand, what they log in by in files for their owner alone, and a
shell that is given such a file and no password."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from fake_master import FakeMaster
from upcall.cli.clients import rendered
from upcall.cli.session import Session
from upcall.service import Client

Run = Callable[..., Result]
GREETER = Client(
    "Python", "http", text="open('{{folder}}/login').read()  # {{addresses}} {{host}} {{port}} {{hosts}}",
    files={"login": "{{login}}kind=plain\nuser={{user}}\npassword={{password}}\nat={{addresses}}\n"},
    shell=("{{python}}", "-c", "import sys; print(open(sys.argv[1]).read(), sys.argv)", "{{folder}}/login"),
)  # fmt: skip


@pytest.fixture
def greeter(master: FakeMaster, folder: Path) -> Path:
    view = master.add_service("greeter", 2, steps_done=2)
    view.clients = [
        {"name": GREETER.name, "endpoint": "http", "text": GREETER.text, "files": GREETER.files,
         "shell": list(GREETER.shell)}
    ]  # fmt: skip
    return folder / "clients" / "greeter"


def test_what_is_printed_names_a_file_and_no_password(run: Run, greeter: Path) -> None:
    said = run("endpoints", "greeter").stdout
    assert f"open('{greeter}/login').read()  # 127.0.0.2:8000,127.0.0.3:8000 127.0.0.2 8000" in said
    assert '["127.0.0.2", "127.0.0.3"]' in said
    assert "of-the-client" not in said
    assert (greeter / "login").read_text().splitlines() == [
        "kind=plain", "user=client", "password=of-the-client", "at=127.0.0.2:8000,127.0.0.3:8000",
    ]  # fmt: skip
    assert stat.S_IMODE((greeter / "login").stat().st_mode) == 0o600
    assert stat.S_IMODE(greeter.stat().st_mode) == 0o700


def test_a_program_is_told_what_it_was_told_before(run: Run, greeter: Path) -> None:
    (one,) = json.loads(run("endpoints", "greeter", "-o", "json").stdout)
    assert one["name"] == "http"
    assert not greeter.exists(), "nobody asked for it"


def test_where_nobody_logs_in_nothing_of_a_login_is_left() -> None:
    names = dict.fromkeys(("user", "password", "login"), "") | {"addresses": "a:1"}
    assert rendered(GREETER.files["login"], names) == "at=a:1\n"


def test_the_shell_is_given_a_file_and_no_password(run: Run, greeter: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("connect", "greeter").exit_code == 0
    said = capfd.readouterr().out
    assert "password=of-the-client" in said
    assert said.count("of-the-client") == 1, "it stands in the file alone"


def test_how_a_shell_ends_is_how_the_command_does(run: Run, greeter: Path, master: FakeMaster) -> None:
    master.services["greeter"].clients[0]["shell"] = ["{{python}}", "-c", "raise SystemExit(3)"]
    assert run("connect", "greeter").exit_code == 3


def test_of_a_cluster_elsewhere_no_shell_is_opened(run: Run, greeter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "control_plane", "kubernetes")
    done = run("connect", "greeter")
    assert done.exit_code == 1
    assert "from within their cluster" in done.stderr
    assert not greeter.exists()


def test_the_version_of_the_system_is_known(run: Run, greeter: Path, master: FakeMaster) -> None:
    master.services["greeter"].clients[0]["text"] = "pip install greeter=={{version}}"
    said = run("endpoints", "greeter").stdout
    assert f"greeter=={master.services['greeter'].version}" in said


def test_what_has_no_shell_says_what_it_has(run: Run, master: FakeMaster) -> None:
    master.add_service("greeter", 1, steps_done=1)
    done = run("connect", "greeter")
    assert done.exit_code == 1
    assert "greeter has no shell" in done.stderr
    assert "`upcall endpoints greeter`" in done.stderr


def test_a_command_that_somebody_uploaded_is_not_started(run: Run, greeter: Path, master: FakeMaster) -> None:
    master.packages[0].own = True
    done = run("connect", "greeter")
    assert done.exit_code == 1
    assert "somebody uploaded" in done.stderr


def test_while_no_member_is_ready_there_is_nothing_to_connect_to(run: Run, greeter: Path, master: FakeMaster) -> None:
    (endpoint,) = master.services["greeter"].endpoints
    endpoint.addresses = []
    done = run("connect", "greeter")
    assert done.exit_code == 1
    assert "no member of greeter is ready" in done.stderr
