"""What happens unasked: crashes, crash loops, jobs that finish, nodes that fall silent, members that fail checks."""

import pytest

from upcall.operations import inputs as given
from upcall.operations import members, wording
from upcall.operations.effects import EndTask, ProveDeath
from upcall.operations.news import TaskEnded
from upcall.operations.records import Policy, Restart
from upcall.operations.views import PendingSet
from upcall.testing.simulated import SimulatedKind, Timing, small_nodes
from upcall.testing.world import World


def world(kind: SimulatedKind, *, policy: Policy | None = None, prove_s: float | None = None) -> World:
    made = World(kind=kind, node_count=4, timing=Timing(prove_s=prove_s))
    made.install("kafka", ("b0", "b1", "b2"), minimum=2, policy=policy)
    made.advance(5)
    assert made.ready("kafka") == ["b0", "b1", "b2"]
    return made


def launches(made: World, member: str) -> list[int]:
    return [e.incarnation for e in made.log if type(e).__name__ == "Launch" and e.member == member]  # type: ignore[union-attr]


def ends(made: World) -> list[EndTask]:
    return [effect for effect in made.log if isinstance(effect, EndTask)]


def test_a_process_that_dies_is_restarted_at_once_with_the_next_number(kind: SimulatedKind) -> None:
    made = world(kind)
    made.observe(made.substrate.crash("kafka.b1", made.now_s))
    assert launches(made, "b1") == [1, 2]
    made.advance(5)
    assert made.ready("kafka") == ["b0", "b1", "b2"]
    assert [(o.kind, o.state) for o in made.ledger.operations()] == [("lost", "done")]


def test_a_crash_loop_is_bounded_and_ends_when_the_cause_does(kind: SimulatedKind) -> None:
    made = world(kind)
    made.substrate.crashing.add("kafka.b1")
    made.observe(made.substrate.crash("kafka.b1", made.now_s))
    made.advance(600)
    # Doubling from 1 s to 60 s: about 14 starts in ten minutes, not 300.
    assert 8 <= len(launches(made, "b1")) <= 20
    assert len(made.ledger.operations()) <= 6, "one operation carries many restarts"
    made.substrate.crashing.clear()
    made.advance(120)
    assert made.ready("kafka") == ["b0", "b1", "b2"]


def test_a_member_that_was_stable_is_restarted_without_a_pause(kind: SimulatedKind) -> None:
    made = world(kind)
    for _ in range(4):
        made.advance(400)
        before = len(launches(made, "b1"))
        made.observe(made.substrate.crash("kafka.b1", made.now_s))
        assert len(launches(made, "b1")) == before + 1


@pytest.mark.parametrize("prove_s", [None, 5.0])
def test_who_is_lost_with_its_node_again_and_again_is_in_no_crash_loop(
    kind: SimulatedKind, prove_s: float | None
) -> None:
    """Its machine ended it: whoever comes back with it is started at once."""
    made = world(kind, prove_s=prove_s)
    node = made.substrate.node_of("kafka.b1")
    for _ in range(9):
        made.observe(made.substrate.silence(node, made.now_s, dies=True))
        made.advance(60)
        made.observe(made.substrate.recover(node, made.now_s))
        made.advance(5)
        assert made.ready("kafka") == ["b0", "b1", "b2"]
        made.advance(30)
    made.observe(made.substrate.crash("kafka.b1", made.now_s))
    made.advance(5)
    assert made.ready("kafka") == ["b0", "b1", "b2"], "the first time that it ended by itself"


def test_a_job_that_ends_with_0_has_finished_and_is_not_lost(kind: SimulatedKind) -> None:
    made = World(kind=kind)
    made.install("job", ("j0",), restart="never")
    made.advance(5)
    made.observe(made.substrate.crash("job.j0", made.now_s, code=0))
    made.advance(60)
    assert made.ledger.operations() == []
    assert [view.status for view in made.ledger.members("job")] == ["finished"]
    made.die()
    made.boot()
    made.advance(60)
    assert [view.status for view in made.ledger.members("job")] == ["finished"], "also after a restart of the master"


def failing(kind: SimulatedKind, *, restart: Restart, restarts_max: int = 0) -> World:
    made = World(kind=kind)
    made.install("job", ("j0",), restart=restart, restarts_max=restarts_max)
    made.advance(5)
    made.observe(made.substrate.crash("job.j0", made.now_s, code=3))
    made.advance(70)  # the longest pause between two starts, and more
    return made


def test_a_job_that_fails_is_tried_again_until_its_limit_and_then_has_failed_with_its_cause(
    kind: SimulatedKind,
) -> None:
    made = failing(kind, restart="on-failure", restarts_max=2)
    assert made.ready("job") == ["j0"], "the first failure"
    made.observe(made.substrate.crash("job.j0", made.now_s, code=3))
    made.die()
    made.boot()
    made.advance(70)
    assert made.ready("job") == ["j0"], "the second; it is counted through deaths of the master"
    made.observe(made.substrate.crash("job.j0", made.now_s, code=3))
    made.advance(700)
    view = made.ledger.members("job")[0]
    assert (view.status, view.incarnation) == ("failed", 3)
    assert "exit code 3" in view.reason
    assert "restart=on-failure" in view.reason
    assert [o.state for o in made.ledger.operations() if o.live] == [], "nobody waits for it"


def test_a_job_that_is_never_restarted_fails_once(kind: SimulatedKind) -> None:
    made = failing(kind, restart="never")
    assert [(view.status, view.incarnation) for view in made.ledger.members("job")] == [("failed", 1)]
    assert made.ledger.operations() == []


@pytest.mark.parametrize(("restart", "launches_made"), [("never", 1), ("on-failure", 3)])
def test_what_cannot_be_prepared_has_failed_as_what_fails(
    kind: SimulatedKind, restart: Restart, launches_made: int
) -> None:
    """A file of it that cannot be rendered, a command that is not there: its policy holds for that too."""
    made = World(kind=kind)
    made.install("job", ("j0",), restart=restart, restarts_max=2)
    made.advance(5)
    for _ in range(launches_made):
        assert made.ready("job") == ["j0"]
        made.observe(made.substrate.crash("job.j0", made.now_s, code=None, not_started=True))
        made.advance(70)
    view = made.ledger.members("job")[0]
    assert (view.status, view.incarnation) == ("failed", launches_made)


def test_what_failed_long_after_its_last_failure_is_counted_anew(kind: SimulatedKind) -> None:
    made = failing(kind, restart="on-failure", restarts_max=1)
    for _ in range(3):
        made.advance(members.STABLE_S + 1)
        made.observe(made.substrate.crash("job.j0", made.now_s, code=3))
        made.advance(70)
    assert made.ready("job") == ["j0"]


def test_a_job_at_its_end_runs_once_more_when_a_person_starts_it(kind: SimulatedKind) -> None:
    made = failing(kind, restart="never")
    made.send(given.GiveBack(service="job", member="j0", who="ann"))
    made.advance(70)
    assert made.ready("job") == ["j0"]
    assert [(o.kind, o.state, o.reason) for o in made.ledger.operations()] == [("lost", "done", "ann starts it again")]
    made.observe(made.substrate.crash("job.j0", made.now_s, code=0))
    made.advance(5)
    assert [view.status for view in made.ledger.members("job")] == ["finished"]


def test_a_job_that_a_drain_stopped_has_not_finished(kind: SimulatedKind) -> None:
    made = World(kind=kind)
    made.install("job", ("j0",), restart="never", stateful=False)
    made.advance(5)
    node = made.substrate.node_of("job.j0")
    made.send(given.Propose(kind="maintenance", asked_by="ann", node=node, window_s=1))
    made.advance(10)
    assert [view.status for view in made.ledger.members("job")] == ["held"]
    made.send(given.Undrain(node=node, who="ann"))
    made.advance(10)
    assert made.ready("job") == ["j0"]


def test_a_silent_node_is_not_the_end_of_its_members(kind: SimulatedKind) -> None:
    made = world(kind, policy=Policy(replace_after_s=100))
    node = made.substrate.node_of("kafka.b1")
    made.observe(made.substrate.silence(node, made.now_s))
    made.advance(100_000)
    assert launches(made, "b1") == [1], "never without proof"
    assert len([a for a in made.alerts if "proof" in a.text]) == 1, "a person is told once"


def test_a_service_may_have_it_replaced_sooner_but_never_without_proof(kind: SimulatedKind) -> None:
    made = world(kind, policy=Policy(replace_after_s=600), prove_s=30)

    def elsewhere(pending: PendingSet) -> dict[str, given.Answer]:
        asked = [one.operation for one in pending.operations if one.asked and one.operation.kind == "lost"]
        return {operation.id: given.Answer(verdict="replace", retry_after_s=3600) for operation in asked}

    made.host("kafka", elsewhere)
    node = made.substrate.node_of("kafka.b1")
    made.observe(made.substrate.silence(node, made.now_s, dies=True))
    made.advance(44)
    assert launches(made, "b1") == [1]
    made.advance(6)
    assert launches(made, "b1") == [1, 2]
    assert made.substrate.node_of("kafka.b1") != node


@pytest.mark.parametrize(
    ("answer", "incarnations"),
    [
        (given.Answer(verdict="wait", retry_after_s=3600, reason="it may come back"), [1, 2]),
        (given.Answer(verdict="defer", retry_after_s=3600, reason="the only copy is there"), [1]),
    ],
)
def test_a_service_that_waits_does_so_as_long_as_the_policy_and_one_that_defers_for_longer(
    kind: SimulatedKind, answer: given.Answer, incarnations: list[int]
) -> None:
    made = world(kind, policy=Policy(replace_after_s=100), prove_s=10)

    def says(pending: PendingSet) -> dict[str, given.Answer]:
        return {one.operation.id: answer for one in pending.operations if one.asked and one.operation.kind == "lost"}

    made.host("kafka", says)
    made.observe(made.substrate.silence(made.substrate.node_of("kafka.b1"), made.now_s, dies=True))
    made.advance(100)
    assert launches(made, "b1") == [1]
    why = next(made.ledger.why(operation.id) for operation in made.ledger.operations() if operation.live)
    assert why is not None
    assert answer.reason in why.reason
    made.advance(900)
    assert launches(made, "b1") == incarnations


def test_a_service_that_is_asked_what_next_has_its_answer_time(kind: SimulatedKind) -> None:
    made = world(kind, policy=Policy(on_lost="ask", answer_s=30))
    made.observe(made.substrate.crash("kafka.b1", made.now_s))
    made.advance(29)
    assert launches(made, "b1") == [1]
    made.advance(2)
    assert launches(made, "b1") == [1, 2], "silence: the default"


def test_what_never_becomes_ready_is_cured_one_at_a_time(kind: SimulatedKind) -> None:
    made = world(kind, policy=Policy(answer_s=10))
    made.substrate.slow |= {"kafka.b1", "kafka.b2"}
    for name in ("b1", "b2"):
        made.observe(made.substrate.crash(f"kafka.{name}", made.now_s))
    made.advance(3600)
    begun = [o for o in made.ledger.operations() if o.class_ == "cure"]
    assert begun, "it was not left alone"
    for member in ("b1", "b2"):
        made.observe(made.substrate.make_ready(f"kafka.{member}", made.now_s))
    made.advance(600)
    assert made.ready("kafka") == ["b0", "b1", "b2"]
    assert not [o for o in made.ledger.operations() if o.live]


def test_what_is_late_is_asked_for_and_ended_by_its_cure_alone_with_its_grace(kind: SimulatedKind) -> None:
    made = world(kind, policy=Policy(answer_s=60))
    made.substrate.slow.add("kafka.b1")
    made.observe(made.substrate.crash("kafka.b1", made.now_s))
    made.advance(320)  # Its restart gave up on it: a restart in which a member does not become ready has failed.
    made.observe(made.substrate.late("kafka.b1", made.now_s))
    cure = made.ledger.operations()[-1]
    assert (cure.class_, cure.kind, cure.state) == ("cure", "restart", "open")
    made.advance(59)
    assert ends(made) == [], "it is its service's to say when, within the answer time"
    made.advance(2)
    assert [(one.member, one.operation) for one in ends(made)] == [("b1", cure.id)]
    assert ends(made)[0].grace_s == made.ledger.book.members["kafka.b1"].grace_s > 0


def test_what_is_late_and_gets_ready_is_left_alone(kind: SimulatedKind) -> None:
    made = world(kind, policy=Policy(answer_s=60))
    made.substrate.slow.add("kafka.b1")
    made.observe(made.substrate.crash("kafka.b1", made.now_s))
    made.advance(320)
    made.observe(made.substrate.late("kafka.b1", made.now_s))
    made.observe(made.substrate.heal("kafka.b1", made.now_s))
    made.advance(600)
    assert made.ledger.operations()[-1].state == "withdrawn"
    assert ends(made) == []
    assert launches(made, "b1") == [1, 2]


def test_cures_one_after_the_other_have_the_pauses_of_a_crash_loop(kind: SimulatedKind) -> None:
    made = world(kind, policy=Policy(answer_s=1))
    for _ in range(600):
        made.observe(made.substrate.sicken("kafka.b1", made.now_s))
        made.advance(1)
    # Asked, ended and started within 6 s: without a pause these would be a hundred.
    assert 6 <= len(launches(made, "b1")) <= 20
    made.advance(120)
    assert made.ready("kafka") == ["b0", "b1", "b2"]


def test_memory_of_an_older_incarnation_changes_nothing(kind: SimulatedKind) -> None:
    made = world(kind)
    made.observe(made.substrate.crash("kafka.b1", made.now_s))
    made.advance(5)
    before = [(v.name, v.status) for v in made.ledger.members("kafka")]
    late = given.TaskObserved(service="kafka", member="b1", incarnation=1, state="ended", node="n1", exit_code=1)
    assert not made.send(late).changes
    assert [(v.name, v.status) for v in made.ledger.members("kafka")] == before


def test_a_task_that_is_not_on_record_changes_nothing(kind: SimulatedKind) -> None:
    made = world(kind)
    stranger = given.TaskObserved(service="kafka", member="b9", incarnation=1, state="ready", node="n1")
    assert not made.send(stranger).changes


def test_the_time_in_which_there_was_no_place_is_not_time_to_start_in(kind: SimulatedKind) -> None:
    """Once it has one it is young: nobody cures it for having been launched long ago."""
    made = World(kind=kind, node_count=2)
    made.install("kafka", ("b0", "b1", "b2"), minimum=2)
    made.advance(1000)
    assert "pending" in {view.observed for view in made.ledger.members("kafka")}
    made.observe(made.substrate.join(small_nodes(3)[2], made.now_s))
    made.advance(60)
    assert made.ready("kafka") == ["b0", "b1", "b2"]
    assert made.ledger.operations() == []


@pytest.mark.parametrize("defers", [True, False])
def test_proof_of_death_is_wanted_when_a_loss_waits_for_it_and_never_for_a_name(defers: bool) -> None:
    """What waits, and for whom, is words for people; a service may be called anything, ``proof`` too."""
    made = World(kind="kernel", node_count=3)
    made.install("proof-store", ("m0", "m1"), minimum=0, policy=Policy(replace_after_s=90))
    made.advance(5)
    if defers:

        def patient(pending: PendingSet) -> dict[str, given.Answer]:
            asked = [each for each in pending.operations if each.asked]
            return {one.operation.id: given.Answer(verdict="defer", retry_after_s=30) for one in asked}

        made.host("proof-store", patient)
    node = made.substrate.node_of("proof-store.m0")
    made.observe(made.substrate.silence(node, made.now_s))
    made.advance(300)
    lost = made.ledger.operations()[-1]
    why = made.ledger.why(lost.id)
    assert why is not None
    assert why.waits_for == ("proof-store" if defers else "proof that proof-store.m0.1 is dead")
    assert {effect.node for effect in made.log if isinstance(effect, ProveDeath)} == (set() if defers else {node})


@pytest.mark.parametrize(
    ("code", "words"),
    [(137, "exit code 137 (SIGKILL)"), (143, "exit code 143 (SIGTERM)"), (3, "exit code 3"), (255, "exit code 255")],
)
def test_an_exit_code_that_is_a_signal_says_which(kind: SimulatedKind, code: int, words: str) -> None:
    made = world(kind)
    made.send(given.TaskObserved(service="kafka", member="b1", incarnation=1, state="ended", node="n1", exit_code=code))
    assert words in [wording.ended(one) for one in made.news if isinstance(one, TaskEnded)]


def test_the_proof_of_a_nodes_death_waits_for_who_defers_beside(kind: SimulatedKind) -> None:
    """The proof ends all that is left of the node, also what its service wants to be left alone."""
    made = World(kind=kind, node_count=1)
    made.install("kafka", ("b0",), policy=Policy(replace_after_s=20))
    made.install("memo", ("m0",), policy=Policy(replace_after_s=5000))
    made.advance(5)
    said: dict[str, given.Answer | None] = {
        "memo": given.Answer(verdict="defer", reason="it is the only copy", retry_after_s=50)
    }

    def says(pending: PendingSet) -> dict[str, given.Answer]:
        word = said["memo"]
        return {one.operation.id: word for one in pending.operations if one.asked and word is not None}

    made.host("memo", says)
    made.observe(made.substrate.silence("n0", made.now_s))
    made.advance(300)
    assert [e for e in made.log if isinstance(e, ProveDeath)] == []
    loss = next(o for o in made.ledger.operations() if o.target.service == "kafka")
    why = made.ledger.why(loss.id)
    assert why is not None
    assert why.waits_for == "memo"
    assert "the only copy" in why.reason
    said["memo"] = None
    made.advance(6000)
    assert [e for e in made.log if isinstance(e, ProveDeath)] == [], "its last word stands, when nobody answers too"
    said["memo"] = given.Answer(verdict="wait", retry_after_s=50)
    made.host("memo", says)
    made.advance(200)
    assert loss.id in {e.operation for e in made.log if isinstance(e, ProveDeath)}


def test_the_longest_patience_of_what_stands_on_a_node_decides_about_the_proof(kind: SimulatedKind) -> None:
    made = World(kind=kind, node_count=1)
    made.install("kafka", ("b0",), policy=Policy(replace_after_s=20))
    made.install("memo", ("m0",), policy=Policy(replace_after_s=5000))
    made.advance(5)
    made.observe(made.substrate.silence("n0", made.now_s))
    made.advance(4900)
    assert [e for e in made.log if isinstance(e, ProveDeath)] == []
    made.advance(200)
    assert [e for e in made.log if isinstance(e, ProveDeath)] != []


def test_restarts_that_a_person_asks_for_in_short_succession_are_no_failures(kind: SimulatedKind) -> None:
    made = world(kind)
    for number in range(1, 7):
        asked = given.Propose(kind="restart", asked_by="ann", service="kafka", members=("b1",), key=f"{number}")
        made.send(given.Force(operation=made.send(asked).operation, who="ann", why="now"))
        made.advance(5)
        assert launches(made, "b1")[-1] == number + 1
        assert made.ready("kafka") == ["b0", "b1", "b2"], "a pause would still last"
