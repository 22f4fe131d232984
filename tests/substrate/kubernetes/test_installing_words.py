"""Why a control plane does not come up is read out of its pods, and what is over is not said."""

from typing import Any

import pytest

from upcall.kubernetes.installing.deleted import still_on
from upcall.kubernetes.installing.installing import is_exchanged, newest, of_pod

ENDED = {"terminated": {"exitCode": 2, "reason": "Error", "message": "a line\nupcall.master: not this folder"}}
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
NO_NODE = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}


def pod(state: dict[str, Any], before: dict[str, Any] | None = None, *conditions: dict[str, Any]) -> dict[str, Any]:
    container = {"name": "master", "image": "example.invalid/x:1", "state": state}
    container |= {"lastState": before} if before else {}
    status = {"containerStatuses": [container] if state else [], "conditions": list(conditions)}
    return {"metadata": {"name": "upcall-master-1"}, "status": status}


def test_pods_of_what_was_wanted_before_say_nothing() -> None:
    def made(at: str, template: str) -> dict[str, Any]:
        return {"metadata": {"creationTimestamp": at, "labels": {"pod-template-hash": template}}}

    old, new, other = made("2026-01-01T00:00:01Z", "a"), made("2026-01-01T00:00:02Z", "b"), made("2026-01-01", "b")
    assert newest([old, new, other]) == [new, other]
    assert newest([]) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (pod({"waiting": {"reason": "ContainerCreating"}}), ""),
        (pod({"running": {"startedAt": "now"}}), ""),
        (pod({"running": {"startedAt": "now"}}, ENDED), ""),
        (pod(BACK_OFF, ENDED), "upcall-master-1 ended with 2: a line / upcall.master: not this folder"),
        (pod(ENDED), "upcall-master-1 ended with 2: a line / upcall.master: not this folder"),
        (
            pod({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}),
            "image example.invalid/x:1 cannot be had: not found",
        ),
        (
            pod({"waiting": {"reason": "CreateContainerConfigError", "message": "no secret"}}),
            "upcall-master-1: CreateContainerConfigError: no secret",
        ),
        (pod({}, None, NO_NODE), "upcall-master-1 finds no node: 0/3 nodes are available"),
    ],
)
def test_it_is_said_in_the_clusters_words(found: dict[str, Any], words: str) -> None:
    assert of_pod(found) == words


def made(template: str, *, leads: bool, phase: str = "Running") -> dict[str, Any]:
    labels = {"pod-template-hash": template} | ({"upcall.dev/leads": "true"} if leads else {})
    stamp = f"2026-01-01T00:00:0{template}Z"
    return {"metadata": {"creationTimestamp": stamp, "labels": labels}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("observed", "updated", "pods", "done"),
    [
        (1, 2, [made("1", leads=True), made("1", leads=False)], False),
        (2, 1, [made("1", leads=True), made("2", leads=False)], False),
        (2, 2, [made("1", leads=True), made("2", leads=False), made("2", leads=False)], False),
        (2, 2, [made("2", leads=True, phase="Pending"), made("2", leads=False)], False),
        (2, 2, [made("2", leads=True), made("2", leads=False)], True),
    ],
    ids=["not heard yet", "one of two", "the one before leads", "it does not run", "all are"],
)
def test_replicas_are_exchanged_once_all_are_new_and_one_of_these_leads(
    observed: int, updated: int, pods: list[dict[str, Any]], done: bool
) -> None:
    deployment = {
        "metadata": {"generation": 2},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": observed, "updatedReplicas": updated},
    }
    assert is_exchanged(deployment, pods) is done


def test_who_runs_as_far_as_anybody_knows() -> None:
    assert still_on({"spec": {"nodeName": "n1"}, "status": {"phase": "Running"}}) == "n1"
    assert still_on({"spec": {"nodeName": "n1"}, "status": {"phase": "Failed"}}) == ""
    assert still_on({"spec": {}, "status": {"phase": "Pending"}}) == ""
