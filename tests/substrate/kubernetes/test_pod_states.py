"""What a pod is, in our words: its state, and how it ended."""

from typing import Any

import msgspec
import pytest
from objects_of import BEGAN, LATER, node, pod, terminated

from upcall.substrate.interface import Exit, TaskId
from upcall.substrate.kubernetes import exits, names
from upcall.substrate.kubernetes.pods import LATE, UNREADY, Word, observed, seen

RUNS = {"running": {"startedAt": BEGAN}}
NOTHING = Word()


def readiness(status: str, since: str, message: str = "") -> list[dict[str, Any]]:
    return [{"type": "ContainersReady", "status": status, "lastTransitionTime": since, "message": message}]


# -- states ---------------------------------------------------------------------------------------------------------


def test_what_has_no_node_waits_with_the_schedulers_own_words() -> None:
    words = "0/3 nodes are available: 3 Insufficient memory."
    waits = pod(node="", phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": words}])
    assert seen(waits, NOTHING) == ("pending", words)
    assert seen(pod(node="", phase="Pending"), NOTHING) == ("pending", "")


PULLING = {"reason": "ImagePullBackOff", "message": "Back-off pulling image x"}
UNSET = {"reason": "CreateContainerConfigError", "message": "secret not found"}


@pytest.mark.parametrize(
    ("waiting", "state", "reason"),
    [
        ({"reason": "ContainerCreating"}, "placed", ""),
        (PULLING, "fetching", "ImagePullBackOff: Back-off pulling image x"),
        ({"reason": "ErrImageNeverPull"}, "fetching", "ErrImageNeverPull"),
        (UNSET, "fetching", "CreateContainerConfigError: secret not found"),
    ],
)
def test_a_container_that_waits_says_for_what(waiting: dict[str, str], state: str, reason: str) -> None:
    assert seen(pod(phase="Pending", container={"waiting": waiting}), NOTHING) == (state, reason)


def test_before_its_node_has_looked_at_it_it_has_a_place_and_no_more() -> None:
    assert seen(pod(phase="Pending"), NOTHING) == ("placed", "")


def test_it_runs_until_it_is_ready() -> None:
    assert seen(pod(container=RUNS, conditions=readiness("False", BEGAN)), NOTHING) == ("running", "")
    assert seen(pod(container=RUNS, ready=True, conditions=readiness("True", LATER)), NOTHING) == ("ready", "")


def test_one_that_was_ready_and_is_not_any_more_is_unready_also_for_who_has_just_started() -> None:
    """Nothing is remembered: the stamps say it."""
    ill = pod(container=RUNS, conditions=readiness("False", LATER, "containers with unready status: [task]"))
    assert seen(ill, NOTHING) == ("unready", UNREADY)
    assert seen(ill, Word(reason="port 9092 is closed")) == ("unready", "port 9092 is closed")


def test_one_that_has_ended_by_itself_is_not_ill_before_its_container_has_ended_too() -> None:
    """A kubelet asks it once more in between. Taken for ill, what has done its work would be started anew."""
    done = pod(container=RUNS, conditions=readiness("False", LATER, "containers with unready status: [task]"))
    assert seen(done, Word(over=True)) == ("ready", "")
    never = pod(container=RUNS, conditions=readiness("False", BEGAN))
    assert seen(never, Word(over=True)) == ("running", "")


def test_a_pod_that_a_controller_marked_as_not_ready_is_not_taken_for_ill() -> None:
    """So it marks all pods of a node that it does not hear."""
    marked = [*readiness("True", LATER), {"type": "Ready", "status": "False", "lastTransitionTime": LATER}]
    assert seen(pod(container=RUNS, ready=True, conditions=marked), NOTHING) == ("ready", "")


def test_it_is_late_when_our_part_in_it_says_so() -> None:
    starts = pod(container=RUNS, conditions=readiness("False", BEGAN))
    assert seen(starts, Word(late=True)) == ("unready", LATE)


@pytest.mark.parametrize("state", ["placed", "fetching", "starting"])
def test_before_there_is_a_process_it_is_as_far_as_our_part_in_it_has_come(state: Any) -> None:
    starts = pod(container=RUNS, conditions=readiness("False", BEGAN))
    assert seen(starts, Word(state=state, reason="jre: 12 of 80 MiB")) == (state, "jre: 12 of 80 MiB")
    assert seen(starts, Word(reason="replays its log: 40 %")) == ("running", "replays its log: 40 %")


def test_a_member_is_known_by_its_name_where_there_are_names_and_by_its_pods_address_where_not() -> None:
    of = TaskId("log", "b0", 1)
    assert observed(pod(), of, "running", "", NOTHING).address == "10.1.2.3"
    assert observed(pod(), of, "running", "", NOTHING, "data.svc").address == "b0.log.data.svc"
    assert observed(pod(node=""), of, "pending", "", NOTHING, "data.svc").address == "10.1.2.3"


def test_a_launch_that_changed_while_it_runs_is_in_force_when_our_part_in_it_has_heard_it() -> None:
    of = TaskId("log", "b0", 1)
    assert observed(pod(), of, "running", "", NOTHING).generation == 1
    assert observed(pod(), of, "running", "", Word(generation=3)).generation == 3


def test_what_was_told_to_end_is_ending() -> None:
    assert seen(pod(container=RUNS, ready=True, leaving=True), NOTHING) == ("ending", "")


# -- ends -----------------------------------------------------------------------------------------------------------


def ended(*, ours: bool = True, of: Any = None, **more: Any) -> Exit | None:
    return exits.exit_of(pod(**more), of if of is not None else node(), ours=ours)


def test_nothing_that_may_still_run_counts_as_ended() -> None:
    assert ended(container=RUNS) is None
    assert ended(container=RUNS, leaving=True) is None
    assert ended(container=RUNS, leaving=True, grace_s=0) is None, "deleted by force is no proof"
    assert ended(container=RUNS, of=node(ready="Unknown")) is None, "nor is silence"
    assert ended(container=RUNS, of=node(taints=[{"key": names.OUT_OF_SERVICE}])) is None, "until it is collected"


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (terminated(0, reason="Completed"), Exit(code=0)),
        (terminated(3, reason="Error"), Exit(code=3)),
        (terminated(137, reason="Error"), Exit(signal=9)),
        (terminated(0, signal=15), Exit(signal=15)),
        (terminated(137, reason="OOMKilled"), Exit(signal=9, reason="out of memory")),
        (terminated(1, reason="Error", message="a\n\nno space left"), Exit(code=1, lines=("a", "no space left"))),
        (
            terminated(128, reason="StartError", message="exec: no such file"),
            Exit(code=128, reason="it could not be started: exec: no such file", not_started=True),
        ),
        (terminated(137, reason="ContainerStatusUnknown"), Exit(reason=exits.NOT_FOUND, with_its_node=True)),
        (terminated(255, reason="Unknown"), Exit(reason=exits.NOT_FOUND, with_its_node=True)),
    ],
)
def test_an_end_says_how(container: dict[str, Any], expected: Exit) -> None:
    assert ended(phase="Failed", container=container) == expected


def test_the_last_word_of_our_part_in_it_is_what_counts() -> None:
    said = Exit(code=7, reason="the log cannot be replayed", lines=("x",), not_started=True)
    word = exits.LAST_WORD + msgspec.json.encode(said).decode()
    assert ended(phase="Failed", container=terminated(1, message=word)) == said
    went = exits.LAST_WORD + msgspec.json.encode(Exit(code=143)).decode()
    evicted = ended(phase="Failed", container=terminated(143, message=went), reason="Evicted", message="no memory")
    assert evicted == Exit(code=143, reason="Evicted: no memory"), "why it was told to end, its node knows"
    deleted = ended(phase="Failed", container=terminated(143, message=went), leaving=True, ours=False)
    assert deleted == Exit(code=143, reason=exits.BY_OTHERS)
    assert ended(phase="Failed", container=terminated(143, message=went), leaving=True) == Exit(code=143)
    broken = ended(phase="Failed", container=terminated(1, message=exits.LAST_WORD + "{"))
    assert broken is not None
    assert broken.code == 1, "what nobody can read is a line of its output"


def test_what_its_node_says_of_the_whole_pod_is_the_reason() -> None:
    pressure = ended(
        phase="Failed", container=terminated(137), reason="Evicted", message="The node was low on resource: memory."
    )
    assert pressure == Exit(signal=9, reason="Evicted: The node was low on resource: memory.")
    why = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": "it shuts down"}
    ready = {"type": "Ready", "status": "False"}
    clean = ended(phase="Succeeded", container=terminated(0, reason="Completed"), conditions=[ready, why])
    assert clean == Exit(code=0, reason="TerminationByKubelet: it shuts down"), (
        "a condition has it where it ended with 0"
    )
    by_hand = ended(
        phase="Succeeded", container=terminated(0), conditions=[ready, why | {"reason": "EvictionByEvictionAPI"}]
    )
    assert by_hand == Exit(code=0), "what others say of it is told as theirs"
    refused = ended(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource")
    assert refused == Exit(reason="OutOfcpu: Node didn't have enough resource")


def test_what_others_ended_is_told_as_that() -> None:
    assert ended(phase="Failed", container=terminated(137), leaving=True, ours=False) == Exit(
        signal=9, reason=exits.BY_OTHERS
    )
    assert ended(phase="Failed", container=terminated(137), leaving=True, ours=True) == Exit(signal=9)


def test_what_never_had_a_node_never_ran() -> None:
    assert ended(node="", phase="Pending", leaving=True) == Exit(reason=exits.NEVER_PLACED)


def test_a_node_that_is_gone_or_out_of_service_is_proof_once_kubernetes_has_taken_it_for_one() -> None:
    out = node(ready="Unknown", taints=[{"key": names.OUT_OF_SERVICE, "effect": "NoExecute"}])
    assert ended(phase="Failed", container=RUNS, of=out) == Exit(reason=exits.OUT_OF_SERVICE, with_its_node=True)
    assert exits.exit_of(pod(phase="Failed", container=RUNS), None, ours=True) == Exit(
        reason=exits.NODE_GONE, with_its_node=True
    )
