"""Commands that packages bring with them: from what they declare and the schemas of their actions, with one error for
each thing that is wrong."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fake_master import FakeMaster
from upcall.cli import main, own_commands
from upcall.cli.session import Session

Typed = Callable[..., tuple[int, str, str]]
COMMANDS: list[dict[str, Any]] = [
    {"words": "card write", "action": "write-card", "takes": ["name"], "reads": "", "lines": ""},
    {"words": "card list", "action": "cards", "prints": "card"},
    {"words": "card burn", "action": "burn-card", "takes": ["card"], "loses": "all that stands on it"},
    {"words": "card copy", "action": "write-card", "takes": ["text"], "reads": "text", "named_after_it": "name"},
    {"words": "say", "action": "greet", "takes": ["name"], "about": "Greet by hand."},
    {"words": "logs", "member": "m-{number}", "takes": ["number"]},
]


@pytest.fixture
def typed(
    folder: Path, master: FakeMaster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Typed:
    """A whole command line, on a cluster with one service that has commands of its own."""
    view = master.add_service("greeter", 2, steps_done=2)
    view.commands = COMMANDS
    monkeypatch.setenv("UPCALL_DATA", str(folder))

    def type_(*words: str) -> tuple[int, str, str]:
        code = main.run(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return type_


def test_their_help_is_made_of_what_the_actions_say(typed: Typed) -> None:
    code, out, _ = typed("greeter", "--help")
    assert code == 0
    assert "Greet by hand." in out
    assert "Card: write, list, burn, copy." in out
    _, out, _ = typed("greeter", "card", "write", "--help")
    for part in ("NAME", "--text", "--copies", "x>=0", "--style KEY=VALUE", "[required]"):
        assert part in out


def test_what_is_typed_arrives_with_its_types_and_nothing_else(typed: Typed, master: FakeMaster) -> None:
    code, _, _ = typed("greeter", "card", "write", "3", "--text", "007", "--copies", "2", "--style", "ink.dark=true")
    assert code == 0
    asked = next(body for _, path, body in master.calls if path.endswith("/write-card/begin"))
    assert asked == {"name": "3", "text": "007", "copies": 2, "style": {"ink.dark": True}}
    typed("greeter", "card", "write", "4", "--text", "x")
    asked = [body for _, path, body in master.calls if path.endswith("/write-card/begin")][-1]
    assert asked == {"name": "4", "text": "x"}, "the service's own defaults are the service's"


def test_a_column_alone_is_printed_a_line_each_and_json_has_all(typed: Typed, master: FakeMaster) -> None:
    master.cards = {"ace": {"copies": 1}, "two": {"copies": 3}}
    assert typed("greeter", "card", "list")[1] == "ace\ntwo\n"
    assert json.loads(typed("greeter", "card", "list", "-o", "json")[1])[1] == {"card": "two", "copies": 3}


def test_a_file_is_read_and_gives_its_name(typed: Typed, master: FakeMaster, tmp_path: Path) -> None:
    (tmp_path / "My first_card.txt").write_text("what stands on it")
    assert typed("greeter", "card", "copy", str(tmp_path / "My first_card.txt"))[0] == 0
    assert master.cards["my-first-card"]["text"] == "what stands on it"
    code, _, err = typed("greeter", "card", "copy", str(tmp_path / "none"))
    assert (code, err.count("error: ")) == (1, 1)
    assert "No such file" in err


def test_what_is_lost_is_asked_first(typed: Typed, master: FakeMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    master.cards = {"ace": {}}
    code, _, err = typed("greeter", "card", "burn", "ace")
    assert code == 1
    assert "all that stands on it is gone for good; nothing was done" in err
    assert "--yes" in err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", _Terminal("n\n"))
    assert typed("greeter", "card", "burn", "ace")[0] == 1
    assert "ace" in master.cards
    monkeypatch.setattr("sys.stdin", _Terminal("y\n"))
    assert typed("greeter", "card", "burn", "ace")[0] == 0
    master.cards = {"ace": {}}
    assert typed("greeter", "card", "burn", "ace", "--yes")[0] == 0
    assert master.cards == {}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_is_not_there_is_named_before_anybody_is_asked(typed: Typed, master: FakeMaster) -> None:
    master.cards = {"ace": {}, "two": {}}
    code, _, err = typed("greeter", "card", "burn", "acee", "--yes")
    assert code == 1
    assert "greeter has no card 'acee', did you mean 'ace'?" in err
    assert "ace or two" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("greeter card wriet x", "Did you mean 'write'?"),
        ("greeter card write", "NAME"),
        ("greeter card write x", "--text"),
        ("greeter card write x --text y --copies -1", "at least 0"),
        ("greeter card write x --text y --copies many", "--copies"),
        ("greeter card write x --text y --colour red", "--colour"),
        ("greeter card write x --text y --style red", "red"),
        ("greeter logs 7", "greeter has none that is called '7'"),
    ],
)
def test_what_is_wrong_is_said_once(typed: Typed, master: FakeMaster, words: str, said: str) -> None:
    code, out, err = typed(*words.split())
    assert code in (1, 2)
    assert said in err
    assert out == ""
    assert err.count("error: ") == 1
    assert not master.cards


def test_the_log_of_a_member_is_one_of_them(typed: Typed) -> None:
    assert typed("greeter", "logs", "0", "-n", "2")[1] == "line 0\nline 1\n"


def test_a_service_whose_package_names_none_has_one_for_each_action(typed: Typed, master: FakeMaster) -> None:
    master.services["greeter"].commands = []
    assert typed("greeter", "greet", "--name", "you")[1] == "greet of greeter: said=hello you\n"


def test_the_first_word_may_be_the_package_of_one_service(typed: Typed, master: FakeMaster) -> None:
    master.services["hello"] = master.services.pop("greeter").model_copy(update={"name": "hello"})
    assert typed("greeter", "say", "you")[0] == 0
    other = master.add_service("other", 1, steps_done=1)
    other.commands = COMMANDS
    code, _, err = typed("greeter", "say", "you")
    assert code == 1
    assert "greeter is the package of 2 services" in err
    assert "`upcall hello ...` or `upcall other ...`" in err


def test_a_package_without_a_service_says_how_it_gets_one(typed: Typed) -> None:
    code, _, err = typed("archive", "show")
    assert code == 1
    assert "`upcall install archive` first" in err


def test_a_word_that_is_neither_names_the_nearest_of_both(typed: Typed, folder: Path) -> None:
    code, _, err = typed("greter", "say")
    assert code == 2
    assert "did you mean `upcall greeter`?" in err
    assert "did you mean `upcall status`?" in typed("statsu")[2]


def test_while_nobody_answers_it_is_said_why_no_service_is_known(
    typed: Typed, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upcall.client.blocking.PATIENCE_S", 0.1)
    (folder / "run").unlink()
    code, _, err = typed("greeter", "say", "you")
    assert code == 1
    assert "`upcall up`" in err
    assert err.count("error: ") == 1


def test_they_are_completed_beside_ours(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def completed(line: str) -> list[str]:
        words = {"_UPCALL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        for name, value in words.items():
            monkeypatch.setenv(name, value)
        assert main.run([]) == 0
        for name in words:
            monkeypatch.delenv(name)
        return capsys.readouterr().out.split()

    assert completed("upcall gree") == ["greeter"]
    assert completed("upcall greeter card ") == ["write", "list", "burn", "copy"]
    assert "--copies" in completed("upcall greeter card write --c")
    assert "install" in completed("upcall inst")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_what_completes(typed: Typed, shell: str) -> None:
    code, out, _ = typed("completion", shell)
    assert code == 0
    assert f"complete_{shell}" in out
    assert typed("completion", "csh")[0] == 2


def test_none_of_ours_is_hidden_by_a_service_of_its_name(typed: Typed, master: FakeMaster, folder: Path) -> None:
    master.add_service("status", 1, steps_done=1)
    assert typed("status")[0] == 0
    session = Session(folder)
    assert [name for name, _, _ in own_commands.all_of(session)] == ["greeter"]


def test_which_cluster_is_meant_may_be_said_as_everywhere(typed: Typed, folder: Path, tmp_path: Path) -> None:
    for words in (("--data", str(tmp_path / "none")), (f"--data={tmp_path / 'none'}",)):
        assert typed("greeter", "say", "you", *words)[0] == 2, "no cluster, so no service"
        assert typed(*words, "greeter", "say", "you")[0] == 2
    assert typed("--data", str(folder), "greeter", "say", "you")[0] == 0
