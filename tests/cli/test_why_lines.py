"""The words of ``upcall why`` over an answer: who decides, until when, and who went over it."""

import time
from typing import Any

from upcall.cli.why import SAID_COLUMNS, end_lines, of_what, who_decides, why_lines
from upcall.protocol.operator import OperationView, TaskView, Why


def _said(one: OperationView, *children: Why) -> Why:
    return Why(operation=one, lines=[f"{one.id} {one.state}"], children=list(children))


def _view(name: str, state: str = "open", klass: str = "windowed", **more: Any) -> OperationView:
    wins = "the service decides, until a person forces it"
    rest = {"kind": "stop", "target": "t", "reason": "", "asked_by": "ann", "who_wins": wins} | more
    return OperationView(id=name, state=state, klass=klass, **rest)


def test_why_says_once_when_the_window_ends_and_what_then() -> None:
    ends = time.time() + 566.5
    stop = _said(_view("op-2", deadline_at=ends, on_deadline="hold"))
    over = _said(_view("op-3", "done", deadline_at=ends, on_deadline="hold"))
    drain = _said(_view("op-1", deadline_at=ends, on_deadline="hold"), stop, over)
    first, window, *below = why_lines(drain)
    assert (first, below) == ("op-1 open", ["  op-2 open", "  op-3 done"])
    assert window.startswith("    window ends in ")
    assert window.endswith(", then hold")
    assert who_decides(drain, now=ends - 566) == "window ends in 9m 26s, then hold"
    assert who_decides(drain, now=ends + 1) == "window is over, then hold"
    left_open = _said(_view("op-1", deadline_at=ends), stop)
    assert who_decides(left_open, now=ends - 5) == "window ends in 5s, then hold"
    assert why_lines(_said(_view("op-1", "executing"), stop))[2].startswith("      window ends in ")


def test_why_says_who_wins_where_no_window_does() -> None:
    assert why_lines(_said(_view("op-1", klass="voluntary")))[1:] == [
        "    Who wins: the service decides, until a person forces it"
    ]
    assert why_lines(_said(_view("op-1", "done", "voluntary"))) == ["op-1 done"]


def test_why_remembers_who_forced_it() -> None:
    done = _said(_view("op-1", "done", forced_by="operator", forced_reason="must"))
    assert why_lines(done) == ["op-1 done", "    forced by operator: must"]
    at_end = _said(_view("op-1", "executing", forced_by="its deadline", forced_reason="--on-deadline force"))
    assert why_lines(at_end)[1] == "    forced by its deadline: --on-deadline force"


def _ended(state: str, **more: Any) -> TaskView:
    now = time.time()
    return TaskView(
        member="kafka.broker-1", service="kafka", name="broker-1", incarnation=3, task="kafka.broker-1.3", state=state,
        since=now - 7_230, exit_code=137, exit_reason="out of memory", last_lines=["one", "two"], ended=2,
        ended_at=now - 7_290, **more,
    )  # fmt: skip


def test_of_a_member_that_is_ready_its_last_end_is_one_line_and_says_where_the_rest_is() -> None:
    ready, before = end_lines(_ended("ready"), whole=False)
    assert ready == "kafka.broker-1 is ready for 2h 00m"
    assert before == (
        "    kafka.broker-1.2 ended 2h 01m ago with exit code 137: out of memory;"
        " `upcall why kafka.broker-1.2` shows its last lines"
    )
    assert end_lines(_ended("ready"), whole=True)[2:] == ["    | one", "    | two"]


def test_of_a_member_that_is_down_its_last_lines_are_shown_at_once() -> None:
    assert end_lines(_ended("ended"), whole=False) == [
        "kafka.broker-1 is ended",
        "    kafka.broker-1.2 ended 2h 01m ago with exit code 137: out of memory",
        "    | one",
        "    | two",
    ]


def test_of_much_that_it_said_the_end_is_shown_in_lines_of_a_terminal_and_where_the_rest_is() -> None:
    much = _ended("ended").model_copy(update={"last_lines": [f"line {n} {'x' * 600}" for n in range(50)]})
    hint, *said = end_lines(much, whole=False)[2:]
    assert hint == "    | ... `upcall why kafka.broker-1.2 -o json` has what came before"
    assert [line.split()[2] for line in said] == [str(n) for n in range(40, 50)]
    assert all(len(line) <= SAID_COLUMNS and line.endswith("...") for line in said)
    hint = end_lines(much.model_copy(update={"ended": 3}), whole=False)[2]
    assert hint == "    | ... `upcall logs kafka.broker-1` has what came before"


def test_a_loss_has_one_name() -> None:
    assert of_what(_view("op-1", kind="lost", target="log.b-1")) == "loss of log.b-1"
