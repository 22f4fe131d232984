"""Why a control plane does not come up is read out of its pods, and what is over is not said."""

from typing import Any

import pytest

from upcall.kubernetes.installing.installing import newest, of_pod

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
