"""``upcall top``: what its screen shows, what its keys do, and how it ends; on a terminal of its own."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from fake_master import FakeMaster
from screen import Screen
from upcall.cli.top.board import TABS, Board, Wish
from upcall.cli.top.drawing import drawn
from upcall.cli.top.keys import read
from upcall.protocol.operator import Event, NodeView, OperationView, ServiceView, Status, TaskView

NOW = 1_000_000.0
FAR_S = 240
EVIL = "gone\x1b[2J"


def board(*, nodes: int = 3, members: int = 6, tab: str = "nodes") -> Board:
    found = Board("upcall-test")
    names = [f"node-{each}" for each in range(1, nodes + 1)]
    status = Status(
        cluster="upcall-test", version="1", master_since=0.0, event_sequence=0,
        nodes=[NodeView(name=one, state="up", zone="a", memory_mib=1024, members=["web.m-0"]) for one in names],
        services=[ServiceView(name="web", package="web", version="1", revision=1, state="running", wanted=members,
                              ready=members, members=[], plans=[])],
        operations=[OperationView(id="op-4", kind="stop", klass="windowed", state="open", target="web.m-0", reason="r",
                                  asked_by="operator", since=NOW - 9,
                                  waits_for="deferred by web: 6 parts would fall below their minimum (a-0, a-1 ...)")],
        waiting=["op-4 waits"],
    )  # fmt: skip
    tasks = [
        TaskView(member=f"web.m-{each}", service="web", name=f"m-{each}", incarnation=1, task=f"web.m-{each}.1",
                 state="ready", node=names[each % nodes], since=time.time(), memory_mib=64)
        for each in range(members)
    ]  # fmt: skip
    found.saw(status, tasks, NOW)
    for each in range(1, 40):
        found.happened(Event(sequence=each, at=NOW, kind="task", subject=f"web.m-{each}", text=f"it is number {each}"))
    found.tab = tab  # type: ignore[assignment]
    return found


def shown(what: Board, width: int = 80, height: int = 24) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=False)
    with console.capture() as seen:
        console.print(drawn(what, width, height, NOW))
    return seen.get().rstrip("\n").split("\n")


# -- what is shown -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (40, 10), (20, 6), (8, 3)])
def test_it_is_never_wider_or_higher_than_the_terminal(tab: str, width: int, height: int) -> None:
    found = board(nodes=30, members=60, tab=tab)
    for key in ("", "end", "enter"):
        found.key(key)
        lines = shown(found, width, height)
        assert len(lines) <= height
        assert max(map(len, lines)) <= width


def test_on_80_by_24_each_view_says_what_is_to_be_known() -> None:
    assert any(re.match(r"node-2 +up +a +0 MiB of 1024 MiB", line) for line in shown(board()))
    assert "3/3 nodes up, 6/6 members ready, 1 waiting" in shown(board())[0]
    assert any("web.m-5" in line and "ready" in line and "node-3" in line for line in shown(board(tab="members")))
    operations = shown(board(tab="operations"))
    assert any(line.startswith("op-4  stop of web.m-0  open") and "deferred by web" in line for line in operations)
    assert operations[-2] == "deferred by web: 6 parts would fall below their minimum (a-0, a-1 ...)", "all of it"
    events = shown(board(tab="events"))
    assert "it is number 39" in events[3], "the newest first"
    assert shown(board())[-1].startswith("1-4 Tab view"), "and the keys are named"


def test_what_is_chosen_is_on_the_screen_and_stays_chosen_when_others_come() -> None:
    found = board(nodes=60)
    for _ in range(5):
        found.key("pagedown")
    assert found.selected is not None
    assert found.selected.name == "node-51"
    assert any("node-51" in line for line in shown(found))
    assert found.status is not None
    fewer = found.status.model_copy(update={"nodes": found.status.nodes[20:]})
    found.saw(fewer, found.tasks, NOW)
    assert found.selected.name == "node-51"


def test_names_and_reasons_give_the_terminal_no_orders() -> None:
    found = board()
    found.happened(Event(sequence=99, at=NOW, kind="task", subject=EVIL, text=EVIL))
    found.tab = "events"
    assert r"gone\x1b[2J" in "\n".join(shown(found))
    found.key("enter")
    assert r"gone\x1b[2J" in "\n".join(shown(found))
    assert "\x1b" not in "\n".join(shown(found))


def test_events_come_once_and_in_their_order() -> None:
    found = Board("c")
    for each in (3, 1, 2, 3, 4):
        found.happened(Event(sequence=each, at=NOW, kind="task", subject="x", text=str(each)))
    assert [one.sequence for one in found.events] == [1, 2, 3, 4]


def test_a_master_that_is_away_is_said_and_what_is_shown_is_said_to_be_old() -> None:
    found = board()
    found.away("the master does not answer: nobody listens", NOW - 7)
    assert "the master does not answer: nobody listens, since 7 s; shown is" in "\n".join(shown(found))
    assert found.status is not None
    found.saw(found.status, found.tasks, NOW)
    assert "does not answer" not in "\n".join(shown(found))


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_drain_is_asked_about_and_only_a_yes_begins_it() -> None:
    found = board()
    found.key("down")
    assert found.key("d") is None
    assert "Drain node-2?" in shown(found)[-2]
    assert shown(found)[-2].endswith("[y/N]")
    assert found.key("d") is None, "no other key is a yes"
    assert "nothing was done" in shown(found)[-2]
    found.key("d")
    assert found.key("y") == Wish("drain", "node-2")
    assert found.question is None


def test_of_a_member_it_is_its_node_that_is_drained() -> None:
    found = board(tab="members")
    found.key("end")
    found.key("d")
    assert found.key("y") == Wish("drain", "node-3")


def test_what_cannot_be_is_said_and_not_asked() -> None:
    found = board()
    found.key("u")
    assert "node-1 is up: there is nothing to undrain" in shown(found)[-2]
    found.key("3")
    found.key("d")
    assert "1 shows the nodes" in shown(found)[-2]
    assert found.question is None


def test_enter_opens_and_escape_goes_back() -> None:
    found = board()
    assert found.key("enter") is None
    assert found.tab == "members"
    assert found.key("enter") == Wish("log", "web.m-0")
    assert found.detail is not None
    found.detail.lines.extend(f"line {each}" for each in range(100))
    assert "line 99" in shown(found)[-3]
    found.key("pageup")
    assert "line 89" in shown(found)[-3]
    found.key("esc")
    assert _nothing_opened(found)
    found.key("tab")
    assert found.key("enter") == Wish("why", "op-4")
    assert found.key("q") == Wish("leave")


def _nothing_opened(found: Board) -> bool:
    return found.detail is None and found.tab == "members"


def test_keys_are_told_apart_however_they_arrive() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"\x1b[A\x1bOBj\x1b[6~\r\t\x1b[Z\x7fq")
    assert read(ours) == ["up", "down", "j", "pagedown", "enter", "tab", "backtab", "backspace", "q"]
    os.write(theirs, b"\x1b")
    assert read(ours) == ["esc"]
    os.close(theirs)
    assert read(ours) is None
    os.close(ours)


# -- on a terminal -----------------------------------------------------------------------------------------------------


@pytest.fixture
def screen(folder: Path, master: FakeMaster) -> Iterator[Screen]:
    master.add_service("hello", 2, steps_done=2)
    found = Screen(folder)
    yield found
    found.close()


def test_a_change_is_shown_because_it_is_told_and_a_drain_is_one_key_and_a_yes(
    screen: Screen, master: FakeMaster
) -> None:
    screen.until("node-3")
    looks = sum(path == "/v1/status" for _, path, _ in master.calls)
    time.sleep(3)
    assert sum(path == "/v1/status" for _, path, _ in master.calls) == looks, "while nothing happens nobody asks"
    screen.type("2")
    screen.until("hello.m-1")
    screen.type("\r")
    screen.until("log of hello.m-0")
    screen.until("line 4")
    screen.type("\x1b")
    screen.until("hello.m-1")
    screen.type("1d")
    screen.until("Drain node-1?")
    screen.type("n")
    screen.until("nothing was done")
    assert {method for method, _, _ in master.calls} == {"GET"}
    screen.type("d")
    screen.until("Drain node-1?")
    screen.type("y")
    screen.until("drain of node-1 is asked")
    assert ("POST", "/v1/nodes/node-1/drain") in {(method, path) for method, path, _ in master.calls}
    screen.type("4")
    screen.until("operation")
    screen.type("q")
    code, _ = screen.end()
    assert code == 0


def test_ctrl_c_ends_it_with_a_word(screen: Screen) -> None:
    screen.until("node-3")
    screen.type("\x03")
    code, said = screen.end()
    assert (code, said.strip()) == (130, "interrupted")


def test_who_ends_it_by_a_signal_finds_the_terminal_as_it_was(screen: Screen) -> None:
    screen.until("node-3")
    screen.process.send_signal(signal.SIGTERM)
    code, _ = screen.end()
    assert code == 128 + signal.SIGTERM


def test_a_cluster_that_is_gone_ends_it_in_words(screen: Screen, master: FakeMaster) -> None:
    screen.until("node-3")
    master.stop()
    code, said = screen.end()
    assert code == 1
    assert "error: " in said


def test_there_is_no_colour_where_none_is_wanted(folder: Path, master: FakeMaster) -> None:
    screen = Screen(folder, NO_COLOR="1")
    said = screen.until("node-3")
    screen.close()
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38;)[0-9;]*m", said)


def test_where_there_is_no_terminal_it_says_what_to_use(folder: Path, master: FakeMaster) -> None:
    for more in ([], ["-o", "json"]):
        done = subprocess.run(
            [sys.executable, "-m", "upcall.cli", "top", "--data", str(folder), *more],
            capture_output=True, text=True, check=False, timeout=FAR_S,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        assert "upcall status --watch" in done.stderr
