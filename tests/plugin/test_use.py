"""Who uses a cluster of tests, and what becomes of it when nobody does: with a guardian, and nothing to guard."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from upcall.cli import footprint
from upcall.protocol.errors import Conflict, Forbidden, Invalid, UpcallError
from upcall.pytest import end, use
from upcall.pytest.holding import Lock, Place, is_taken

WAIT_S = 120.0
"""A condition, not a speed."""
HOLDS = """
import sys
from pathlib import Path
from upcall.pytest.use import enter

held = enter(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
print(held.name, flush=True)
sys.stdin.read()
"""


def until(look: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not look():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    found = tmp_path / "clusters"
    yield found
    if found.exists():
        assert end.end_all(found) == []
    # Also those who guarded a cluster that was ended by hand, while it was to be kept for long.
    until(lambda: not [one for one in psutil.process_iter() if str(found) in " ".join(_words(one))])


def place_of(folder: Path, run: str) -> Place:
    return Place(folder / f"{use.RUN}{run}")


def other_process(folder: Path, run: str, keep_s: float = 0) -> tuple["subprocess.Popen[str]", str]:
    """One that uses it until it is killed; the name of its session."""
    words = [sys.executable, "-c", HOLDS, str(folder), run, str(keep_s)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def killed(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def test_with_the_last_user_everything_goes(folder: Path) -> None:
    held = use.enter(folder, "one", 0)
    place = held.place
    assert is_taken(place.guard)
    assert place.root.is_dir()
    held.leave()
    assert not place.root.exists()
    until(lambda: not list(folder.iterdir()))


def test_with_a_user_that_is_killed_too(folder: Path) -> None:
    process, _ = other_process(folder, "one")
    assert place_of(folder, "one").root.is_dir()
    killed(process)
    until(lambda: not list(folder.iterdir()))


def test_one_of_two_users_leaves_the_cluster_to_the_other(folder: Path) -> None:
    process, theirs = other_process(folder, "one")
    held = use.enter(folder, "one", 0)
    assert held.is_alive(theirs)
    killed(process)
    until(lambda: not held.is_alive(theirs))
    assert held.place.root.is_dir()
    held.leave()
    assert not held.place.root.exists()


def test_a_run_has_a_cluster_of_its_own(folder: Path) -> None:
    one, other = use.enter(folder, "one", 0), use.enter(folder, "other", 0)
    assert one.place.root != other.place.root
    one.leave()
    assert other.place.root.is_dir()
    other.leave()


def test_what_runs_in_its_folder_ends_with_it(folder: Path) -> None:
    held = use.enter(folder, "one", 0)
    marked = {**os.environ, footprint.FOLDER_MARK: str(held.place.data)}
    held.place.data.mkdir()
    left = subprocess.Popen(["sleep", "1000"], env=marked, start_new_session=True)
    held.leave()
    assert left.wait(WAIT_S) == -signal.SIGKILL


def test_a_child_that_is_forked_does_not_hold_it(folder: Path) -> None:
    held = use.enter(folder, "one", 0)
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
    child.start()
    held.leave()
    assert not held.place.root.exists()
    child.kill()
    child.join()


def test_it_is_let_go_though_such_a_child_has_not_run_yet_and_has_it_open(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock").take()
    childs = os.dup(lock.descriptor)
    lock.close()
    assert not is_taken(lock.path)
    os.close(childs)


def test_what_is_handed_over_is_had_by_who_was_given_it(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock").take()
    theirs = os.dup(lock.descriptor)
    lock.hand_over()
    assert is_taken(lock.path)
    os.close(theirs)
    assert not is_taken(lock.path)


def test_what_is_kept_stays_for_the_next(folder: Path) -> None:
    held = use.enter(folder, "one", 600)
    held.leave()
    assert held.place.root.is_dir()
    again = use.enter(folder, "another run", 600)
    assert again.place.root == held.place.root
    again.leave()
    assert held.place.root.is_dir()


def test_the_last_word_on_how_long_it_is_kept_counts(folder: Path) -> None:
    held = use.enter(folder, "", 600)
    held.leave()
    until(lambda: bool(_guardians(held.place)))
    again = use.enter(folder, "", 0.2)
    again.leave()
    until(lambda: not list(folder.iterdir()))


def test_a_time_that_is_over_ends_it(folder: Path) -> None:
    process, _ = other_process(folder, "", 0.2)
    killed(process)
    until(lambda: not list(folder.iterdir()))


def test_what_was_guarded_by_one_that_was_killed_is_cleared_by_the_next(folder: Path) -> None:
    process, _ = other_process(folder, "one")
    place = place_of(folder, "one")
    for pid in _guardians(place):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not is_taken(place.guard))
    killed(process)
    assert place.root.is_dir()
    held = use.enter(folder, "other", 0)
    assert not place.root.exists()
    held.leave()


def test_the_last_user_ends_it_himself_where_nobody_guards_it(folder: Path) -> None:
    held = use.enter(folder, "one", 0)
    for pid in _guardians(held.place):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not is_taken(held.place.guard))
    held.leave()
    assert not list(folder.iterdir())


def _guardians(place: Place) -> list[int]:
    words = ["upcall.pytest.guardian", str(place.root)]
    return [one.pid for one in psutil.process_iter() if _words(one)[2:4] == words]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # It ended meanwhile.


def test_a_cluster_that_another_version_keeps_is_left_alone(folder: Path) -> None:
    held = use.enter(folder, "", 600)
    held.place.about.write_text(json.dumps({"upcall": "9.9.9", "python": "/usr/bin/python9"}))
    with pytest.raises(Conflict, match=r"is upcall 9\.9\.9's of /usr/bin/python9.*10 minutes after its last use"):
        use.enter(folder, "", 600)
    held.leave()
    assert held.place.root.is_dir()


def test_what_is_in_use_is_not_ended_by_hand(folder: Path) -> None:
    held = use.enter(folder, "", 600)
    assert end.end_all(folder) == [f"{held.place.root} is in use"]
    held.leave()
    assert end.end_all(folder) == []
    assert not held.place.root.exists()


def test_a_folder_that_cannot_be_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UpcallError, match="folder") as caught:
        use.enter(tmp_path / "file", "one", 0)
    assert isinstance(caught.value, Forbidden | Invalid)
    with pytest.raises(Invalid, match="clusters of tests cannot lie here"):
        use.enter(tmp_path / "file" / "below", "one", 0)
