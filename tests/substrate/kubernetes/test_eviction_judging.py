"""Whether an eviction may pass. No API server: the answer is a function of what stands there."""

from typing import Any

import pytest

from upcall.substrate.kubernetes.client.kinds import Object
from upcall.substrate.kubernetes.evictions.judging import ASKED_AGAIN_S, Request, answer, judge, read
from upcall.substrate.kubernetes.evictions.objects import disruption, disruption_name
from upcall.substrate.kubernetes.names import HELD, MEMBER, SERVICE

NOW_S = 1_000_000.0


def pod(**changes: Any) -> Object:
    labels = {SERVICE: "store", MEMBER: "replica-2", HELD: "true"}
    return {
        "metadata": {"name": "store.replica-2.p1", "namespace": "data", "uid": "u-1", "labels": labels},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running"},
    } | changes


def request(**changes: Any) -> Request:
    said: dict[str, Any] = {
        "uid": "r-1",
        "pod": "store.replica-2.p1",
        "namespace": "data",
        "who": "alice",
        "dry_run": False,
    }
    return Request(**(said | changes))


def standing(allowed: bool = False, message: str = "", asked_s: float = NOW_S) -> Object:
    return disruption(pod(), "alice", asked_s) | {"status": {"allowed": allowed, "message": message}}


def test_the_first_request_writes_down_who_wants_what_and_is_held() -> None:
    verdict = judge(request(), pod(), None, NOW_S)
    assert not verdict.passes
    assert verdict.message == "store is asked whether replica-2 may go"
    assert verdict.write is not None
    assert verdict.write["metadata"]["name"] == disruption_name("u-1")
    assert verdict.write["spec"]["who"] == "alice"
    assert verdict.write["spec"]["podUID"] == "u-1"


def test_it_is_held_with_the_services_own_reason() -> None:
    verdict = judge(request(), pod(), standing(message="6 parts would have one copy"), NOW_S)
    assert (verdict.passes, verdict.message, verdict.write) == (False, "6 parts would have one copy", None)


def test_that_it_is_still_asked_for_is_noted_now_and_then_only() -> None:
    assert judge(request(), pod(), standing(), NOW_S + ASKED_AGAIN_S - 1).write is None
    again = judge(request(), pod(), standing(), NOW_S + ASKED_AGAIN_S).write
    assert again is not None
    assert again["spec"]["asked"] == NOW_S + ASKED_AGAIN_S


def test_with_consent_it_passes_and_is_taken_from_under_the_floor_first() -> None:
    verdict = judge(request(), pod(), standing(allowed=True), NOW_S)
    assert (verdict.passes, verdict.release, verdict.write) == (True, True, None)
    let_go = pod()
    del let_go["metadata"]["labels"][HELD]
    assert not judge(request(), let_go, standing(allowed=True), NOW_S).release


def test_consent_is_for_this_very_pod() -> None:
    """A later one of the same name has another uid, so another disruption is looked for; one that names the older pod
    is no business of ours: the API server refuses it."""
    later = pod()
    later["metadata"]["uid"] = "u-2"
    assert not judge(request(), later, None, NOW_S).passes
    assert judge(request(pod_uid="u-1"), later, None, NOW_S).passes


@pytest.mark.parametrize("known", [None, standing(), standing(message="no"), standing(allowed=True)])
def test_a_dry_run_has_the_same_answer_and_writes_nothing(known: Object | None) -> None:
    real, tried = (judge(request(dry_run=dry), pod(), known, NOW_S + 3600) for dry in (False, True))
    assert tried.passes == real.passes
    assert (tried.write, tried.release) == (None, False)


@pytest.mark.parametrize("known", [None, standing(), standing(allowed=True)])
def test_the_same_request_twice_has_the_same_answer(known: Object | None) -> None:
    first = judge(request(), pod(), known, NOW_S)
    stands = known if first.write is None else first.write
    second = judge(request(), pod(), stands, NOW_S)
    assert (first.passes, first.message) == (second.passes, second.message)
    assert second.write is None


@pytest.mark.parametrize(
    "found",
    [
        None,
        pod(metadata={"name": "stranger", "uid": "u-9"}),
        pod(metadata=pod()["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        pod(status={"phase": "Failed"}),
        pod(status={"phase": "Succeeded"}),
    ],
    ids=["gone", "a stranger's", "ending", "failed", "over"],
)
def test_what_takes_nothing_from_a_service_passes(found: Object | None) -> None:
    verdict = judge(request(), found, None, NOW_S)
    assert (verdict.passes, verdict.write) == (True, None)


@pytest.mark.parametrize(
    ("said", "dry"),
    [
        ({}, False),
        ({"dryRun": True}, True),
        ({"object": {"deleteOptions": {"dryRun": ["All"]}}}, True),
        ({"object": {"deleteOptions": {"preconditions": {"uid": "u-1"}}}}, False),
    ],
)
def test_a_dry_run_is_seen_wherever_it_is_said(said: Object, dry: bool) -> None:
    """``kubectl`` says it in the eviction's own options, where the request's ``dryRun`` is false."""
    whole = {"uid": "r", "name": "p", "namespace": "n", "userInfo": {"username": "alice"}} | said
    got = read({"request": whole})
    assert got.dry_run is dry
    assert got.who == "alice"


def test_not_now_is_429_which_a_drain_waits_out() -> None:
    said = answer(request(), judge(request(), pod(), None, NOW_S))["response"]
    assert said["uid"] == "r-1"
    assert said["allowed"] is False
    assert said["status"]["code"] == 429
