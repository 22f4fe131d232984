"""The keeper is killed, with real children of which two stand by for it: it comes back by itself, once, and nothing of
it is there twice."""

import json
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kept_folder import Kept, eventually, kept_in, process, start_task

from upcall.keeper import ending, processes, records, spec, start
from upcall.keeper.identity import Identity

STANDS_BY = """
import fcntl, sys, time
from upcall.keeper import standing_by
standing_by.begin()
alone = open(sys.argv[1], "a")
try:
    fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    open(sys.argv[1] + ".twice", "a").close()
print("began", flush=True)
time.sleep(1000)
"""
NAMES = ("master", "agent")


class Standing(Kept):
    """With a master and an agent that stand by, and a host that does not."""

    def begin(self, **more: Any) -> None:
        self.write_spec(*(self.one(name, **more) for name in NAMES), process("host", "exec sleep 1000"))
        assert self.up().returncode == 0
        self.until_whole()

    def one(self, name: str, **more: Any) -> dict[str, Any]:
        argv = [sys.executable, "-c", STANDS_BY, str(self.data / f"alone-{name}")]
        return {"name": name, "argv": argv, "stands_by": True, "backoff_first_s": 0.01, **more}

    def status(self) -> dict[str, Any]:
        return records.read(str(self.data / "keeper" / "status.json")) or {}

    def keeper(self) -> Identity:
        return Identity.from_json(self.status()["supervisor"])

    def identities(self) -> dict[str, Identity]:
        listed = self.status()["processes"]
        return {one["name"]: Identity.from_json(one["identity"]) for one in listed if one["identity"]}

    def next_keeper(self, before: Identity) -> Identity:
        return eventually(lambda: self.keeper() != before and self.keeper(), "another keeper")  # type: ignore[no-any-return]

    def until_whole(self, before: dict[str, Identity] | None = None) -> dict[str, Identity]:
        """All run, none is one of those before, and whoever is to stand by does."""
        old = set((before or {}).values())

        def look() -> bool:
            listed = self.status()["processes"]
            new = {one["name"] for one in listed if one["identity"] and Identity.from_json(one["identity"]) not in old}
            return new == {*NAMES, "host"} and {one["name"] for one in listed if one["stands_by"]} == set(NAMES)

        eventually(look, "the keeper keeps all of them")
        return self.identities()

    def killed_together(self, *names: str) -> Identity:
        """The keeper and these: it cannot notice their death before its own."""
        keeper, running = self.keeper(), self.identities()
        keeper.send(signal.SIGSTOP)
        for name in names:
            running[name].send(signal.SIGKILL)
        keeper.send(signal.SIGKILL)
        return keeper


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Standing]:
    with kept_in(Standing(tmp_path / "data folder")) as kept:
        yield kept
    assert not list(kept.data.glob("*.twice"))


def test_a_killed_keeper_comes_back_and_starts_anew_what_it_kept_and_no_task(kept: Standing) -> None:
    kept.begin()
    _, task = start_task(kept, "node-1", "a.b.1", "exec sleep 1000")
    first, before = kept.keeper(), kept.identities()
    first.send(signal.SIGKILL)
    kept.next_keeper(first)
    kept.until_whole(before)
    eventually(lambda: not any(one.alive() for one in before.values()), "nothing of the first is left")
    assert task.alive()
    assert "the keeper is dead; " in kept.log("keeper")


def test_a_keeper_that_is_killed_again_and_again_comes_back_each_time(kept: Standing) -> None:
    """As soon as one can be told from the one before: while it starts what it keeps, too."""
    kept.begin()
    before, keeper = kept.identities(), kept.keeper()
    for _ in range(5):
        keeper.send(signal.SIGKILL)
        keeper = kept.next_keeper(keeper)
    kept.until_whole(before)
    assert kept.keeper() == keeper


@pytest.mark.parametrize("other", NAMES)
def test_a_keeper_that_is_killed_together_with_another_comes_back(kept: Standing, other: str) -> None:
    kept.begin()
    before = kept.identities()
    kept.next_keeper(kept.killed_together(other))
    kept.until_whole(before)


def test_who_alone_stands_by_is_replaced_with_the_rest(kept: Standing) -> None:
    """It does not live to hear that the keeper which it started has begun."""
    kept.write_spec(kept.one("master"))
    kept.up()
    first, master = kept.keeper(), kept.running("master")
    eventually(lambda: kept.child("master")["stands_by"], "it stands by")
    first.send(signal.SIGKILL)
    kept.next_keeper(first)
    eventually(lambda: kept.child("master")["stands_by"], "the next one stands by")
    assert kept.running("master") != master
    assert not master.alive()


def test_when_all_that_stand_by_are_killed_with_it_tasks_run_on_and_the_next_up_keeps(kept: Standing) -> None:
    kept.begin()
    _, task = start_task(kept, "node-1", "a.b.1", "exec sleep 1000")
    before = kept.identities()
    kept.killed_together(*NAMES)
    eventually(lambda: not any(one.alive() for one in before.values()), "all of ours are dead")
    assert not start.runs(str(kept.data))
    assert task.alive()
    assert kept.up().returncode == 0
    kept.until_whole(before)
    assert task.alive()


def test_a_keeper_that_is_killed_as_it_ends_everything_brings_nothing_back_and_the_end_goes_on(kept: Standing) -> None:
    kept.write_spec(
        kept.one("master", stop_order=2),
        kept.one("agent", stop_order=2),
        process("host", "trap '' TERM; while :; do sleep 1000; done", stop_order=1, grace_s=1000.0),
    )
    kept.up()
    before = kept.until_whole()
    _, task = start_task(kept, "node-1", "a.b.1", "exec sleep 1000")
    kept.ask("shutdown")
    assert ending.read(str(kept.data)) == ending.ALL
    kept.keeper().send(signal.SIGKILL)
    eventually(lambda: not start.runs(str(kept.data)), "the end is over")
    assert processes.marked(str(kept.data)) == []
    assert not any(one.alive() for one in (*before.values(), task))
    assert kept.log("master") == "began\n"


def test_what_is_to_be_let_go_is_let_go_though_its_keeper_is_killed(kept: Standing) -> None:
    kept.begin()
    _, task = start_task(kept, "node-1", "a.b.1", "exec sleep 1000")
    before = kept.identities()
    ending.write(str(kept.data), ending.OURS)
    kept.keeper().send(signal.SIGKILL)
    eventually(lambda: not any(one.alive() for one in before.values()), "all of ours have ended")
    eventually(lambda: not start.runs(str(kept.data)), "nobody keeps it")
    assert task.alive()
    assert kept.log("master") == "began\n"
    eventually(lambda: not processes.kill(lambda: processes.marked(str(kept.data))), "the test's task has ended")


def test_with_its_folder_everything_ends_though_its_keeper_was_killed(kept: Standing) -> None:
    """Nobody makes the folder anew."""
    kept.begin()
    before, keeper = kept.identities(), kept.keeper()
    keeper.send(signal.SIGSTOP)
    shutil.rmtree(kept.data)
    keeper.send(signal.SIGKILL)
    eventually(lambda: not any(one.alive() for one in before.values()), "all of ours have ended")
    eventually(lambda: processes.marked(str(kept.data)) == [], "nothing is left")
    assert not kept.data.exists()


def test_a_keeper_that_cannot_begin_is_tried_again_and_what_it_kept_runs_on_meanwhile(kept: Standing) -> None:
    kept.begin()
    before, keeper = kept.identities(), kept.keeper()
    path = Path(spec.path_of(str(kept.data)))
    good = path.read_bytes()
    path.write_text(json.dumps({"version": 99}))
    keeper.send(signal.SIGKILL)
    eventually(lambda: kept.log("keeper").count("did not start") >= 2, "it was tried twice")
    assert "the spec has version 99" in kept.log("keeper")
    assert all(before[name].alive() for name in NAMES)
    path.write_bytes(good)
    kept.next_keeper(keeper)
    kept.until_whole(before)


def test_nobody_takes_an_address_while_keepers_die(kept: Standing) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address: tuple[str, int] = free.getsockname()
    kept.begin(listen={"api": f"{address[0]}:{address[1]}"})
    over, taken = threading.Event(), threading.Event()

    def thief() -> None:
        while not over.is_set():
            with socket.socket() as mine:
                mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    mine.bind(address)
                except OSError:
                    continue
                taken.set()

    thread = threading.Thread(target=thief)
    thread.start()
    try:
        before, keeper = kept.identities(), kept.keeper()
        for _ in range(3):
            keeper.send(signal.SIGKILL)
            with socket.create_connection(address):  # It waits in the queue of whoever comes.
                keeper = kept.next_keeper(keeper)
        kept.until_whole(before)
    finally:
        over.set()
        thread.join()
    assert not taken.is_set()


def test_who_stands_by_has_no_environment_of_its_own(kept: Standing) -> None:
    kept.write_spec(kept.one("master", env={"A": "1"}))
    done = kept.up()
    assert done.returncode == 1
    assert "master: who stands by has no env of its own" in done.stderr


def test_the_next_keeper_has_the_environment_of_the_first(kept: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABC", "as it was")
    kept.begin()
    first, before = kept.keeper(), kept.identities()
    first.send(signal.SIGKILL)
    kept.next_keeper(first)
    after = kept.until_whole(before)
    found = dict(
        entry.split(b"=", 1) for entry in Path(f"/proc/{after['host'].pid}/environ").read_bytes().split(b"\0") if entry
    )
    assert found[b"ABC"] == b"as it was"
    assert found[processes.FOLDER_MARK.encode()] == os.fsencode(kept.data.resolve())
    assert not {name for name in found if name in (b"UPCALL_STANDS_BY", b"UPCALL_LISTENING")}
