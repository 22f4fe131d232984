"""What the guard counts, beside what the conversations and properties show."""

import pytest

from upcall.operations import inputs as given
from upcall.operations.ledger import Ledger
from upcall.operations.table import Kind


def service_with_a_job() -> Ledger:
    """Two members of which one must stay, and a job that does not count; all ready on one node each."""
    ledger = Ledger([], start=1)
    steps: list[given.Input] = [
        given.Started(),
        given.DeclareService(name="log", minimum=1),
        given.HostSubscribed(service="log"),
        given.DeclareMembers(
            service="log",
            members=(
                given.MemberDeclaration(name="a"),
                given.MemberDeclaration(name="b"),
                given.MemberDeclaration(name="job", counts=False),
            ),
        ),
        given.StartMembers(service="log", members=("a", "b", "job")),
    ]
    for node, member in (("n1", "a"), ("n2", "b"), ("n3", "job")):
        steps += [
            given.NodeObserved(node=node, state="up"),
            given.TaskObserved(service="log", member=member, incarnation=1, state="ready", node=node),
        ]
    for step in steps:
        assert ledger.handle(step, 0.0, 0.0).refused is None
    return ledger


def stop(ledger: Ledger, member: str) -> str:
    """Proposes a stop, has it accepted, and gives its state."""
    asked = ledger.handle(
        given.Propose(kind="stop", asked_by="me", service="log", members=(member,), window_s=600, on_deadline="hold"),
        1.0,
        1.0,
    )
    answers = {asked.operation: given.Answer(verdict="accept")}
    ledger.handle(given.Answers(service="log", epoch=ledger.pending("log").epoch, answers=answers), 1.0, 1.0)
    operation = ledger.operation(asked.operation)
    assert operation is not None
    return operation.state


def test_a_job_does_not_stand_in_for_a_member() -> None:
    ledger = service_with_a_job()
    assert stop(ledger, "a") == "executing"
    assert stop(ledger, "b") == "open"


def test_a_job_may_go_at_any_time() -> None:
    ledger = service_with_a_job()
    assert stop(ledger, "a") == "executing"
    assert stop(ledger, "job") == "executing"


@pytest.mark.parametrize("kind", ["evict", "restart"])
def test_after_a_start_of_the_master_nobody_is_taken_for_down_of_whom_nothing_was_heard(kind: Kind) -> None:
    """Its service, which has heard as little, agrees: who is down anyway may go."""
    before = service_with_a_job()
    assert asked_to_go(before, "a", kind) == "open"
    ledger = Ledger(before.records(), start=2)
    for step in (given.Started(), given.HostSubscribed(service="log"), given.NodeObserved(node="n1", state="up")):
        assert ledger.handle(step, 10.0, 10.0).refused is None
    accept(ledger, "op-1", 10.0)
    assert state(ledger, "op-1") == "open", "nothing was heard of any of them"
    ledger.handle(given.TaskObserved(service="log", member="a", incarnation=1, state="ready", node="n1"), 11.0, 11.0)
    assert state(ledger, "op-1") == "open", "it alone is ready"
    ledger.handle(given.NodeObserved(node="n2", state="up"), 12.0, 12.0)
    ledger.handle(given.TaskObserved(service="log", member="b", incarnation=1, state="ready", node="n2"), 12.0, 12.0)
    assert state(ledger, "op-1") == "executing"


def test_who_is_known_not_to_be_ready_after_a_start_of_the_master_costs_nothing() -> None:
    before = service_with_a_job()
    asked_to_go(before, "a", "restart")
    ledger = Ledger(before.records(), start=2)
    for step in (given.Started(), given.HostSubscribed(service="log"), given.NodeObserved(node="n1", state="up")):
        assert ledger.handle(step, 10.0, 10.0).refused is None
    accept(ledger, "op-1", 10.0)
    ledger.handle(given.TaskObserved(service="log", member="a", incarnation=1, state="unready", node="n1"), 11.0, 11.0)
    assert state(ledger, "op-1") == "executing"


def asked_to_go(ledger: Ledger, member: str, kind: Kind) -> str:
    """By a person, or by somebody on the substrate; gives its state."""
    step: given.Input = given.Propose(kind=kind, asked_by="me", service="log", members=(member,), window_s=600)
    if kind == "evict":
        step = given.DisruptionBegan(
            id="drain-7", service="log", member=member, incarnation=1, verb="evict", firmness="intercepted",
            reason="upgrade", who="somebody", deadline_s=600.0,
        )  # fmt: skip
    assert ledger.handle(step, 1.0, 1.0).refused is None
    return state(ledger, "op-1")


def accept(ledger: Ledger, operation: str, now_s: float) -> None:
    answers = {operation: given.Answer(verdict="accept")}
    pending = ledger.pending("log")
    assert (
        ledger.handle(given.Answers(service="log", epoch=pending.epoch, answers=answers), now_s, now_s).refused is None
    )


def state(ledger: Ledger, operation: str) -> str:
    found = ledger.operation(operation)
    assert found is not None
    return found.state
