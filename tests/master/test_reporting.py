"""What a person reads of a course of operations, and what is kept as detail."""

from typing import Any

import pytest

from upcall.master import reporting
from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.news import News, OfTask
from upcall.operations.records import Operation
from upcall.protocol.service import PhaseView, PlanView, StepView
from upcall.testing import KINDS
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World


class Reader:
    """Reads a world's events as the master tells them: with the ledger's state at the end of each turn."""

    def __init__(self, kind: SimulatedKind) -> None:
        self.world = World(kind=kind)
        self.lines: list[str] = []
        self.details: list[str] = []
        self.world.watchers.append(self._see)

    def _see(self, world: World, effect: fx.Effect) -> None:
        if not isinstance(effect, News):
            return
        ledger = world.ledger
        by = ledger.made_necessary(effect.subject) if isinstance(effect, OfTask) else None
        detail = reporting.is_detail(effect, ledger.operation(effect.data.get("operation", "")), by)
        line = reporting.text(effect, ledger, effect.data.get("node", ""))
        (self.details if detail else self.lines).append(f"{effect.subject}: {line}")

    def fresh(self) -> list[str]:
        found, self.lines = self.lines, []
        return found


@pytest.fixture(params=KINDS)
def reader(request: pytest.FixtureRequest) -> Reader:
    found = Reader(request.param)
    found.world.install("log", ["b0", "b1", "b2"], minimum=2)
    found.world.advance(10)
    return found


def _accept(reader: Reader, operation: str) -> None:
    world = reader.world
    answer = {operation: given.Answer(verdict="accept")}
    world.send(given.Answers(service="log", epoch=world.ledger.pending("log").epoch, answers=answer))


def test_a_start_is_two_lines_a_member(reader: Reader) -> None:
    about = [line for line in reader.lines if line.startswith("log.b0")]
    assert about == ["log.b0.1: launched", "log.b0.1: ready on n0"]


def test_a_drain_tells_who_asked_who_answered_begin_and_end_with_the_exit_code(reader: Reader) -> None:
    reader.fresh()
    reader.world.send(given.Propose(kind="maintenance", node="n1", asked_by="ann", window_s=600))
    _accept(reader, "op-2")
    reader.world.advance(10)
    assert reader.fresh() == [
        "op-1: windowed maintenance of node n1 proposed by ann",
        "op-2: windowed stop of log.b1.1 proposed by ann: maintenance of n1",
        "op-2: log on stop of log.b1.1: accept, good for 60 s",
        "op-2: stop of log.b1.1 begins: accepted by log",
        "op-2: stop of log.b1.1 is done: exit code 0",
        "op-1: maintenance of node n1 is done: every member there is held or gone",
    ]
    assert "log.b1.1: ended on n1: exit code 0, by op-2 (stop of log.b1.1)" in reader.details


def test_a_crash_tells_the_exit_code_once_and_that_it_is_back(reader: Reader) -> None:
    reader.fresh()
    reader.world.observe(reader.world.substrate.crash("log.b1", reader.world.now_s))
    reader.world.advance(30)
    ended, proposed, begins, done = reader.fresh()
    assert ended.startswith("log.b1.1: ended on n1: ")
    assert proposed.startswith("op-1: involuntary loss of log.b1.1 seen by upcall")
    assert begins.startswith("op-1: loss of log.b1.1 begins: restart here")
    assert done == "op-1: loss of log.b1.1 is done: log.b1.2 is ready"


def test_a_restart_tells_the_exit_code_although_its_end_is_the_next_incarnation(reader: Reader) -> None:
    reader.fresh()
    _propose(reader, "restart")
    _accept(reader, "op-1")
    reader.world.advance(30)
    assert "log.b1.1: ended on n1: exit code 0, by op-1 (restart of log.b1.1)" in reader.fresh()


def test_force_and_its_reason_are_told(reader: Reader) -> None:
    reader.fresh()
    _propose(reader, "restart")
    reader.world.send(given.Force(operation="op-1", who="ann", why="it leaks"))
    assert "op-1: forced by ann: it leaks" in reader.fresh()


def test_a_decline_is_told_in_the_service_s_words(reader: Reader) -> None:
    reader.fresh()
    _propose(reader, "restart")
    epoch = reader.world.ledger.pending("log").epoch
    answers = {"op-1": given.Answer(verdict="decline", reason="no")}
    reader.world.send(given.Answers(service="log", epoch=epoch, answers=answers))
    assert reader.fresh()[1:] == [
        "op-1: log on restart of log.b1.1: decline: no",
        "op-1: restart of log.b1.1: declined by log: no",
    ]


def _propose(reader: Reader, kind: str) -> None:
    reader.world.send(given.Propose(kind=kind, service="log", members=("b1",), asked_by="ann"))  # type: ignore[arg-type]


def test_a_removed_node_is_called_removed(reader: Reader) -> None:
    operation = Operation(
        id="op-1", kind="maintenance", class_="windowed", target=given_target("node-2"), reason="", asked_by="ann",
        removes_node=True,
    )  # fmt: skip
    assert operation.words() == "removal of node-2"


def given_target(node: str):  # type: ignore[no-untyped-def]
    from upcall.operations.records import Target

    return Target(node=node)


# -- plans ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "state", "starts_member", "detail"),
    [
        ("deploy", "running", False, True),
        ("deploy", "done", True, True),  # its task is ready, which was told
        ("deploy", "done", False, False),
        ("deploy", "waiting", True, True),  # for places: the placement was told
        ("deploy", "waiting", False, False),  # for its next try, after an error
        ("deploy", "failed", True, False),
        ("deploy", "forced", True, False),
        ("recovery", "waiting", False, True),
    ],
)
def test_steps_that_tell_nothing_new_are_details(plan: str, state: Any, starts_member: bool, detail: bool) -> None:
    step = StepView(name="s", state=state, reason="why")
    assert reporting.step(plan, "p / s", step, starts_member=starts_member).detail is detail


def test_a_plan_is_told_when_it_is_done_and_when_it_failed() -> None:
    phases = (PhaseView(name="p", strategy="serial", state="done", steps=(StepView(name="s", state="done"),)),)
    running, done = (
        PlanView(name="deploy", state="running", phases=phases),
        PlanView(name="deploy", state="done", phases=phases),
    )
    assert reporting.plan(running, done) == "deploy is done"
    assert reporting.plan(done, done) == ""
    assert reporting.plan(None, running) == ""
    failed = PlanView(name="deploy", state="failed", reason="ValueError: no", phases=phases)
    assert reporting.plan(running, failed) == "deploy failed: ValueError: no"
    assert reporting.plan(failed, failed) == ""


def test_an_uninstall_is_the_service_s_and_begins_once(reader: Reader) -> None:
    reader.fresh()
    reader.world.send(given.Propose(kind="uninstall", service="log", asked_by="ann"))
    _accept(reader, "op-1")
    reader.world.advance(10)
    assert [line for line in reader.fresh() if line.startswith("op-1")] == [
        "op-1: voluntary uninstall of log proposed by ann",
        "op-1: log on uninstall of log: accept, good for 60 s",
        "op-1: uninstall of log begins: accepted by log",
        "op-1: uninstall of log is done: 3 ended",
    ]
