"""What becomes of a member with data that does not come back."""

import asyncio

import pytest

from upcall.catalog.losing import TRY_AGAIN_S, Loss, Losses, after
from upcall.protocol import service as wire
from upcall.service import Member
from upcall.testing import operation
from upcall.testing.virtual import run

HELP = ("the others come back",)


@pytest.mark.parametrize(
    ("loss", "missing", "word"),
    [
        (Loss("m", ended=True), "", "restart"),
        (Loss("m", ended=True), "the only copy", "restart"),
        (Loss("m", ended=True, again=True, exit_code=1), "", "renew"),
        (Loss("m", ended=True, again=True, exit_code=137), "", "restart"),
        (Loss("m", ended=True, again=True, exit_code=1), "the only copy", "defer"),
        (Loss("m", ended=True, again=True, emptied=True, exit_code=1), "", "defer"),
        (Loss("m", ended=True, without=True), "", "renew"),
        (Loss("m", ended=True, without=True, again=True), "", "renew"),
        (Loss("m", ended=True, without=True), "the only copy", "defer"),
        (Loss("m"), "", "wait"),
        (Loss("m"), "the only copy", "defer"),
    ],
)
def test_what_is_said_of_a_loss(loss: Loss, missing: str, word: str) -> None:
    said = after(loss, missing, HELP)
    assert said.word == word
    if word == "defer":
        assert not said.waiting_helps
        assert said.would_help
    if missing and word == "defer":
        assert missing in said.reason


def test_how_it_ended_is_said() -> None:
    loss = Loss("m", ended=True, again=True, exit_code=1, how="No readable meta.properties files found.")
    assert "No readable meta.properties" in after(loss, "", HELP).reason
    assert "No readable meta.properties" in after(loss, "the only copy", HELP).reason


def ended(place: int = 1) -> Member:
    return Member("m", "pod", 0, wire.Member(name="m", state="ended", place=place, exit_code=1))


def test_whose_volume_was_emptied_is_known_by_what_its_node_said_and_starts_anew_without_another_try() -> None:
    said = "not started without what it served with: /x/data has no .upcall-served: it was emptied, or is not mounted"
    member = Member("m", "pod", 0, wire.Member(name="m", state="ended", without_data=True, exit_reason=said))
    answer = after(Losses().of(member, operation("lost", "m", id="op-1")), "", HELP)
    assert answer.word == "renew"
    assert said in answer.reason
    assert "mount its disk" in str(after(Losses().of(member, operation("lost", "m")), "the only copy", HELP).would_help)


def test_a_member_gets_empty_volumes_once_until_it_is_back() -> None:
    losses = Losses()
    first, second, third = (operation("lost", "m", id=name) for name in ("op-1", "op-2", "op-3"))
    assert not losses.of(ended(), first).again
    loss = losses.of(ended(), second)
    assert losses.note(ended(), after(loss, "", HELP)).word == "renew"
    assert losses.note(ended(), after(losses.of(ended(), second), "", HELP)).word == "renew", "asked again"
    assert losses.of(ended(place=2), third).emptied
    losses.back(ended(place=2))
    assert losses.of(ended(place=2), third) == Loss("m", ended=True, exit_code=1)


def test_the_first_question_may_come_after_many_tries_and_what_was_before_it_was_back_does_not_count() -> None:
    def loss(losses: Losses, ends: int, op: str) -> bool:
        seen = wire.Member(name="m", state="ended", exit_code=1, ended_times=ends)
        return losses.of(Member("m", "pod", 0, seen), operation("lost", "m", id=op)).again

    losses = Losses()
    assert loss(losses, 6, "op-2"), "the operation before it was never asked about"
    losses.back(Member("m", "pod", 0, wire.Member(name="m", state="ready", ended_times=6)))
    assert not loss(losses, 7, "op-3"), "it was back between"


def test_what_ended_is_tried_again_from_time_to_time_also_while_a_person_is_waited_for() -> None:
    async def script() -> None:
        losses = Losses()
        losses.of(ended(), operation("lost", "m", id="op-1"))
        said = after(losses.of(ended(), operation("lost", "m", id="op-2")), "the only copy", HELP)
        assert losses.note(ended(), said).word == "defer"
        await asyncio.sleep(TRY_AGAIN_S - 1)
        assert losses.note(ended(), said).word == "defer"
        await asyncio.sleep(2)
        assert losses.note(ended(), said).word == "restart"
        assert losses.note(ended(), said).word == "defer", "and then waited for anew"

    run(script())
