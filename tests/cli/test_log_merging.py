"""The logs of all members of a service, and of several, as one."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue

import pytest
from typer.testing import Result

from fake_master import FakeMaster
from upcall.cli.log_lines import PALETTE, colour_of

Run = Callable[..., Result]

FAR_S = 120.0


class Following:
    """``upcall logs ... -f`` as a process, whose lines are read as they come."""

    def __init__(self, folder: Path, *words: str) -> None:
        command = [sys.executable, "-m", "upcall.cli", "logs", *words, "-f", "--data", str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._lines: Queue[str | None] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def next(self) -> str | None:
        return self._lines.get(timeout=FAR_S)

    def some(self, count: int) -> list[str | None]:
        """In any order: who of several is first is nobody's promise."""
        return sorted((self.next() for _ in range(count)), key=str)


@pytest.fixture
def services(master: FakeMaster) -> Iterator[FakeMaster]:
    for name, members in (("shop", 2), ("store", 1)):
        view = master.add_service(name, members)
        for one in view.members:
            one.state = "ready"
            master.logs[one.member] = [f"{one.member} says {number}" for number in range(30)]
    yield master
    master.ends = set(master.logs)


def test_a_service_is_all_its_members_each_line_with_whose_it_is(run: Run, services: FakeMaster) -> None:
    said = run("logs shop -n 2").stdout.splitlines()
    assert said == [f"m-{one} | shop.m-{one} says {number}" for one in (0, 1) for number in (28, 29)]
    assert len(run("logs shop").stdout.splitlines()) == 40, "20 of each"
    several = run("logs store shop.m-1 -n 1").stdout.splitlines()
    assert several == ["store.m-0 | store.m-0 says 29", "shop.m-1  | shop.m-1 says 29"]
    as_json = run("logs shop -n 1 -o json").stdout.splitlines()
    assert [json.loads(line) for line in as_json] == [
        {"member": f"shop.m-{one}", "line": f"shop.m-{one} says 29"} for one in (0, 1)
    ]


def test_a_single_member_is_as_it_was(run: Run, services: FakeMaster) -> None:
    assert run("logs shop.m-0 -n 2").stdout.splitlines() == ["shop.m-0 says 28", "shop.m-0 says 29"]
    assert run("logs shop.m-0 --grep [58]$ -n 2").stdout.splitlines() == ["shop.m-0 says 25", "shop.m-0 says 28"]
    assert "nothing of that" in run("logs shop.m-0 --grep nobody").stderr


def test_filters_are_for_all_of_them(run: Run, services: FakeMaster) -> None:
    assert run("logs shop --grep says.7").stdout.splitlines() == [f"m-{one} | shop.m-{one} says 7" for one in (0, 1)]
    assert "nothing was printed of that" in run("logs shop --grep nobody").stderr
    for wrong in ("--grep (", "--since soon"):
        assert run(f"logs shop {wrong}").exit_code == 1


def test_a_name_that_nobody_has_is_said_before_anything_is_shown(run: Run, services: FakeMaster) -> None:
    for words in ("logs shop shpo", "logs shpo -f"):
        said = run(words)
        assert (said.exit_code, said.stdout) == (1, "")
        assert "no service or member 'shpo'" in said.stderr
        assert "shop" in said.stderr
    assert "--host takes one service" in run("logs --host shop store").stderr


def test_who_is_followed_and_who_comes_meanwhile(folder: Path, services: FakeMaster) -> None:
    following = Following(folder, "shop", "-n", "1")
    try:
        assert following.some(2) == ["m-0 | shop.m-0 says 29", "m-1 | shop.m-1 says 29"]
        services.logs["shop.m-1"].append("more")
        assert following.next() == "m-1 | more"
        # A third one comes.
        view = services.services["shop"]
        third = view.members[0].model_copy(update={"member": "shop.m-2", "name": "m-2", "task": "shop.m-2.1"})
        services.logs["shop.m-2"] = ["born", "alive"]
        view.members.append(third)
        services.happens("task", "shop.m-2", "it runs")
        assert [following.next(), following.next()] == ["m-2 | born", "m-2 | alive"]
        # The first one starts again.
        first = view.members[0]
        first.incarnation, first.task, services.logs["shop.m-0.2"] = 2, "shop.m-0.2", ["again"]
        services.ends.add("shop.m-0")
        assert following.next() == "m-0 | again"
    finally:
        following.process.kill()
        _, said = following.process.communicate(timeout=FAR_S)
    assert "shop.m-2.1 is followed too" in said
    assert "shop.m-0.1 has ended; shop.m-0.2 follows" in said


def test_following_ends_when_all_are_at_their_end(folder: Path, services: FakeMaster) -> None:
    following = Following(folder, "shop", "-n", "1", "--grep", "says")
    assert following.some(2) == ["m-0 | shop.m-0 says 29", "m-1 | shop.m-1 says 29"]
    services.logs["shop.m-1"] += ["left out", "it says more"]
    assert following.next() == "m-1 | it says more"
    for one in services.services["shop"].members:
        one.state = "finished"
    services.ends = {"shop.m-0", "shop.m-1"}
    assert following.next() is None
    assert following.process.wait(FAR_S) == 0


def test_neighbours_differ_in_colour_and_each_keeps_its_own() -> None:
    members = [f"kafka.broker-{number}" for number in range(len(PALETTE))]
    assert {colour_of(one) for one in members} == set(PALETTE)
    assert [colour_of(one) for one in members] == [colour_of(one) for one in members]
