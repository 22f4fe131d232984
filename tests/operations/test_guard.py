"""What the guard counts, beside what the conversations and properties show."""

from upcall.operations import inputs as given
from upcall.operations.ledger import Ledger


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
