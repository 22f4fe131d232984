"""Whose code stopped a host is found in what is left of it, and that code is not called again until something is
different: no other service pays for it twice."""

import _thread
import faulthandler
import importlib.util
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from upcall.protocol import service as wire
from upcall.service.barred import AGAIN_FIRST_S, STEADY_S, Barred
from upcall.service.hanging import marked
from upcall.service.standing_still import Culprit, culprits

CODE = """
def pods(lock, event, arrived):
    arrived()
    if event is None:
        lock.acquire()  # in C, as far as a stack can tell
    else:
        event.wait()
"""
SOURCE, OTHER = "a" * 64, "b" * 64
STILL_S = 20.0


class Stopped:
    """Threads of several services, each somewhere in its code, and the stacks that a host would leave of them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / SOURCE / "mine.py"
        self._file.parent.mkdir()
        self._file.write_text(CODE)
        self.module = _module(self._file)
        self._out = folder / "stacks"
        self._lock, self._event = _thread.allocate_lock(), threading.Event()
        self._lock.acquire()
        self.did: dict[str, dict[str, float]] = {}
        self._threads: list[threading.Thread] = []

    def one(self, service: str, *, ran_s: float = 0.0, sleeps: int = 0, waits: bool = False) -> None:
        arrived = threading.Event()
        event = self._event if waits else None

        def run() -> None:
            self.did[str(threading.get_native_id())] = {"ran_s": ran_s, "sleeps": sleeps}
            self.module.pods(self._lock, event, arrived.set)

        thread = threading.Thread(target=marked(service, run), daemon=True)
        thread.start()
        arrived.wait()
        self._threads.append(thread)

    def culprits(self) -> list[Culprit]:
        with self._out.open("w") as out:
            faulthandler.dump_traceback(out, all_threads=True)
        threads = re.split(r"\n(?=Thread |Current thread )", self._out.read_text())
        ours = [each for each in threads if any(f"<thread {number}>" in each for number in self.did)]
        return culprits("\n".join(ours), self.did, STILL_S)  # Others are what other tests left in this process.

    def end(self) -> None:
        self._event.set()
        for thread in self._threads:
            if self._lock.locked():
                self._lock.release()
            thread.join(0.1)
        while any(thread.is_alive() for thread in self._threads):
            if self._lock.locked():
                self._lock.release()


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("mine", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Stopped]:
    found = Stopped(tmp_path)
    yield found
    found.end()


def named(found: list[Culprit]) -> set[str]:
    return {each.service for each in found}


def test_who_stands_in_c_is_it_and_not_who_waits_for_a_lock_or_for_the_interpreter(stopped: Stopped) -> None:
    stopped.one("keeps")
    stopped.one("waits-for-a-lock", waits=True)
    stopped.one("waits-for-the-interpreter", sleeps=4000)
    (found,) = stopped.culprits()
    assert (found.service, found.words[-21:]) == ("keeps", "at mine.py:5 in pods,")
    assert SOURCE in Path(found.files[0]).parts


def test_who_computed_all_the_time_is_it_alone(stopped: Stopped) -> None:
    stopped.one("computes", ran_s=19.0)
    stopped.one("stands")
    assert named(stopped.culprits()) == {"computes"}


def test_who_cannot_be_told_apart_is_each_of_them(stopped: Stopped) -> None:
    stopped.one("one")
    stopped.one("other")
    assert named(stopped.culprits()) == {"one", "other"}


def test_nobody_is_it_where_all_only_wait(stopped: Stopped) -> None:
    stopped.one("one", waits=True)
    stopped.one("other", sleeps=4000)
    stopped.one("third", sleeps=4000)
    assert stopped.culprits() == []


# -- what follows from it ----------------------------------------------------------------------------------------------


class Days:
    """A host's folder, and its lives."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen, self.now = folder, folder / "seen.json", 1000.0

    def stood_still(self, service: str = "mine", source: str = SOURCE) -> None:
        mark = f'  File "<thread 7>", line 99 in {service}\n' if service else ""
        stacks = f'Thread 0x00007f (most recent call first):\n  File "/x/{source}/mine.py", line 5 in pods\n{mark}'
        self.seen.write_text(json.dumps({"stacks": stacks, "threads": {"7": {}}, "still_s": STILL_S}))

    def host(self) -> Barred:
        return Barred(self.folder, self.seen, lambda: self.now)


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days(tmp_path)


def assigned(name: str = "mine", source: str = SOURCE, life: float = 1.0) -> wire.Assignment:
    return wire.Assignment(service=name, package=name, version="1", entry="mine:Mine", source=source, installed_at=life)


MINE = {"mine": assigned()}
BOTH = {"mine": assigned(), "twin": assigned("twin")}


def test_the_code_that_stopped_its_host_is_not_called_and_a_host_that_dies_meanwhile_knows_it(days: Days) -> None:
    days.stood_still()
    first = days.host()
    assert first.hear({}) == {}, "nothing is assigned yet"
    assert first.hear(BOTH) == {"mine": "pods() of mine.py:5"}
    assert "pods() of mine.py:5 kept the interpreter to itself, and with it every service here" in first.why("mine")
    assert first.why("twin") == ""
    second = days.host()
    assert second.hear(BOTH) == {}
    assert "or 10 minutes are over" in second.why("mine")


@pytest.mark.parametrize("other", [assigned(source=OTHER), assigned(life=2.0), None])
def test_other_code_another_life_or_none_has_no_bar(days: Days, other: wire.Assignment | None) -> None:
    days.stood_still()
    host = days.host()
    host.hear(MINE)
    host.hear({"mine": other} if other else {"twin": assigned("twin")})
    assert host.why("mine") == ""
    host.hear(MINE)
    assert host.why("mine") == ""


def test_it_is_called_again_after_a_while_and_after_twice_as_long_when_it_stops_the_host_again(days: Days) -> None:
    for pause_s in (AGAIN_FIRST_S, 2 * AGAIN_FIRST_S, 4 * AGAIN_FIRST_S):
        days.stood_still()
        host = days.host()
        host.hear(MINE)
        days.now += pause_s - 1
        assert not host.is_due("mine")
        days.now += 2
        assert host.is_due("mine")
        host.call_again("mine")
        assert host.why("mine") == ""
        assert days.host().why("mine") == "", "a host that is killed meanwhile calls it too"
    days.now += STEADY_S + 1
    days.host().hear(MINE)
    days.stood_still()
    host = days.host()
    host.hear(MINE)
    assert "or 10 minutes are over" in host.why("mine")


def test_a_person_has_it_called_again_once_for_each_restart(days: Days) -> None:
    days.stood_still()
    host = days.host()
    host.hear(MINE)
    assert not host.asked("mine", "")
    assert host.asked("mine", "op-1")
    host.call_again("mine")
    days.stood_still()
    host = days.host()
    host.hear(MINE)
    assert not host.asked("mine", "op-1")
    assert host.asked("mine", "op-2")


def test_files_that_were_only_tried_are_not_tried_again_and_what_runs_is_called(days: Days) -> None:
    days.stood_still(source=OTHER)
    host = days.host()
    assert host.hear(MINE) == {}
    assert host.why("mine") == ""
    assert "pods() of mine.py:5 kept the interpreter to itself" in days.host().why_not_tried(OTHER)
    assert days.host().why_not_tried(SOURCE) == ""


def test_a_thread_that_the_code_made_itself_is_known_by_its_file(days: Days) -> None:
    days.stood_still(service="")
    host = days.host()
    assert set(host.hear({**BOTH, "third": assigned("third", OTHER)})) == {"mine", "twin"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stacks": 1}', '{"stacks": "", "threads": 3, "still_s": "x"}'])
def test_what_nobody_can_read_blames_nobody(days: Days, text: str) -> None:
    days.seen.write_text(text)
    (days.folder / "barred.json").write_text(text)
    assert days.host().hear(MINE) == {}
