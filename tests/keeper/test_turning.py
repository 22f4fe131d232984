"""The keeper looks whether who says that it turns does: with a real supervisor, and code that keeps the interpreter."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_folder import Kept, eventually, kept_in

from upcall.keeper.turning import LOOKS, Thread, Turning, still_s

EVERY_S = 0.25
TURNS = """
import asyncio, ctypes, sys, threading, time
from pathlib import Path
from upcall.service.turning import Turning

go = Path(sys.argv[1])

def keeps():
    while not go.exists():
        time.sleep(0.01)
    go.unlink()
    ctypes.PyDLL(None).sleep(1000)

async def main():
    saying = asyncio.create_task(turning.say())
    threading.Thread(target=keeps, daemon=True).start()
    print("turns", turning.seen, flush=True)
    await saying

turning = Turning()
asyncio.run(main())
"""
PASSED_S = 5.0
WAITS_FOR_IT = Thread("S", 0.02, 0.3, 1000)
SLEEPS = Thread("S", 0.0, 0.0, 1)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with kept_in(Kept(tmp_path / "data")) as kept:
        script = tmp_path / "turns.py"
        script.write_text(TURNS)
        argv = [sys.executable, str(script), str(tmp_path / "go")]
        kept.write_spec({"name": "host", "argv": argv, "turns_s": EVERY_S, "backoff_first_s": 0.01})
        kept.up()
        eventually(lambda: "turns" in kept.log("host"), "it turns")
        yield kept


def test_what_keeps_the_interpreter_to_itself_ends_its_process_with_its_stacks(kept: Kept, tmp_path: Path) -> None:
    first = kept.running("host")
    (tmp_path / "go").touch()
    eventually(lambda: kept.running("host") != first, "started again")
    seen = json.loads((kept.data / "keeper" / "host.still.json").read_bytes())
    assert f'File "{tmp_path / "turns.py"}", line 12 in keeps' in seen["stacks"]
    asleep = [did for number, did in seen["threads"].items() if int(number) != first.pid]
    assert min(did["sleeps"] for did in asleep) == 0
    assert seen["threads"][str(first.pid)]["sleeps"] > 0, "who waits for the interpreter looks for it"
    assert f"keeper: host has not turned for {LOOKS * EVERY_S:g} s, and is ended" in kept.log("host")
    child = eventually(lambda: kept.log("host").count("turns ") == 2 and kept.child("host"), "it turns again")
    assert child["restarts"] == 1


def test_who_is_stopped_and_goes_on_is_left_alone(kept: Kept) -> None:
    first = kept.running("host")
    for _ in range(2):
        first.send(signal.SIGSTOP)
        time.sleep(3 * LOOKS * EVERY_S)
        first.send(signal.SIGCONT)
        time.sleep(EVERY_S)
    assert kept.running("host") == first


@pytest.fixture
def turning(tmp_path: Path) -> Iterator[Turning]:
    found = Turning(1.0, str(tmp_path / "seen"))
    yield found
    found.close()


def test_who_never_said_that_it_turns_is_not_looked_at(turning: Turning) -> None:
    assert not any(turning.look(turning.next, os.getpid()) for _ in range(100))


def test_a_sleep_of_the_machine_counts_as_one_look(turning: Turning) -> None:
    os.write(turning.write, b".")
    looks = [turning.look(turning.next + asleep_s, os.getpid()) for asleep_s in (0, 0, 36_000, 0)]
    assert not any(looks)


def test_who_says_it_in_time_begins_anew(turning: Turning) -> None:
    for _ in range(50):
        os.write(turning.write, b".")
        assert not any(turning.look(turning.next, os.getpid()) for _ in range(3))


@pytest.mark.parametrize(
    ("what", "threads", "counts_s"),
    [
        ("one has it and computes, the others look for it", [Thread("R", 5.0, 0.0, 0), WAITS_FOR_IT, WAITS_FOR_IT], 5),
        ("one has it and waits in C", [SLEEPS, WAITS_FOR_IT], 5),
        ("it was stopped", [Thread("T", 0.0, 0.0, 1), SLEEPS], 0),
        ("somebody looks at it with a debugger", [Thread("t", 0.0, 0.0, 1)], 0),
        ("one waits for the disk", [Thread("D", 0.1, 0.0, 1), WAITS_FOR_IT], 0),
        ("who has it gets no processor", [Thread("R", 0.2, 4.5, 0), WAITS_FOR_IT], 0.5),
        ("nobody gets one", [Thread("R", 0.0, 5.0, 0), Thread("R", 0.001, 4.9, 3)], 0),
        ("it goes from one to the other", [Thread("R", 2.0, 1.0, 200), Thread("S", 1.0, 1.0, 300)], 0),
    ],
)
def test_only_time_in_which_it_could_have_turned_counts(what: str, threads: list[Thread], counts_s: float) -> None:
    before = dict.fromkeys(range(len(threads)), Thread("S", 0.0, 0.0, 0))
    assert still_s(before, dict(enumerate(threads)), PASSED_S) == pytest.approx(counts_s), what
