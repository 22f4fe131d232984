"""When an operation wants an answer."""

from upcall.protocol.service import Operation, Operations
from upcall.service.consent import Verdict, accept, decline, defer
from upcall.service.docket import Docket
from upcall.testing import operation

NOW = "all three ready"
LATER = "one of them down"


def pending(*operations: Operation, epoch: str = "1.1", version: int = 1) -> Operations:
    return Operations(epoch=epoch, version=version, operations=operations)


STOP = operation("stop", "b-1")


def docket(verdict: Verdict | None, at_s: float = 0.0) -> Docket:
    made = Docket()
    assert made.due(pending(STOP), NOW, at_s) == (STOP,)
    made.note(STOP.id, verdict, pending(STOP), NOW, at_s)
    return made


def answered(word: str) -> Operation:
    return operation("stop", "b-1", answer=word)


def test_a_new_operation_wants_an_answer_and_an_answered_one_does_not() -> None:
    assert docket(accept()).due(pending(answered("accept"), version=2), NOW, 9) == ()
    assert docket(decline("no")).due(pending(answered("decline"), version=2), LATER, 9) == ()


def test_an_acceptance_that_stands_is_not_asked_about_by_a_new_host() -> None:
    assert Docket().due(pending(answered("accept")), NOW, 0) == ()
    assert Docket().due(pending(answered("defer")), NOW, 0) == (answered("defer"),)


def test_what_has_begun_or_ended_is_not_asked_about() -> None:
    for state in ("preparing", "executing", "done", "withdrawn"):
        assert Docket().due(pending(operation("stop", "b-1", state=state)), NOW, 0) == ()


def test_a_deferral_is_renewed_before_it_lapses() -> None:
    made = docket(defer("busy", retry_after=10))
    assert made.next_s(1) == 8
    assert made.due(pending(answered("defer"), version=2), NOW, 7.9) == ()
    assert made.due(pending(answered("defer"), version=2), NOW, 8) == (answered("defer"),)


def test_a_deferral_is_looked_at_again_when_the_world_changes_but_not_at_once() -> None:
    made = docket(defer("busy", retry_after=60))
    assert made.due(pending(answered("defer"), version=2), LATER, 0.1) == ()
    assert made.next_s(0.1) == 0.5
    assert made.due(pending(answered("defer"), version=2), LATER, 0.5) == (answered("defer"),)


def test_silence_is_asked_again_later() -> None:
    made = docket(None)
    assert made.due(pending(STOP), NOW, 4.9) == ()
    assert made.due(pending(STOP), NOW, 5) == (STOP,)


def test_an_acceptance_that_ran_out_is_asked_again_when_the_master_shows_it_so() -> None:
    made = docket(accept(valid_s=1))
    assert made.due(pending(STOP, version=1), NOW, 30) == ()
    assert made.due(pending(STOP, version=7), NOW, 30) == (STOP,)


def test_a_new_epoch_asks_about_everything_that_does_not_stand() -> None:
    made = docket(decline("no"))
    assert made.due(pending(answered("decline"), epoch="1.2"), NOW, 1) == (answered("decline"),)
    made = docket(accept())
    assert made.due(pending(answered("accept"), epoch="1.2"), NOW, 1) == ()
    made = docket(accept())
    assert made.due(pending(STOP, epoch="1.2"), NOW, 0.1) == (STOP,)


def test_what_was_deferred_and_has_begun_all_the_same_wakes_nobody() -> None:
    made = docket(defer("busy", retry_after=5))
    assert made.due(pending(operation("stop", "b-1", state="executing"), version=2), NOW, 1) == ()
    assert made.next_s(100) is None


def test_what_is_over_is_forgotten() -> None:
    made = docket(defer("busy"))
    assert made.due(pending(), NOW, 1) == ()
    assert made.next_s(1) is None
