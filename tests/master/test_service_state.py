"""The one word that a service is in, and its reason, over the course of a crash loop."""

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from upcall.master import code_trouble
from upcall.master import records as r
from upcall.master.packages import Packages
from upcall.master.service_views import _stands_still
from upcall.master.state import Service
from upcall.master.views import Views
from upcall.operations import inputs as given
from upcall.protocol import operator as view
from upcall.protocol import service as wire
from upcall.protocol.service import PhaseView, PlanView, StepView
from upcall.testing import KINDS
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World

both_kinds = pytest.mark.parametrize("kind", KINDS)


def plan(state: Any) -> tuple[PlanView, ...]:
    steps = (StepView(name="b0", state=state),)
    return (
        PlanView(
            name="deploy", state=state, phases=(PhaseView(name="p", strategy="serial", state=state, steps=steps),)
        ),
    )


class Shown:
    """A world's service, as the operator API shows it."""

    def __init__(self, kind: SimulatedKind, plans: tuple[PlanView, ...]) -> None:
        self.world = World(kind=kind)
        self.world.install("log", ["b0", "b1", "b2"], minimum=2)
        self.world.advance(10)
        core = SimpleNamespace(
            state=SimpleNamespace(ledger=self.world.ledger, packages=Packages()),
            monotonic=lambda: self.world.now_s,
            wall=lambda: self.world.wall_s,
            desired=lambda service: "running",
        )
        self.views = Views(core, SimpleNamespace(), SimpleNamespace(connected=lambda service: True))  # type: ignore[arg-type]
        record = r.ServiceRecord(name="log", package="log", version="1", revision=1, options={})
        self.service = Service(record, plans=plans)

    def state(self) -> tuple[str, str]:
        ready = set(self.world.ready("log"))
        tasks = [
            view.TaskView(
                member=f"log.{name}", service="log", name=name, incarnation=1, task="",
                state="ready" if name in ready else "ended",
            )
            for name in ("b0", "b1", "b2")
        ]  # fmt: skip
        return self.views._service_state(self.service, tasks, len(ready), 3)

    def states_for(self, seconds: int) -> set[str]:
        found = set()
        for _ in range(seconds * 2):
            self.world.advance(0.5)
            found.add(self.state()[0])
        return found

    def crash(self) -> None:
        self.world.observe(self.world.substrate.crash("log.b0", self.world.now_s))


@both_kinds
@pytest.mark.parametrize("deploy", ["running", "done"])
def test_a_crash_loop_is_one_state_whatever_its_member_does_at_the_moment(kind: SimulatedKind, deploy: str) -> None:
    shown = Shown(kind, plan(deploy))
    shown.world.substrate.crashing.add("log.b0")
    shown.crash()
    shown.world.advance(5)
    assert shown.states_for(300) == {"recovering"}


@both_kinds
def test_its_reason_says_how_often_how_last_and_when_it_is_tried_again(kind: SimulatedKind) -> None:
    shown = Shown(kind, plan("done"))
    shown.world.substrate.crashing.add("log.b0")
    shown.crash()
    shown.world.advance(5)
    reasons: set[str] = set()
    for _ in range(60):
        shown.world.advance(0.5)
        reasons.add(shown.state()[1])
    assert any(reason.startswith("b0 ended 5 times, last: it crashes; next try in ") for reason in reasons)
    assert any(reason.endswith(("; now placed", "; now starting")) for reason in reasons)


@both_kinds
def test_two_in_a_crash_loop_are_both_named_and_their_pauses_wait_for_nobody(kind: SimulatedKind) -> None:
    shown = Shown(kind, plan("done"))
    for name in ("log.b0", "log.b1"):
        shown.world.substrate.crashing.add(name)
        shown.world.observe(shown.world.substrate.crash(name, shown.world.now_s))
    shown.world.advance(5)
    reasons, waits = set[str](), list[str]()
    for _ in range(60):
        shown.world.advance(0.5)
        reasons.add(shown.state()[1])
        waits += shown.views.waiting()
    assert any("b0 ended 5 times" in reason and "b1 ended 5 times" in reason for reason in reasons)
    assert not [words for words in waits if "pause" in words], "its service says so"


@both_kinds
def test_a_member_that_is_ready_for_a_moment_between_two_crashes_does_not_make_it_run(kind: SimulatedKind) -> None:
    shown = Shown(kind, plan("done"))
    for _ in range(3):
        shown.crash()
        shown.world.advance(20)
    assert shown.world.ready("log") == ["b0", "b1", "b2"]
    assert shown.state()[0] == "recovering"
    assert shown.state()[1].endswith("; now ready")
    shown.world.advance(61)
    assert shown.state() == ("running", "")


def test_a_job_that_failed_beside_it_makes_no_service_stand_still() -> None:
    (failed,) = plan("failed")
    (running,) = plan("running")[0].phases
    both = replace(failed, phases=(*failed.phases, running))
    assert not _stands_still(both, {"b0"})
    assert _stands_still(both, ()), "a member that counts"
    assert _stands_still(replace(both, state="paused"), {"b0"})


def silent(shown: Shown, state: Any) -> None:
    node = shown.world.substrate.node_of("log.b0")
    shown.world.send(given.NodeObserved(node=node, state=state, reason="a test"))


@both_kinds
def test_who_recovered_and_whose_node_is_silent_now_is_not_recovering(kind: SimulatedKind) -> None:
    shown = Shown(kind, plan("done"))
    for _ in range(3):
        shown.crash()
        shown.world.advance(20)
    shown.world.advance(61)
    silent(shown, "silent")
    (member,) = [one for one in shown.world.ledger.members("log") if one.name == "b0"]
    assert (member.ended_times, member.status) == (0, "unknown")
    assert member.reason.endswith("is silent")


@both_kinds
def test_of_one_in_a_crash_loop_on_a_silent_node_the_node_is_told(kind: SimulatedKind) -> None:
    shown = Shown(kind, plan("done"))
    for _ in range(3):
        shown.crash()
        shown.world.advance(20)
    assert shown.state()[0] == "recovering"
    silent(shown, "silent")
    assert shown.state() == ("degraded", "2 of 3 members ready; b0 ended")


@both_kinds
def test_ready_by_another_declaration_the_loop_is_over(kind: SimulatedKind) -> None:
    """After a rollback: what was told of the declaration that crashed is not so any more."""
    shown = Shown(kind, plan("done"))
    for _ in range(3):
        shown.crash()
        shown.world.advance(20)
    assert shown.state()[0] == "recovering"
    book = shown.world.ledger._book
    member = book.members["log.b0"]
    incarnation, other = member.incarnation, member.launched + 1
    shown.world.send(
        given.TaskObserved(
            service="log", member="b0", incarnation=incarnation, state="ready", node=member.node, generation=other
        )
    )
    assert shown.state() == ("running", "")
    shown.crash()
    assert shown.state()[0] == "recovering", "another end makes a loop of it again"


@both_kinds
def test_one_crash_is_no_crash_loop(kind: SimulatedKind) -> None:
    shown = Shown(kind, plan("done"))
    shown.crash()
    assert shown.state() == ("degraded", "2 of 3 members ready; b0 ended")
    shown.world.advance(10)
    assert shown.state() == ("running", "")


@both_kinds
def test_what_its_own_code_says_is_wrong_makes_it_degraded_although_all_are_ready(kind: SimulatedKind) -> None:
    shown = Shown(kind, plan("done"))
    lags = r.DegradedRecord(key="lag", what="12 of 48 partitions lag", doing="b1 catches up", since=1.0)
    disk = r.DegradedRecord(key="disk", what="b2's disk is nearly full", since=1.0)
    shown.service.health = r.HealthRecord(service="log", version="1", degraded=(lags, disk))
    assert shown.state() == ("degraded", "12 of 48 partitions lag; b1 catches up; and 1 more: `upcall why log`")
    shown.crash()
    assert shown.state() == ("degraded", "2 of 3 members ready; b0 ended"), "what the system sees itself comes first"
    shown.world.advance(10)
    shown.service.health = r.HealthRecord(service="log", version="0", degraded=(lags,))
    assert shown.state() == ("running", ""), "another version of its code saw it, and the present one may not look"


@both_kinds
def test_a_service_whose_code_never_said_what_it_wants_does_not_run(kind: SimulatedKind) -> None:
    shown = Shown(
        kind, (PlanView(name="deploy", state="failed", phases=(), reason="KeyError: 'a' (own.py:9 in task)"),)
    )
    said = "its code cannot say what it wants: KeyError: 'a' (own.py:9 in task); "
    assert shown.state() == ("blocked", said + "`upcall update log` changes its options")


@both_kinds
def test_a_mistake_in_the_code_of_a_deployed_service_is_told(kind: SimulatedKind) -> None:
    (done,) = plan("done")
    shown = Shown(kind, (replace(done, state="failed", reason="KeyError: 'a' (own.py:9 in task)"),))
    said = "its code cannot say what it wants: KeyError: 'a' (own.py:9 in task); "
    assert shown.state() == ("degraded", said + "`upcall update log` changes its options")


def revision(number: int, **more: Any) -> r.RevisionRecord:
    given = {"service": "log", "number": number, "package": "log", "version": str(number), "options": {}, "at": 0.0}
    return r.RevisionRecord(**{**given, **more})


def test_trouble_of_a_change_says_since_when_and_the_ways_out() -> None:
    (done,) = plan("done")
    shown = Shown("kernel", plan("done"))
    now = shown.world.wall_s
    shown.service.plans = (replace(done, state="failed", reason="KeyError: 'a' (own.py:9 in task)", since=now - 12),)
    shown.service.record = replace(shown.service.record, revision=2, version="2")
    shown.service.revisions = {1: revision(1, outcome="done"), 2: revision(2, outcome="failed", began_at=now - 20)}
    own = wire.Package(name="log", version="2", options_schema={}, source="a" * 64, entry="own:Log")
    shown.views._core.state.packages.put(own)
    assert shown.state() == (
        "degraded",
        "the change to revision 2 has failed: its code cannot say what it wants for 12 s: KeyError: 'a' (own.py:9 in"
        " task); `upcall install FILE` brings the file once it is mended, `upcall rollback log` goes back to"
        " revision 1",
    )


def test_trouble_of_the_code_before_is_not_said_of_the_change_that_mends_it() -> None:
    (done,) = plan("done")
    shown = Shown("kernel", plan("done"))
    now = shown.world.wall_s
    shown.service.plans = (replace(done, state="failed", reason="KeyError: 'a'", since=now - 12),)
    shown.service.record = replace(shown.service.record, revision=2)
    shown.service.revisions = {2: revision(2, began_at=now - 1)}
    assert code_trouble.words(shown.views._core, shown.service) == ""


@both_kinds
def test_a_crash_loop_that_a_change_brought_names_the_way_back(kind: SimulatedKind) -> None:
    shown = Shown(kind, plan("done"))
    shown.service.revisions[1] = r.RevisionRecord(
        service="log", number=1, package="log", version="1", options={}, at=0.0, outcome="failed", why="no luck"
    )
    shown.world.substrate.crashing.add("log.b0")
    shown.crash()
    shown.world.advance(5)
    state, reason = shown.state()
    assert state == "recovering"
    assert "`upcall rollback log` goes back" in reason


@both_kinds
def test_a_job_that_failed_says_how_it_ended(kind: SimulatedKind) -> None:
    shown = Shown(kind, plan("done"))
    job = view.TaskView(
        member="log.b0", service="log", name="b0", incarnation=1, task="", state="failed", reason="KeyError: 'x'"
    )
    told = ("degraded", "0 of 1 members ready; b0 failed: KeyError: 'x'")
    assert shown.views._service_state(shown.service, [job], 0, 1) == told


@both_kinds
def test_who_has_no_place_blocks_the_service_with_the_words_of_whoever_places(kind: SimulatedKind) -> None:
    shown = Shown(kind, plan("waiting"))

    def state(reason: str) -> tuple[str, str]:
        tasks = [
            view.TaskView(
                member=f"log.{name}", service="log", name=name, incarnation=1, task="", state=state, reason=reason
            )
            for name, state in (("b0", "ready"), ("b1", "pending"))
        ]
        return shown.views._service_state(shown.service, tasks, 1, 2)

    assert state("0/3 nodes are available: insufficient memory") == (
        "blocked", "b1: 0/3 nodes are available: insufficient memory",
    )  # fmt: skip
    assert state("")[0] == "deploying", "it was only just launched"
