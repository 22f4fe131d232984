"""What always holds, whatever happens: hypotheses over whole worlds, on every kind of cluster.

The machine does what people, services, substrates and bad luck do, in any order, and the master may die after any
write or before any effect. After each step the invariants hold; at the end the environment becomes fair, and then
everything must come to rest.
"""

import os
from typing import Any

import hypothesis.strategies as st
import pytest
from answering import fitting
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations.checking.checker import check
from upcall.operations.recording import replay
from upcall.operations.records import Epoch, Operation, Policy, decode, kind_of
from upcall.operations.table import KINDS
from upcall.operations.views import PendingSet
from upcall.testing import KINDS as CLUSTERS
from upcall.testing.simulated import Timing
from upcall.testing.world import World

MEMBERS = ("b0", "b1", "b2")
NODES = ("n0", "n1", "n2", "n3")
MODES = ("accept_one", "accept_all", "defer", "decline", "silent", "wait")
member = st.sampled_from(MEMBERS)
node = st.sampled_from(NODES)


class Watcher:
    """Holds every effect against the promises."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.mode = "accept_one"
        self.accepted: set[str] = set()
        self.signalled: set[str] = set()
        world.watchers.append(self.saw)

    def script(self, pending: PendingSet) -> dict[str, given.Answer]:
        asked = [one.operation for one in pending.operations if one.asked]
        if self.mode == "silent" or not asked:
            return {}
        if self.mode == "accept_one":
            busy = any(one.operation.begun for one in pending.operations)
            return {} if busy else self.answers(asked[:1], given.Answer(verdict="accept", valid_s=30))
        one = {
            "accept_all": given.Answer(verdict="accept", valid_s=30),
            "defer": given.Answer(verdict="defer", retry_after_s=7, reason="moving leaders", progress=0.5),
            "decline": given.Answer(verdict="decline", reason="no"),
            "wait": given.Answer(verdict="wait", retry_after_s=9),
        }[self.mode]
        return self.answers(asked, one)

    def answers(self, asked: list[Operation], one: given.Answer) -> dict[str, given.Answer]:
        if one.verdict == "accept":
            self.accepted |= {operation.id for operation in asked}
        return {operation.id: fitting(operation, one) for operation in asked}

    def saw(self, world: World, effect: fx.Effect) -> None:
        match effect:
            case fx.EndTask():
                self.saw_end(effect)
            case fx.Tell(what="begun"):
                self.saw_begin(effect)

    def saw_end(self, effect: fx.EndTask) -> None:
        """No other path: a begun operation ends the incarnation that it names."""
        operation = self.world.ledger.operation(effect.operation)
        assert operation is not None, f"{effect} without an operation"
        assert operation.state not in ("open", "withdrawn", "declined"), f"{effect} for {operation}"
        task = f"{effect.service}.{effect.member}.{effect.incarnation}"
        view = next((v for v in self.world.ledger.members(effect.service) if v.name == effect.member), None)
        if view is None:  # The last of it was observed in the same turn.
            assert KINDS[operation.kind].shape == "removal", f"{effect} of who is gone, for {operation}"
            assert not operation.live
            return
        if effect.incarnation == view.incarnation and operation.state == "executing" and operation.target.service:
            named = operation.target.incarnation_of(effect.member)
            # A restart also ends what it had launched itself, once it failed to become ready.
            assert named == effect.incarnation, f"{effect} for {operation.target}"
        if task not in self.signalled:
            self.signalled.add(task)
            self.minimum_holds(operation, effect)

    def minimum_holds(self, operation: Operation, effect: fx.EndTask) -> None:
        over_guard = operation.forced or (operation.over_consent and operation.on_deadline == "force")
        if operation.class_ not in ("voluntary", "windowed") or over_guard or KINDS[operation.kind].waives_minimum:
            return
        views = self.world.ledger.members(effect.service)
        left = [v for v in views if v.status == "ready" and v.name != effect.member]
        minimum = next(s.minimum for s in self.world.ledger.services() if s.name == effect.service)
        target = next(v for v in views if v.name == effect.member)
        if target.observed == "ready":
            assert len(left) >= minimum, f"{operation.id} takes {effect.member}: {len(left)} left, minimum {minimum}"

    def saw_begin(self, effect: fx.Tell) -> None:
        operation = self.world.ledger.operation(effect.operation)
        if operation is not None and operation.class_ == "voluntary":
            assert operation.forced or operation.id in self.accepted, f"{operation.id} began by silence"


class Worlds(RuleBasedStateMachine):
    kind: Any = "kernel"

    @initialize(seed=st.integers(0, 5), lossy=st.booleans(), minimum=st.integers(0, 3), proof=st.booleans())
    def begin(self, seed: int, lossy: bool, minimum: int, proof: bool) -> None:
        self.world = World(
            kind=self.kind,
            node_count=len(NODES),
            seed=seed,
            loss=0.2 if lossy else 0.0,
            repeat=0.2 if lossy else 0.0,
            timing=Timing(prove_s=5 if proof else None),
        )
        self.watcher = Watcher(self.world)
        self.world.install("kafka", MEMBERS, minimum=minimum, policy=Policy(answer_s=20, replace_after_s=120))
        self.world.host("kafka", self.watcher.script)
        self.world.advance(20)

    # -- time and bad luck --------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.3, 1, 5, 31, 200]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(name=member)
    def a_process_dies(self, name: str) -> None:
        self.world.observe(self.world.substrate.crash(f"kafka.{name}", self.world.now_s))

    @rule(name=member)
    def falls_ill(self, name: str) -> None:
        self.world.observe(self.world.substrate.sicken(f"kafka.{name}", self.world.now_s))

    @rule(name=member)
    def gets_well(self, name: str) -> None:
        self.world.observe(self.world.substrate.heal(f"kafka.{name}", self.world.now_s))

    @rule(name=node, dies=st.booleans())
    def a_node_falls_silent(self, name: str, dies: bool) -> None:
        self.world.observe(self.world.substrate.silence(name, self.world.now_s, dies=dies))

    @rule(name=node)
    def a_node_is_heard_again(self, name: str) -> None:
        self.world.observe(self.world.substrate.recover(name, self.world.now_s))

    @rule(name=member, verb=st.sampled_from(["stop", "evict"]), n=st.integers(0, 10**6))
    def somebody_else_disturbs(self, name: str, verb: Any, n: int) -> None:
        if self.world.substrate.running(f"kafka.{name}"):
            self.world.observe(
                self.world.substrate.disrupt(
                    f"d{n}-{name}-{self.world.now_s}",  # nobody gives two tasks one id
                    f"kafka.{name}",
                    self.world.now_s,
                    verb=verb,
                    who="bob",
                    reason="",
                    deadline_s=60,
                )
            )

    @rule(steps=st.integers(0, 12))
    def the_master_will_die(self, steps: int) -> None:
        self.world.die_after = steps

    @rule()
    def the_judge_sleeps(self) -> None:
        self.world.sleep(3600)

    # -- services and people ------------------------------------------------------------------------------------

    @rule(mode=st.sampled_from(MODES))
    def the_service_changes_its_mind(self, mode: str) -> None:
        self.watcher.mode = mode

    @rule()
    def an_answer_about_an_older_world(self) -> None:
        pending = self.world.ledger.pending("kafka")
        stale = Epoch(pending.epoch.start, pending.epoch.n - 1)
        operations = {one.operation.id: given.Answer(verdict="accept") for one in pending.operations}
        before = self.world.ledger.dump()
        outcome = self.world.send(given.Answers(service="kafka", epoch=stale, answers=operations))
        if self.has_kafka():
            assert outcome.refused is not None
            assert outcome.refused.code == "stale"
            assert not outcome.changes, before

    @rule(name=node, on_deadline=st.sampled_from(["hold", "proceed", "force", None]), remove=st.booleans())
    def drain(self, name: str, on_deadline: Any, remove: bool) -> None:
        self.world.send(
            given.Propose(
                kind="maintenance", asked_by="ann", node=name, window_s=60, on_deadline=on_deadline, remove=remove
            )
        )

    @rule(name=node)
    def undrain(self, name: str) -> None:
        self.world.send(given.Undrain(node=name, who="ann"))

    @rule(name=member, kind=st.sampled_from(["restart", "stop", "replace", "uninstall"]), force=st.booleans())
    def propose(self, name: str, kind: Any, force: bool) -> None:
        members = () if kind == "uninstall" else (name,)
        self.world.send(
            given.Propose(kind=kind, asked_by="ann", reason="because", service="kafka", members=members, force=force)
        )

    @rule(n=st.integers(0, 20), what=st.sampled_from(["force", "cancel", "pause", "resume"]))
    def a_person_decides(self, n: int, what: Any) -> None:
        live = [o for o in self.world.ledger.operations() if o.live]
        if live:
            name = live[n % len(live)].id
            self.world.send(
                given.Force(operation=name, who="ann", why="now")
                if what == "force"
                else given.Cancel(operation=name, who="ann")
                if what == "cancel"
                else given.Pause(operation=name, who="ann", on=what)
            )

    @rule(name=member)
    def start(self, name: str) -> None:
        self.world.send(given.StartMembers(service="kafka", members=(name,)))

    @rule(name=member)
    def a_person_starts(self, name: str) -> None:
        self.world.send(given.GiveBack(service="kafka", member=name, who="ann"))

    @rule(minimum=st.integers(0, 3))
    def the_minimum_changes(self, minimum: int) -> None:
        if self.has_kafka():
            self.world.send(
                given.DeclareService(name="kafka", minimum=minimum, policy=Policy(answer_s=20, replace_after_s=120))
            )

    @rule()
    @precondition(lambda self: not self.has_kafka())
    def install_again(self) -> None:
        self.world.install("kafka", MEMBERS, minimum=1, policy=Policy(answer_s=20, replace_after_s=120))

    @rule()
    def shutdown(self) -> None:
        self.world.send(given.Propose(kind="shutdown", asked_by="ann"))

    @rule()
    def up(self) -> None:
        self.world.send(given.Up(who="ann"))

    def has_kafka(self) -> bool:
        return any(service.name == "kafka" for service in self.world.ledger.services())

    # -- what always holds --------------------------------------------------------------------------------------

    @invariant()
    def every_operation_ends_or_says_whom_it_waits_for(self) -> None:
        for operation in self.world.ledger.operations() if hasattr(self, "world") else []:
            if operation.live:
                why = self.world.ledger.why(operation.id)
                assert why is not None
                assert why.waits_for, operation
                assert why.reason, operation

    @invariant()
    def one_begun_operation_a_member(self) -> None:
        if hasattr(self, "world"):
            begun = [
                name
                for o in self.world.ledger.operations()
                if o.begun and o.target.service
                for name in o.target.members
            ]
            assert len(begun) == len(set(begun)), begun

    @invariant()
    def never_two_incarnations_on_the_same_volumes(self) -> None:
        if hasattr(self, "world"):
            assert self.world.substrate.violations == []

    @invariant()
    def the_log_agrees_with_the_table(self) -> None:
        if hasattr(self, "world") and not self.world.deaths:
            # A death loses events (the journal is written with the records); the log is checked when none did.
            assert check(self.world.news) == []

    def teardown(self) -> None:
        if hasattr(self, "world"):
            come_to_rest(self.world, self.watcher)
            replays(self.world)


def replays(world: World) -> None:
    """Its recording leads to the same ledger and the same store, through every death."""
    world.send(given.Tick())
    *_, (ledger, _) = replay(world.recording)
    assert ledger.dump() == world.ledger.dump()
    stored = {key: decode(data) for key, data in world.stored.items()}
    assert {(kind_of(record), record.key): record for record in ledger.records()} == stored


def come_to_rest(world: World, watcher: Watcher) -> None:
    """A fair environment: everybody answers, every node is heard, nobody asks for more."""
    world.die_after = None
    for name in NODES:
        world.observe(world.substrate.recover(name, world.now_s))
    for name in MEMBERS:
        world.observe(world.substrate.heal(f"kafka.{name}", world.now_s))
    watcher.mode = "accept_one"
    world.send(given.Up(who="ann"))
    for operation in world.ledger.operations():
        if operation.paused and operation.state == "open":
            world.send(given.Pause(operation=operation.id, who="ann", on="resume"))
        if operation.kind == "maintenance" and operation.state in ("open", "done"):
            world.send(given.Cancel(operation=operation.id, who="ann"))
    if any(service.name == "kafka" for service in world.ledger.services()):
        world.send(given.DeclareService(name="kafka", minimum=2, policy=Policy(answer_s=20, replace_after_s=120)))
        world.send(given.HostSubscribed(service="kafka"))
        world.send(given.StartMembers(service="kafka", members=MEMBERS))
    for _ in range(40):
        world.send(given.HostSubscribed(service="kafka"))
        # What a person stopped is nobody's dead end: it is given back.
        world.send(given.StartMembers(service="kafka", members=MEMBERS))
        world.advance(60)
        if at_rest(world):
            break
    live = [o.id + ": " + w.sentence() for o in world.ledger.operations() if o.live and (w := world.ledger.why(o.id))]
    assert not live, live
    views = world.ledger.members("kafka")
    assert all(view.status in ("ready", "held", "declared") for view in views), views
    really = [world.substrate.running(f"kafka.{view.name}") is not None for view in views if view.status == "ready"]
    assert all(really)


def at_rest(world: World) -> bool:
    ready = all(view.status in ("ready", "held", "declared") for view in world.ledger.members("kafka"))
    return ready and not any(operation.live for operation in world.ledger.operations())


EXPLORED = bool(os.environ.get("UPCALL_EXPLORE"))
EXAMPLES = 400 if EXPLORED else 40
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


@pytest.mark.parametrize("kind", CLUSTERS)
def test_the_promises_hold_in_every_world(kind: str) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    machine = type(f"Worlds{kind.title()}", (Worlds,), {"kind": kind})
    # Each step on Kubernetes goes through an API server.
    fewer = SETTINGS if kind != "kubernetes" or EXPLORED else settings(SETTINGS, max_examples=EXAMPLES // 4)
    run_state_machine_as_test(machine, settings=fewer)
