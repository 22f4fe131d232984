"""Where data and caches lie, as the XDG convention has it."""

from pathlib import Path

import pytest

from upcall.artifacts.cache import default_root
from upcall.client.folder import default_folder
from upcall.protocol import base_folders
from upcall.protocol.errors import Invalid


@pytest.fixture(autouse=True)
def a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "UPCALL_DATA", "UPCALL_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_where_nobody_says_anything_they_lie_in_the_home_folder(a_home: Path) -> None:
    assert default_folder() == a_home / ".local" / "share" / "upcall"
    assert default_root() == a_home / ".cache" / "upcall"


def test_the_conventions_folders_are_taken_and_our_own_variables_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/srv/cache")
    assert (default_folder(), default_root()) == (Path("/srv/data/upcall"), Path("/srv/cache/upcall"))
    monkeypatch.setenv("UPCALL_DATA", "/own/data")
    monkeypatch.setenv("UPCALL_CACHE", "/own/cache")
    assert (default_folder(), default_root()) == (Path("/own/data"), Path("/own/cache"))


def test_a_relative_folder_is_none_as_the_convention_wants_it(monkeypatch: pytest.MonkeyPatch, a_home: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert default_folder() == a_home / ".local" / "share" / "upcall"
    assert default_root() == a_home / ".cache" / "upcall"


def test_a_cluster_that_an_older_upcall_made_in_a_relative_folder_is_found_there(
    monkeypatch: pytest.MonkeyPatch, a_home: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    (a_home / "data" / "upcall").mkdir(parents=True)
    (a_home / "data" / "upcall" / "cluster.json").write_text("{}")
    assert default_folder().resolve() == a_home / "data" / "upcall"


def test_who_has_no_home_is_told_which_variable_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(Invalid, match="no home folder") as caught:
        base_folders.data()
    assert "XDG_DATA_HOME" in caught.value.problem.expected
