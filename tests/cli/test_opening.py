"""A login code on its way to the browser: who can read it, and who hears what became of it."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from upcall.cli import opening, page_here
from upcall.cli.session import Session
from upcall.protocol.errors import Conflict
from upcall.protocol.operator import LoginCode

URL = "http://127.26.20.1:5080/login?code=abc"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_browser_gets_a_file_that_its_owner_alone_can_read_and_that_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    before = os.umask(0)
    try:
        with opening.leading_to(URL) as file:
            assert (mode(file), mode(file.parent)) == (0o600, 0o700)
            assert not any(part.startswith(".") for part in file.relative_to(tmp_path).parts), "snaps read no others"
            assert URL in file.read_text()
    finally:
        os.umask(before)
    assert not list(tmp_path.iterdir())


def test_the_file_is_gone_when_the_command_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), opening.leading_to(URL):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_the_address_cannot_end_the_script_that_it_stands_in() -> None:
    assert "</script><b>" not in opening._leading("http://x/</script><b>")


class Asked:
    """A client whose answers come one after the other."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self._states = list(states)
        self.client = self

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/v1/login-codes/the-id"
        return self._states.pop(0) if len(self._states) > 1 else self._states[0]


CODE = LoginCode(code="secret", expires_s=60.0, id="the-id")


def followed(*states: dict[str, Any]) -> str:
    return opening.followed(Asked(*states), CODE)  # type: ignore[arg-type]


def test_who_asked_hears_that_the_code_was_used() -> None:
    said = followed({"state": "waiting"}, {"state": "used", "at": 1.0, "text": "a browser of me logged in with it"})
    assert said.startswith("a browser of me logged in with it, at ")


def test_who_asked_hears_that_somebody_else_gave_the_code_in() -> None:
    with pytest.raises(Conflict, match="this login is void: bob gave it in"):
        followed({"state": "refused", "at": 1.0, "by": "bob", "text": "bob gave it in, and was refused"})


def test_a_code_that_nobody_used_is_said_to_be_old() -> None:
    assert "too old" in followed({"state": "expired"})


def test_whoever_became_root_by_sudo_logs_in_by_his_own_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1234")
    assert opening.whose() == 1234
    monkeypatch.setattr(os, "geteuid", lambda: 77)
    assert opening.whose() == 77


def test_a_page_that_is_served_here_says_what_opens_it_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(tmp_path)
    monkeypatch.setattr("sys.argv", ["/usr/bin/upcall", "open"])
    assert page_here.again(session) == f"upcall open --data {tmp_path}"
    monkeypatch.setattr("sys.argv", ["/usr/bin/kubectl-upcall", "open", "-n", "data"])
    assert page_here.again(session) == "kubectl upcall open -n data", "its folder is gone by then"


def test_a_page_that_is_not_installed_is_named_and_not_promised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(page_here, "has_page", lambda: False)
    with pytest.raises(Conflict, match="the page is not installed here") as caught:
        opening.open_page(Session(tmp_path))
    assert "upcall[web]" in caught.value.problem.expected
