"""The first level: help at once, unknown commands, exit codes, and the process as a whole."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from fake_master import FakeMaster
from upcall import __version__
from upcall.cli.main import COMMANDS, NOUNS, application, help_text, run
from upcall.operations import ways
from upcall.protocol.operator import Event

FIRST_LEVEL = [sys.executable, "-m", "upcall.cli"]


def test_help_names_every_command_and_imports_no_library() -> None:
    for name in COMMANDS:
        assert f"  {name} " in help_text()
    code = (
        "import sys; from upcall.cli.main import run; code = run(['--help']); "
        "heavy = {'typer', 'rich', 'pydantic', 'aiohttp', 'yaml'} & set(sys.modules); print(heavy); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180)
    assert done.stdout.splitlines()[-1] == "set()"


def test_every_command_is_there_with_a_help_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert run([name, "--help"]) == 0
        assert "Usage:" in capsys.readouterr().out
    assert len(application().registered_commands) == len(set(COMMANDS) - NOUNS)


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["instal"]) == 2
    assert "`upcall install`" in capsys.readouterr().err
    assert run([]) == 2
    assert run(["--version"]) == 0


def test_the_release_is_said_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["version"], ["version", "-o", "table"]):
        assert run(words) == 0
        assert capsys.readouterr().out == f"upcall {__version__}\n"
    assert run(["version", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == __version__


def test_help_is_short_too_at_each_level(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["-h"], ["node", "-h"], ["node", "drain", "-h"], ["backup", "-h"], ["install", "-h"]):
        assert run(words) == 0
        assert "Usage: upcall" in capsys.readouterr().out


def test_shared_options_may_stand_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--data", str(folder), "--output=json", "node", "list"]) == 0
    assert '"node-1"' in capsys.readouterr().out


def test_a_folder_without_a_cluster_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--data", str(tmp_path)]) == 1
    assert "`upcall up` first" in capsys.readouterr().err


def test_a_master_that_is_away_says_what_to_do(
    folder: Path, master: FakeMaster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "run").unlink()
    monkeypatch.setattr("upcall.cli.session.Client.of", _impatient)
    assert run(["status", "--data", str(folder)]) == 1
    assert "`upcall up` starts it" in capsys.readouterr().err


def _impatient(data):  # type: ignore[no-untyped-def]
    from upcall.client.blocking import Client
    from upcall.client.folder import token_of

    return Client(data.master_socket, token_of(data), patience_s=0.1)


def test_a_wrong_token_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "secrets" / "operator.token").write_text("wrong")
    assert run(["status", "--data", str(folder)]) == 1
    assert "no valid token" in capsys.readouterr().err


def test_interrupt_ends_a_wait_with_130_and_says_that_it_goes_on(folder: Path, master: FakeMaster) -> None:
    master.step_s = 600
    command = [*FIRST_LEVEL, "install", "greeter", "--data", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 180
    while "greeter" not in master.services and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "greeter goes on" in errors
    assert "greeter" in master.services


def test_a_reader_that_goes_away_is_no_error(folder: Path, master: FakeMaster) -> None:
    for number in range(3000):
        event = Event(sequence=number + 1, at=0.0, kind="task", subject="many", text="x" * 200)
        master.events.append(event)
    command = f"{' '.join(FIRST_LEVEL)} events -n 3000 --data {folder} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=180, check=False)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    "words", ["--help", "--version", "status", "status -o json", "node list", "events -n 3000", "events -o json", "why"]
)
def test_a_reader_that_is_gone_is_said_by_the_code_of_a_broken_pipe_and_by_no_word(
    folder: Path, master: FakeMaster, words: str
) -> None:
    for number in range(3000):
        event = Event(sequence=number + 1, at=0.0, kind="task", subject="many", text="x" * 200)
        master.events.append(event)
    read, write = os.pipe()
    os.close(read)
    command = [*FIRST_LEVEL, *words.split(), *([] if words.startswith("--") else ["--data", str(folder)])]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=180, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("words", ["--help", "status", "status -o json", "events -n 3000"])
def test_what_can_be_printed_nowhere_is_said_and_no_traceback(folder: Path, master: FakeMaster, words: str) -> None:
    for number in range(3000):
        master.events.append(Event(sequence=number + 1, at=0.0, kind="task", subject="many", text="x" * 200))
    command = [*FIRST_LEVEL, *words.split(), *([] if words.startswith("--") else ["--data", str(folder)])]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=180, check=False)
    said = "error: what was asked for cannot be printed: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("<&-", 0), ("2>&-", 0), (">&- 2>&- <&-", 0)])
def test_a_stream_that_the_caller_closed_is_nowhere(folder: Path, master: FakeMaster, closed: str, code: int) -> None:
    command = f"{' '.join(FIRST_LEVEL)} status --data {folder} {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    assert ("node-1" in done.stdout) == (not closed.startswith(">"))


def test_an_unknown_command_is_told_to_a_program_as_any_other_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stauts", "-o", "json"]) == 2
    said = json.loads(capsys.readouterr().err)["error"]
    assert (said["message"], said["expected"]) == ("no command 'stauts'", "did you mean `upcall status`?")


@pytest.mark.parametrize(
    "words",
    [
        "node drain",
        "install --no-such",
        "status nonsense",
        "events --lines x",
        "scale hello x",
        "config diff hello one",
    ],
)
def test_a_wrong_command_line_is_an_error_like_any_other(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert f"where:    upcall {words.split()[0]}" in said.err
    assert "\u2500" not in said.err, "a box, and no terminal"
    for form in (["--output", "json"], ["-o", "json"], ["-ojson"], ["--output=json"]):
        assert run([*words.split(), *form]) == 2
        assert json.loads(capsys.readouterr().err)["error"]["code"] == "usage"


def test_helps_draw_no_boxes_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["node", "--help"], ["events", "--help"], ["node"]):
        run(words)
        said = capsys.readouterr()
        assert "Usage: upcall" in said.out + said.err
        assert "\u2500" not in said.out + said.err


@pytest.mark.parametrize("module", ["upcall.cli.main", "upcall.cli.exits", "upcall.cli.session", "typer"])
def test_an_interrupt_while_it_imports_ends_it_with_one_word(module: str) -> None:
    """It is sent by the process itself, in the middle of that module."""
    code = f"""
import importlib.abc, os, signal, sys
from upcall.cli.entry import run
class Interrupts(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "{module}":
            print("interrupted there", flush=True)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
sys.exit(run())
"""
    command = [sys.executable, "-c", code, "status"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted there\n", "interrupted\n", 130)


@pytest.mark.parametrize("after_s", [0.02, 0.05, 0.1, 0.2, 0.3, 0.5])
def test_an_interrupt_while_it_begins_leaves_no_traceback(folder: Path, master: FakeMaster, after_s: float) -> None:
    """Whatever module is half-way in at that moment. Python's own first steps, until it has found us, are its own."""
    code = "import sys; from upcall.cli.entry import run; print('begins', flush=True); sys.exit(run())"
    command = [sys.executable, "-c", code, "status", "--data", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=180)
    assert process.returncode in (0, 130, -signal.SIGINT), errors
    assert errors in ("", "interrupted\n")


def test_every_command_that_the_ledger_names_as_a_way_out_is_there() -> None:
    """A way that cannot be gone is worse than none."""
    text = (Path(ways.__file__)).read_text()
    named = set(re.findall(r"upcall ([a-z]+) ([a-z-]+) \{", text))
    assert {("task", "stop"), ("operation", "force")} <= named
    for first, second in sorted(named):
        group: Any = get_command(application(first))
        group = group.commands.get(first, group)
        assert second in group.commands, f"upcall {first} {second}"


def test_the_help_of_a_noun_names_each_of_its_commands_and_cuts_no_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root: Any = get_command(application())
    for noun in sorted(NOUNS):
        group = root.commands[noun]
        _, words = COMMANDS[noun]
        assert (group.help or words).split() == words.split(), f"{noun}: its own help says something else"
        named = set(re.findall(r"[a-z-]+", words))
        assert set(group.commands) <= named, f"{noun}: {sorted(set(group.commands) - named)} is not named"
        assert run([noun, "--help"]) == 0
        assert "..." not in capsys.readouterr().out.replace("[ARGS]...", ""), noun


def test_no_help_shows_a_default_that_it_says_otherwise_in_words() -> None:
    root: Any = get_command(application())

    def all_of(command: Any) -> Iterator[Any]:
        yield from getattr(command, "params", ())
        for one in getattr(command, "commands", {}).values():
            yield from all_of(one)

    for one in all_of(root):
        says = "default:" in (getattr(one, "help", None) or "").lower()
        assert not (says and one.show_default and one.default not in (None, "", False)), one.name


def test_the_usage_of_a_command_says_each_argument_once_and_in_one_pair_of_brackets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def all_of(command: Any, words: list[str]) -> Iterator[list[str]]:
        if not hasattr(command, "commands"):
            yield words
        for name, one in getattr(command, "commands", {}).items():
            yield from all_of(one, [*words, name])

    for words in all_of(get_command(application()), []):
        assert run([*words, "--help"]) == 0
        usage = capsys.readouterr().out.partition("\n\n")[0]
        assert "[[" not in usage, usage
        assert "...]" not in usage, usage
        assert "...}" not in usage, usage
