"""What is said again and again is one event; how often it was said stands in ``why``."""

from upcall.operations import inputs as given
from upcall.operations import wording
from upcall.operations.records import Policy
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World


def deferring(kind: SimulatedKind) -> tuple[World, str]:
    world = World(kind=kind)
    world.install("log", ["b0", "b1", "b2"], minimum=2, policy=Policy(stuck_after_s=1000))
    world.advance(5)
    node = next(one.node for one in world.ledger.members("log") if one.name == "b1")
    world.send(given.Propose(kind="maintenance", node=node, asked_by="ann", window_s=600))
    return world, next(one.id for one in world.ledger.operations() if one.kind == "stop")


def say(world: World, stop: str, verdict: str, reason: str = "") -> None:
    answer = given.Answer(verdict=verdict, reason=reason, retry_after_s=5)  # type: ignore[arg-type]
    world.send(given.Answers(service="log", epoch=world.ledger.pending("log").epoch, answers={stop: answer}))


def told(world: World, stop: str) -> list[str]:
    return [wording.line(one) for one in world.news if one.kind == "answer" and one.subject == stop]


def test_a_deferral_that_is_renewed_for_the_same_reason_is_one_event_and_why_counts_it(kind: SimulatedKind) -> None:
    world, stop = deferring(kind)
    for _ in range(4):
        say(world, stop, "defer", "moving leaders")
        world.advance(4)
    assert told(world, stop) == ["log on stop of log.b1.1: defer, ask again in 5 s: moving leaders"]
    why = world.ledger.why(stop, world.now_s, world.wall_s)
    assert why is not None
    assert (why.said_times, why.said_last_s) == (4, 4.0)
    assert "Said 4 times, last 4 s ago" in why.sentence()


def test_another_reason_is_news_and_so_is_the_first_one_when_it_comes_back(kind: SimulatedKind) -> None:
    world, stop = deferring(kind)
    for reason in ("moving leaders", "moving leaders", "one is behind", "moving leaders"):
        say(world, stop, "defer", reason)
        world.advance(1)
    assert [text.rpartition(": ")[2] for text in told(world, stop)] == [
        "moving leaders", "one is behind", "moving leaders",
    ]  # fmt: skip


def test_a_deferral_that_ran_out_and_is_given_again_is_still_the_same(kind: SimulatedKind) -> None:
    world, stop = deferring(kind)
    say(world, stop, "defer", "moving leaders")
    world.advance(20)
    say(world, stop, "defer", "moving leaders")
    texts = told(world, stop)
    assert texts == ["log on stop of log.b1.1: defer, ask again in 5 s: moving leaders", "the deferral ran out"]


def test_the_count_survives_being_written_out_and_read_back(kind: SimulatedKind) -> None:
    world, stop = deferring(kind)
    say(world, stop, "defer", "moving leaders")
    say(world, stop, "defer", "moving leaders")
    again = type(world.ledger).load(world.ledger.dump())
    why = again.why(stop)
    assert why is not None
    assert why.said_times == 2


def test_every_acceptance_is_told(kind: SimulatedKind) -> None:
    world, stop = deferring(kind)
    say(world, stop, "defer", "moving leaders")
    say(world, stop, "accept")
    assert told(world, stop) == [
        "log on stop of log.b1.1: defer, ask again in 5 s: moving leaders",
        "log on stop of log.b1.1: accept, good for 60 s",
    ]
