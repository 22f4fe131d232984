"""What our part in a pod is told to run, and when."""

from dataclasses import dataclass, field

from objects_of import BEGAN, raw_node, raw_pod, wanted

from upcall.protocol import agent as wire
from upcall.protocol.declaration import Declaration
from upcall.substrate.interface import Observed, Output, TaskId
from upcall.substrate.kubernetes.manifest import Settings
from upcall.substrate.kubernetes.objects import KINDS
from upcall.substrate.kubernetes.requests import Listed
from upcall.substrate.kubernetes.substrate import KubernetesSubstrate

TASK = TaskId("log", "b0", 1)
SETTINGS = Settings(image="i", master_url="https://m", domain="data.svc")
RUNS = {"running": {"startedAt": BEGAN}}


@dataclass(frozen=True)
class Known:
    values: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    missing: str = ""
    waits_on: frozenset[str] = frozenset()


class World:
    """A core that knows of one pod, in which the container runs."""

    def __init__(self, known: Known | None = None, *, told: bool = True) -> None:
        self.known = known or Known({"zone": "a"}, {"password": "s3cret"})
        self.core = KubernetesSubstrate(SETTINGS, wall=lambda: 0.0, context=lambda task, declared: self.known)
        objects = {"Pod": (raw_pod(container=RUNS),), "Node": (raw_node(),)}
        for kind in KINDS:
            self.core.heard(Listed(kind, objects.get(kind, ()), 9), 1.0)
        if told:
            self.core.wanted([wanted()], 1.0)


def launches(out: Output) -> list[wire.Launch]:
    return [send.message for send in out.send if isinstance(send.message, wire.Launch)]


def test_it_is_told_its_launch_when_it_is_there_and_again_when_it_comes_again() -> None:
    core = World().core
    (launch,) = launches(core.arrived(TASK, 2.0))
    assert (launch.task, launch.address, launch.generation) == ("log.b0.1", "b0.log.data.svc", 1)
    assert (launch.values, launch.secrets) == ({"zone": "a"}, {"password": "s3cret"})
    core.left(TASK, 3.0)
    assert launches(core.arrived(TASK, 4.0)) == [launch]


def test_a_launch_that_lacks_a_name_waits_for_it_and_says_so() -> None:
    world = World(Known(missing="waits for endpoint.other.client", waits_on=frozenset({"other"})))
    out = world.core.arrived(TASK, 2.0)
    assert launches(out) == []
    (said,) = [up for up in out.up if isinstance(up, Observed)]
    assert (said.state, said.reason) == ("placed", "waits for endpoint.other.client")
    world.known = Known({"endpoint.other.client": "x:1"})
    assert launches(world.core.known(["third"], 3.0)) == []
    (launch,) = launches(world.core.known(["other"], 4.0))
    assert launch.values == {"endpoint.other.client": "x:1"}
    assert launches(world.core.known(["other"], 5.0)) == [], "once"


def test_one_that_came_before_it_was_known_what_is_wanted_is_told_then() -> None:
    core = World(told=False).core
    assert launches(core.arrived(TASK, 2.0)) == []
    (launch,) = launches(core.wanted([wanted()], 3.0))
    assert launch.task == "log.b0.1"


def test_what_is_to_end_is_told_nothing_more() -> None:
    core = World().core
    core.end(TASK, 5.0, 2.0)
    assert launches(core.arrived(TASK, 3.0)) == []


def test_a_declaration_that_changed_live_is_told_at_once() -> None:
    core = World().core
    core.arrived(TASK, 2.0)
    newer = wanted(Declaration(command=("run", "--fast")), generation=2)
    (launch,) = launches(core.launch(newer, 3.0))
    assert (launch.generation, launch.declaration.command) == (2, ("run", "--fast"))
    core.left(TASK, 4.0)
    assert launches(core.launch(wanted(generation=3), 5.0)) == [], "nobody is there to hear it"


def test_a_pod_is_known_by_its_uid_and_not_by_its_name() -> None:
    core = World().core
    assert core.whose("log.b0.p1", "u1") == TASK
    assert core.whose("log.b0.p1", "u0") is None, "one that had the name before"
    assert core.whose("log.b1.p1", "u1") is None
