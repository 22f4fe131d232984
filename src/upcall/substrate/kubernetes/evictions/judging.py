"""Whether an eviction may pass: a pure function of the request, the pod, and what stands about it.

===========================================  ================================================================
the pod                                      the answer
===========================================  ================================================================
is not one of ours, or is gone               it may: nobody of us has a say
has ended, or is ending already              it may: nothing is taken from its service any more
its disruption is allowed                    it may; it is taken from under the floor first
its disruption stands                        not now, with the reason that is noted there
none stands                                  not now; one is written, so that the service is asked
===========================================  ================================================================

The same request twice has the same answer, and a dry run writes nothing, whichever of its two places says that it is
one: the API server passes on ``dryRun`` of the request, ``kubectl`` writes it into the eviction's ``deleteOptions``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from upcall.substrate.kubernetes.client.kinds import Object
from upcall.substrate.kubernetes.evictions.objects import disruption
from upcall.substrate.kubernetes.names import GUEST, HELD, LET_GO, MEMBER, SERVICE

ASKED_AGAIN_S: Final = 30.0
"""How old the note of who asked last may become: who gives up is seen by that it becomes old."""


@dataclass(frozen=True)
class Request:
    uid: str
    pod: str
    namespace: str
    who: str
    dry_run: bool
    pod_uid: str = ""
    """Of the pod that is meant, where the eviction names it."""


@dataclass(frozen=True)
class Verdict:
    passes: bool
    message: str = ""
    write: Object | None = None
    """The disruption as it is to stand."""
    release: bool = False
    """Take the pod from under the floor before it passes."""
    guest: bool = False
    """It is somebody else's, and its floor is another one."""


def read(review: Mapping[str, Any]) -> Request:
    """Raises ``KeyError`` or ``TypeError`` where it is no review of an eviction."""
    request = review["request"]
    options = (request.get("object") or {}).get("deleteOptions") or {}
    return Request(
        uid=request["uid"],
        pod=request["name"],
        namespace=request["namespace"],
        who=(request.get("userInfo") or {}).get("username", ""),
        dry_run=bool(request.get("dryRun") or options.get("dryRun")),
        pod_uid=(options.get("preconditions") or {}).get("uid") or "",
    )


def judge(request: Request, pod: Object | None, known: Object | None, now_wall_s: float) -> Verdict:
    if pod is None or (request.pod_uid and request.pod_uid != pod["metadata"]["uid"]):
        return Verdict(True)
    meta, status = pod["metadata"], pod.get("status") or {}
    labels = meta.get("labels") or {}
    service, member = labels.get(SERVICE), labels.get(MEMBER)
    if not service or not member:
        return Verdict(True)
    guest = GUEST in labels
    held = HELD in labels or (guest and LET_GO not in labels)
    said = (known or {}).get("status") or {}
    if meta.get("deletionTimestamp") or status.get("phase") in ("Succeeded", "Failed") or said.get("allowed"):
        return Verdict(True, release=held and not request.dry_run, guest=guest)
    if known is None and request.dry_run:
        return Verdict(False, f"{service} would be asked whether {member} may go")
    asked_s = float(((known or {}).get("spec") or {}).get("asked") or 0.0)
    write = None
    if not request.dry_run and now_wall_s - asked_s >= ASKED_AGAIN_S:
        write = disruption(pod, request.who, now_wall_s)
    return Verdict(False, said.get("message") or f"{service} is asked whether {member} may go", write)


def answer(request: Request, verdict: Verdict) -> Object:
    """For the API server. 429 is what a drain waits out; anything else it would take for a failure."""
    response: Object = {"uid": request.uid, "allowed": verdict.passes}
    if not verdict.passes:
        response["status"] = {"code": 429, "reason": "TooManyRequests", "message": verdict.message}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
