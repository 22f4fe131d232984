"""A member of which two may run at once is brought up elsewhere before what runs is ended."""

import pytest
from answering import held_next

from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.news import TaskEnded
from upcall.operations.records import Policy
from upcall.operations.views import MemberView, PendingSet
from upcall.protocol.declaration import Declaration, Resources
from upcall.testing.simulated import SimulatedKind
from upcall.testing.world import World

START_S = 10.0


def welcome(pending: PendingSet) -> dict[str, given.Answer]:
    return {one.operation.id: given.Answer(verdict="accept") for one in pending.operations if one.asked}


def made_of(kind: SimulatedKind, *names: str, minimum: int = 1, hooks: bool = False) -> World:
    made = World(kind=kind, node_count=len(names) + 2)
    made.host("s", welcome)
    made.install(
        "s", names, minimum=minimum, stateful=False, policy=Policy(answer_s=600), hooks=hooks, two_at_once=True
    )
    made.advance(START_S)
    if hooks:
        for name in names:
            come_back(made, name)
    return made


def come_back(made: World, name: str) -> None:
    made.send(given.Back(service="s", member=name, incarnation=member(made, name).incarnation))


def member(made: World, name: str) -> MemberView:
    return next(view for view in made.ledger.members("s") if view.name == name)


def alive(made: World, name: str = "a") -> list[int]:
    return [task.incarnation for task in made.substrate.alive() if task.member == name]


def wish(made: World, kind: str = "replace", name: str = "a", **more: object) -> str:
    return made.send(given.Propose(kind=kind, asked_by="ann", service="s", members=(name,), **more)).operation  # type: ignore[arg-type]


def drain(made: World, node: str) -> str:
    return made.send(given.Propose(kind="maintenance", asked_by="ann", node=node)).operation


def state(made: World, op: str) -> str:
    found = made.ledger.operation(op)
    assert found is not None
    return found.state


def watch(made: World) -> list[str]:
    """Each end that was told while nothing else of the member was ready."""
    alone: list[str] = []

    def look(world: World, effect: fx.Effect) -> None:
        if isinstance(effect, fx.EndTask) and member(world, effect.member).status != "ready":
            alone.append(f"{effect.member}.{effect.incarnation}")

    made.watchers.append(look)
    return alone


def test_the_new_one_is_ready_before_the_old_one_is_told_to_end(kind: SimulatedKind) -> None:
    made = made_of(kind, "a")
    node, alone = member(made, "a").node, watch(made)
    op = drain(made, node)
    both = False
    for _ in range(40):
        made.advance(0.25)
        both = both or alive(made) == [1, 2]
        assert alive(made), "one of it runs all the time"
    assert both
    assert alone == []
    assert (state(made, op), alive(made), member(made, "a").leaving) == ("done", [2], 0)
    assert member(made, "a").node != node
    assert made.substrate.violations == []


def test_the_only_member_passes_its_minimum_for_nothing_is_taken(kind: SimulatedKind) -> None:
    made = made_of(kind, "a", minimum=1)
    op = wish(made)
    made.advance(30)
    assert (state(made, op), made.ready("s")) == ("done", ["a"])


def test_ready_means_that_the_hooks_have_returned(kind: SimulatedKind) -> None:
    made = made_of(kind, "a", hooks=True)
    op = wish(made)
    made.advance(30)
    assert (alive(made), member(made, "a").leaving) == ([1, 2], 1)
    why = made.ledger.why(op)
    assert why is not None
    assert "s.a.1 runs on until it is back elsewhere" in why.reason
    come_back(made, "a")
    made.advance(5)
    assert (state(made, op), alive(made)) == ("done", [2])


def test_one_that_does_not_become_ready_ends_nothing_and_holds_up_nobody(kind: SimulatedKind) -> None:
    made = made_of(kind, "a", "b", minimum=1)
    made.substrate.slow.add("s.a")
    op = wish(made)
    made.advance(20)
    assert alive(made) == [1, 2]
    made.observe(made.substrate.sicken("s.b", made.now_s))
    made.advance(20)
    assert member(made, "b").incarnation == 2, "it was cured"
    made.substrate.slow.discard("s.a")
    made.observe(made.substrate.crash("s.a", made.now_s))
    made.advance(20)
    assert (state(made, op), alive(made)) == ("done", [3]), "what crashed at the new place was started there again"


def test_a_person_may_end_what_is_left_before_the_new_one_is_ready(kind: SimulatedKind) -> None:
    made = made_of(kind, "a")
    made.substrate.slow.add("s.a")
    op = wish(made)
    made.advance(600)
    why = made.ledger.why(op)
    assert why is not None
    assert [way.command for way in why.ways] == [f'upcall operation force {op} --reason "..."']
    assert made.send(given.Force(operation=op, who="ann", why="the machine burns")).refused is None
    made.advance(5)
    assert state(made, op) == "done"
    assert 1 not in alive(made)


@pytest.mark.parametrize("end", ["uninstall", "shutdown", "scale_in"])
def test_what_ends_the_member_ends_both(kind: SimulatedKind, end: str) -> None:
    made = made_of(kind, "a", minimum=0)
    made.substrate.slow.add("s.a")
    wish(made)
    made.advance(20)
    assert alive(made) == [1, 2]
    named: dict[str, object] = {} if end == "shutdown" else {"service": "s"}
    named |= {"members": ("a",)} if end == "scale_in" else {}
    op = made.send(given.Propose(kind=end, asked_by="ann", force=True, reason="away", **named)).operation  # type: ignore[arg-type]
    made.advance(60)
    assert (state(made, op), alive(made)) == ("done", [])


def test_a_stop_of_the_new_one_leaves_nothing_running(kind: SimulatedKind) -> None:
    made = made_of(kind, "a", minimum=0)
    made.substrate.slow.add("s.a")
    wish(made)
    made.advance(20)
    wish(made, "stop")
    made.advance(60)
    assert (member(made, "a").status, alive(made)) == ("held", [])


def test_an_undrain_in_between_goes_on_to_one(kind: SimulatedKind) -> None:
    made = made_of(kind, "a")
    node = member(made, "a").node
    drain(made, node)
    made.advance(2)
    made.send(given.Undrain(node=node, who="ann"))
    made.advance(30)
    assert (alive(made), made.ready("s")) == ([2], ["a"])


def test_the_old_one_on_a_node_that_falls_silent_is_not_waited_for_and_is_ended_when_it_returns(
    kind: SimulatedKind,
) -> None:
    made = made_of(kind, "a", hooks=True)
    node = member(made, "a").node
    op = drain(made, node)
    made.advance(10)
    made.observe(made.substrate.silence(node, made.now_s))
    made.advance(20)
    come_back(made, "a")
    made.advance(2)
    assert (state(made, op), alive(made)) == ("done", [1, 2])
    made.observe(made.substrate.recover(node, made.now_s))
    made.advance(10)
    assert alive(made) == [2]


def test_without_its_word_what_moves_is_ended_first(kind: SimulatedKind) -> None:
    made = World(kind=kind, node_count=3)
    made.host("s", welcome)
    made.install("s", ["a"], stateful=False)
    made.advance(START_S)
    wish(made)
    for _ in range(40):
        made.advance(0.25)
        assert len(alive(made)) < 2
    assert alive(made) == [2]


def test_a_death_of_the_master_at_every_write_leaves_one_and_never_none(kind: SimulatedKind) -> None:
    for after in range(30):
        made = made_of(kind, "a")
        made.die_after = after
        op = wish(made, key="once") or wish(made, key="once")
        for _ in range(60):
            made.advance(0.5)
            assert alive(made), after
        assert (state(made, op), alive(made), made.substrate.violations) == ("done", [2], []), after


def crash(made: World, name: str = "a") -> None:
    made.observe(made.substrate.crash(f"s.{name}", made.now_s))


def third_places(made: World) -> list[int]:
    """Each place beyond the second that was asked for."""
    asked: list[int] = []

    def look(_: World, effect: fx.Effect) -> None:
        if isinstance(effect, fx.HoldPlace) and effect.place > 2:
            asked.append(effect.place)

    made.watchers.append(look)
    return asked


@pytest.mark.parametrize("second", ["replace", "drain"])
def test_the_new_one_that_crashes_keeps_its_place_whatever_else_is_wanted_of_the_member(
    kind: SimulatedKind, second: str
) -> None:
    made = made_of(kind, "a", "b")
    made.substrate.slow.add("s.a")
    first, asked = wish(made), third_places(made)
    made.advance(20)
    node = member(made, "a").node
    another = drain(made, node) if second == "drain" else wish(made)
    made.advance(5)
    made.substrate.slow.discard("s.a")
    crash(made)
    assert asked == []
    assert member(made, "a").incarnation == 3
    for _ in range(40):
        if state(made, first) != "done":
            assert (member(made, "a").place, asked) == (2, []), "both of its places are in use"
        made.advance(0.5)
    assert (state(made, first), made.ready("s")) == ("done", ["a", "b"])
    made.advance(60)
    assert (state(made, another), len(alive(made)), made.substrate.violations) == ("done", 1, [])


def test_the_new_one_gets_a_third_place_when_its_service_gives_up_the_second(kind: SimulatedKind) -> None:
    made = made_of(kind, "a", "b")
    made.substrate.slow.add("s.a")
    first, asked = wish(made), third_places(made)
    made.advance(20)

    def elsewhere(pending: PendingSet) -> dict[str, given.Answer]:
        lost = given.Answer(verdict="replace")
        return {o.operation.id: lost for o in pending.operations if o.asked and o.operation.kind == "lost"}

    made.host("s", elsewhere)
    made.send(given.DeclareService(name="s", minimum=1, policy=Policy(answer_s=600, on_lost="ask"), stateful=False))
    made.substrate.slow.discard("s.a")
    crash(made)
    made.advance(30)
    assert asked == [3]
    assert (state(made, first), member(made, "a").place, alive(made)) == ("done", 3, [3])


def test_a_drain_of_the_old_ones_node_is_not_done_while_it_serves_there(kind: SimulatedKind) -> None:
    made = made_of(kind, "a")
    node = member(made, "a").node
    made.substrate.slow.add("s.a")
    wish(made)
    made.advance(20)
    assert (alive(made), member(made, "a").leaving) == ([1, 2], 1)
    op = drain(made, node)
    made.advance(1)
    assert state(made, op) == "open"
    made.observe(made.substrate.make_ready("s.a", made.now_s))
    made.advance(20)
    assert (state(made, op), len(alive(made))) == ("done", 1)
    assert member(made, "a").node != node


def test_an_uninstall_that_is_taken_back_leaves_no_two_for_ever(kind: SimulatedKind) -> None:
    made = made_of(kind, "a")
    policy = Policy(answer_s=600, leaves=True)
    made.send(given.DeclareService(name="s", minimum=1, stateful=False, policy=policy))
    made.substrate.slow.add("s.a")
    move = wish(made)
    made.advance(1)
    made.send(given.Confirm(service="s", operation=move))
    made.advance(20)
    assert member(made, "a").leaving == 1
    uninstall = made.send(given.Propose(kind="uninstall", asked_by="ann", service="s")).operation
    made.advance(1)
    assert state(made, uninstall) == "preparing"
    made.send(given.Cancel(operation=uninstall, who="ann"))
    made.observe(made.substrate.make_ready("s.a", made.now_s))
    made.advance(10)
    assert (alive(made), member(made, "a").leaving) == ([2], 0)


def test_how_the_old_one_ended_is_told_and_by_whom(kind: SimulatedKind) -> None:
    made = made_of(kind, "a")
    made.substrate.slow.add("s.a")
    wish(made)
    made.advance(20)
    outcome = made.send(given.TaskObserved(service="s", member="a", incarnation=1, state="ended", exit_code=137))
    ended = [news for news in outcome.effects if isinstance(news, TaskEnded)]
    assert [(news.exit_code, news.by) for news in ended] == [(137, "")]


def stranded(*, minimum: int = 1) -> tuple[World, str]:
    """The move of ``a`` has begun, and the node of the place that was held for it is silent: there is no other."""
    made = World(kind="kernel", node_count=3)
    for name in ("a", "b"):  # One fills a node.
        made.declarations[f"s.{name}"] = Declaration(command=("run",), resources=Resources(memory_mib=3000))
    made.host("s", welcome)
    policy = Policy(answer_s=600, leaves=True)
    made.install("s", ("a", "b"), minimum=minimum, stateful=False, policy=policy, two_at_once=True)
    made.advance(START_S)
    drain(made, member(made, "a").node)
    op = next(each.id for each in made.ledger.operations() if each.kind == "vacate")
    made.advance(1)
    assert state(made, op) == "preparing"
    spare, _ = held_next(made)["s.a"]
    made.observe(made.substrate.silence(spare, made.now_s))
    made.advance(20)
    made.send(given.Confirm(service="s", operation=op))
    made.advance(20)
    assert (state(made, op), alive(made)) == ("executing", [1])
    return made, op


def test_a_person_may_force_a_move_whose_place_has_fallen_away_and_it_ends_first() -> None:
    made, op = stranded()
    made.advance(1000)
    why = made.ledger.why(op)
    assert why is not None
    assert why.waits_for == "a place"
    assert [way.command for way in why.ways] == [f'upcall operation force {op} --reason "..."']
    assert made.send(given.Force(operation=op, who="ann", why="it burns")).refused is None
    made.advance(5)
    assert (state(made, op), alive(made)) == ("done", [])


@pytest.mark.parametrize("force", [False, True])
def test_an_uninstall_does_not_wait_behind_a_move_whose_place_has_fallen_away(force: bool) -> None:
    made, op = stranded()
    proposal = given.Propose(kind="uninstall", asked_by="ann", service="s", force=force, reason="away")
    uninstall = made.send(proposal).operation
    made.advance(5)
    made.send(given.Confirm(service="s", operation=uninstall))
    made.advance(60)
    assert (state(made, op), state(made, uninstall), alive(made)) == ("withdrawn", "done", [])


def test_a_move_whose_place_has_fallen_away_holds_up_no_cure() -> None:
    made, op = stranded(minimum=0)
    made.observe(made.substrate.sicken("s.b", made.now_s))
    made.advance(30)
    assert (state(made, op), alive(made), alive(made, "b")) == ("executing", [1], [2])


def test_what_a_move_has_not_taken_counts_as_left() -> None:
    made, op = stranded(minimum=1)
    stop = wish(made, "stop", "b")
    made.advance(20)
    assert (state(made, op), state(made, stop), alive(made), alive(made, "b")) == ("executing", "done", [1], [])


def test_what_only_ends_does_not_count_among_those_that_silence_lets_go_at_most(kind: SimulatedKind) -> None:
    made = World(kind=kind, node_count=4)
    policy = Policy(answer_s=10, at_most=1)
    made.install("s", ("a", "b"), minimum=1, stateful=False, policy=policy, two_at_once=True)
    made.advance(START_S)
    made.substrate.slow.add("s.a")
    for name in ("a", "b"):
        windowed = given.Propose(
            kind="maintenance", asked_by="ann", node=member(made, name).node, window_s=3000, on_deadline="hold"
        )
        made.send(windowed)
    made.advance(60)
    assert (alive(made, "a"), member(made, "a").leaving) == ([1, 2], 1)
    assert (alive(made, "b"), member(made, "b").leaving) == ([2], 0)


@pytest.mark.parametrize("first", [0.5, 3.0])
def test_a_person_may_force_a_third_place_for_one_that_crashes_again_and_again(
    kind: SimulatedKind, first: float
) -> None:
    made = made_of(kind, "a")
    made.substrate.slow.add("s.a")
    move, asked = wish(made), third_places(made)
    made.advance(20)
    assert alive(made) == [1, 2]
    made.substrate.slow.discard("s.a")
    made.substrate.crashing.add("s.a")
    crash(made)
    made.advance(first)
    node = member(made, "a").node
    op = wish(made, force=True, reason="that machine is bad")
    for _ in range(40):
        made.advance(0.5)
        assert 1 in alive(made), "the older one serves on"
    assert (asked, state(made, move), member(made, "a").place) == ([3], "executing", 3)
    made.substrate.crashing.discard("s.a")
    made.advance(60)
    assert (state(made, op), state(made, move), member(made, "a").place) == ("done", "done", 3)
    assert len(alive(made)) == 1
    assert kind != "kernel" or member(made, "a").node != node
    assert made.substrate.violations == []
