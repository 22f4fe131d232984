"""What services, tasks and packages say is shown to a person, never obeyed by the terminal."""

import re
from pathlib import Path

import pytest

from upcall.cli import output
from upcall.cli.output import Output
from upcall.cli.printing import visible

EVIL = "gone\x1b[2J\x1b]0;root\x07\r\u202eon"
SHOWN = r"gone\x1b[2J\x1b]0;root\x07\r\u202eon"


def test_control_characters_are_shown_and_line_ends_and_letters_of_all_tongues_stay() -> None:
    assert visible(EVIL) == SHOWN
    assert visible("a\n\tgrün 日本 \x85\ud800") == "a\n\tgrün 日本 \\x85\\ud800"


def test_whatever_is_printed_goes_through_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.say(None, EVIL)
    out.note(EVIL)
    out.table(("reason",), [(EVIL,)], empty="none")
    with out.progress() as progress:
        progress.line(EVIL)
    said = capsys.readouterr()
    assert said.out.count(SHOWN) == 2
    assert said.err.count(SHOWN) == 2
    assert not re.search(r"[\x1b\x07\r]", said.out + said.err)


def test_a_picture_on_a_terminal_shows_them_too() -> None:
    from rich.text import Text

    console = Output().console()
    with console.capture() as seen:
        console.print(Text(EVIL))
    assert r"gone\x1b[2J\x1b]0;root" in seen.get()  # rich itself drops what rings and what returns
    assert not re.search(r"[\x1b\x07\r\u202e]", seen.get())


def test_a_tasks_own_output_is_raw_for_programs_and_shown_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Output().output("\x1b[32mgreen\x1b[0m\x07")
    assert capsys.readouterr().out == "\x1b[32mgreen\x1b[0m\x07\n"
    monkeypatch.setattr(output.sys.stdout, "isatty", lambda: True)
    Output().output("\x1b[32mgreen\x1b[0m\x07")
    assert capsys.readouterr().out == "green\\x07\n"


def test_no_command_prints_past_it() -> None:
    own = {"printing.py", "output.py", "main.py", "kubectl.py", "figures.py"}
    """The one place, and its caller for JSON; words of ours alone before anything is loaded; figures of benchmarks."""
    files = [file for file in Path(output.__file__).parent.glob("*.py") if file.name not in own]
    assert [
        file.name for file in files if re.search(r"(?<!\.)\bprint\(|sys\.std(out|err)\.write", file.read_text())
    ] == []


def test_a_long_line_goes_on_between_words_as_far_in_as_it_began(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output.sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    out = Output()
    out.line("  op-4 stop of kafka.broker-1.1 (windowed, enforced) open: waits for kafka\nshort")
    token = "t" * 60
    out.line(token)
    out.text("key: " + "word " * 12)
    assert capsys.readouterr().out.splitlines() == [
        "  op-4 stop of kafka.broker-1.1",
        "  (windowed, enforced) open: waits for",
        "  kafka",
        "short",
        token,
        "key: " + "word " * 12,
    ]


def test_in_a_file_each_record_is_one_line_whatever_window_it_was_typed_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = Output()
    out.line("word " * 40)
    out.note("word " * 40)
    out.table(("name", "reason"), [("a", "word " * 40)], empty="")
    said = capsys.readouterr()
    assert [len(said.out.splitlines()), len(said.err.splitlines())] == [3, 1]
