"""A person is asked before something is deleted or forced; a script is never held up by a question."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fake_master import FakeMaster

COMMAND = [sys.executable, "-m", "upcall.cli"]
FAR_S = 180

FOR_GOOD = [
    ("volume drop log.m-0:2@node-2", "for good"),
    ("backup remove hello-20260101T000000-0f3a", "for good"),
    ("secret remove login", "for good"),
]
"""What a script has to say ``--yes`` to."""
OTHERS = [
    ("uninstall hello", "its volumes are kept"),
    ("node remove node-2", "leaves for good"),
    ("access revoke ann", "end at once"),
    ("catalog remove greeter", "leaves the catalog"),
    ("finalize hello", "cannot go back"),
    ("restore hello-20260101T000000-0f3a --over orders", "deleted for good"),
]


def typed(folder: Path, words: str, answer: str) -> tuple[int, str]:
    """On a terminal, with what a person types there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *words.split(), "--data", str(folder)], stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        os.write(ours, answer.encode())
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:
            pass  # So a terminal says that nobody holds its other end.
        code = process.wait(FAR_S)
    os.close(ours)
    return code, " ".join(said.decode().split())


def in_a_script(folder: Path, words: str) -> "subprocess.CompletedProcess[str]":
    command = [*COMMAND, *words.split(), "--data", str(folder)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=FAR_S, check=False, stdin=subprocess.DEVNULL
    )  # fmt: skip


@pytest.mark.parametrize(("words", "says"), [*FOR_GOOD, *OTHERS])
def test_who_does_not_say_yes_has_changed_nothing(folder: Path, master: FakeMaster, words: str, says: str) -> None:
    master.add_service("hello", 1, steps_done=1)
    code, said = typed(folder, words, "n\n")
    assert says in said
    assert "Go on? [y/N]" in said
    assert "nothing was done" in said
    assert code == 1
    assert {method for method, _, _ in master.calls} <= {"GET"}


def test_a_yes_typed_or_given_beforehand_goes_on(folder: Path, master: FakeMaster) -> None:
    for words, answer in (("uninstall one", "y\n"), ("uninstall two --yes", "")):
        name = words.split()[1]
        master.add_service(name, 1, steps_done=1)
        code, said = typed(folder, words, answer)
        assert (code, ("Go on?" in said)) == (0, answer != ""), said
        assert ("POST", f"/v1/services/{name}/uninstall") in {(method, path) for method, path, _ in master.calls}


def test_what_is_forced_is_asked_with_what_it_goes_over(folder: Path, master: FakeMaster) -> None:
    operation = master.operation("stop", "hello.m-0", klass="voluntary")
    operation.waits_for = "deferred by hello: a copy is on its way"
    code, said = typed(folder, f"operation force {operation.id} --reason now", "\n")
    assert (code, "a copy is on its way" in said) == (1, True), said
    assert not operation.forced_by


def test_what_is_pruned_is_named_and_asked_before_anything_changes(
    folder: Path, master: FakeMaster, tmp_path: Path
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("name: shop\nservices: [{package: greeter}, {package: greeter, name: other}]\n")
    assert in_a_script(folder, f"apply -f {file}").returncode == 0
    file.write_text("name: shop\nservices: [{package: greeter, options: {members: 3}}]\n")
    master.calls.clear()
    code, said = typed(folder, f"apply --prune -f {file}", "n\n")
    assert (code, "other (the service)" in said, "nothing was done" in said) == (1, True, True), said
    assert set(master.services) == {"greeter", "other"}
    assert not [path for method, path, _ in master.calls if method == "POST" and not path.endswith("preview")]
    code, said = typed(folder, f"apply --prune --yes -f {file}", "")
    assert (code, set(master.services)) == (0, {"greeter"}), said


def test_a_name_that_is_none_is_not_asked_about(folder: Path) -> None:
    code, said = typed(folder, "uninstall nosuch", "y\n")
    assert (code, "no service 'nosuch'" in said, "Go on?" in said) == (1, True, False), said


@pytest.mark.parametrize(("words", "says"), FOR_GOOD)
def test_what_is_gone_for_good_a_script_has_to_mean(folder: Path, master: FakeMaster, words: str, says: str) -> None:
    done = in_a_script(folder, words)
    assert (done.returncode, done.stderr.count("error: ")) == (1, 1), done.stderr
    assert says in done.stderr
    assert "nothing was done" in done.stderr
    assert "expected: the same with --yes" in done.stderr
    assert {method for method, _, _ in master.calls} <= {"GET"}


def test_the_rest_goes_on_in_a_script_as_it_was_typed(folder: Path, master: FakeMaster) -> None:
    master.add_service("hello", 1, steps_done=1)
    done = in_a_script(folder, "uninstall hello")
    assert (done.returncode, "Go on?" in done.stderr) == (0, False), done.stderr


def test_a_question_that_nobody_sees_is_not_asked(folder: Path, master: FakeMaster) -> None:
    """Input is a terminal, errors go to a file: so run what is started by hand, with its output kept."""
    ours, theirs = pty.openpty()
    command = [*COMMAND, "secret", "remove", "login", "--data", str(folder)]
    done = subprocess.run(
        command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=FAR_S, check=False
    )
    os.close(theirs)
    os.close(ours)
    assert (done.returncode, "the same with --yes" in done.stderr) == (1, True), done.stderr
    assert {method for method, _, _ in master.calls} <= {"GET"}


def test_on_a_terminal_nothing_is_coloured_where_nobody_wants_it(
    folder: Path, master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.add_service("hello", 1, steps_done=1)
    coloured = re.compile(r"\x1b\[[0-9;]*(?:3[0-7]|9[0-7]|38;)[0-9;]*m")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    assert coloured.search(typed(folder, "status", "")[1])
    monkeypatch.setenv("NO_COLOR", "1")
    for words in ("status", "events", "uninstall nosuch --yes", "node --help", "logs hello"):
        assert not coloured.search(typed(folder, words, "")[1]), words
