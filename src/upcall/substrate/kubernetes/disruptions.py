"""What others do to our pods, and what we can make of it.

==========================  ===========  ===============================================================================
what                        firmness     how it is known
==========================  ===========  ===============================================================================
an eviction                 intercepted  the webhook writes a ``Disruption`` (ours), and says no until its status is yes
a deletion by hand          observed     the pod is leaving and we had not told it to; the webhook may have written who
preemption by a scheduler   notified     the same, with a condition that says so; its grace is all that is left
a taint, a node shut down   notified     the same
node pressure               observed     the pod has failed, and its node says why
==========================  ===========  ===============================================================================

A ``Disruption`` lives in the cluster, so it is known to every replica of the webhook and outlives all of us. One whose
pod has ended is deleted by us; one that is deleted before that was called off. So is an eviction that nobody asks for
any more: whoever drains asks again and again, and says nothing when he gives up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from upcall.substrate.interface import (
    Disruption,
    DisruptionOver,
    Disruptions,
    Firmness,
    Output,
    StillHeld,
    TaskId,
)
from upcall.substrate.kubernetes import objects
from upcall.substrate.kubernetes.asking import Asking
from upcall.substrate.kubernetes.cache import Cache
from upcall.substrate.kubernetes.exits import exit_of
from upcall.substrate.kubernetes.objects import Pod

LAPSES_S: Final = 120.0
"""The webhook notes at least every half minute that it was asked."""
MESSAGE_CHARS_MAX: Final = 500
"""Of a reason: more than a person reads on a line that is printed every five seconds."""
SOMEBODY: Final = "somebody on Kubernetes"
FIRMNESS: Final[dict[str, Firmness]] = {"evict": "intercepted", "preempt": "notified", "stop": "observed"}
PREEMPTED: Final = "PreemptionByScheduler"


@dataclass
class Standing:
    """One that was told."""

    task: TaskId
    uid: str
    """Of its pod."""


class Foreign:
    def __init__(self, cache: Cache, asking: Asking, wall: Callable[[], float]) -> None:
        self._cache, self._asking, self._wall = cache, asking, wall
        self.listens_since = 0.0
        """Wall time. Nobody of us may have been there before, so that who asked then could not be noted."""
        self.lapses: dict[str, float] = {}
        """When each is to be looked at although nothing is heard of it."""
        self._told: dict[str, Standing] = {}
        self._of_pod: dict[str, list[str]] = {}
        """Uid of a pod -> what was told of it."""
        self._allowed: set[str] = set()
        self._messages: dict[str, str] = {}
        """Why each has to wait, for whoever asks the webhook."""

    def began(self, one: objects.Disruption, out: Output) -> None:
        """The webhook has written it down, or it was there when we started."""
        pod = self._cache.pods.get(one.spec.pod)
        if one.name in self._told or pod is None or pod.uid != one.spec.pod_uid or pod.task is None:
            return
        if exit_of(pod, self._cache.nodes.get(pod.node), ours=True) is not None:
            return
        self._note(one.name, Standing(pod.task, pod.uid))
        left_s = None if one.spec.until is None else max(one.spec.until - self._wall(), 0.0)
        out.up.append(
            Disruption(
                id=one.name,
                task=pod.task,
                verb=one.spec.verb,
                firmness=FIRMNESS[one.spec.verb],
                reason=one.spec.reason,
                who=one.spec.who or SOMEBODY,
                deadline_s=None if one.spec.verb == "stop" else left_s,
            )
        )

    def called_off(self, name: str, out: Output) -> None:
        if (standing := self._told.pop(name, None)) is not None:
            left = [other for other in self._of_pod.pop(standing.uid, ()) if other != name]
            if left:
                self._of_pod[standing.uid] = left
            self._forget(name)
            out.up.append(DisruptionOver(id=name, happened=False))

    def _note(self, name: str, standing: Standing) -> None:
        self._told[name] = standing
        self._of_pod.setdefault(standing.uid, []).append(name)

    def leaves(self, pod: Pod, task: TaskId, out: Output) -> None:
        """Somebody has told a pod that is wanted to go."""
        if pod.uid in self._of_pod:
            return
        target = pod.condition("DisruptionTarget")
        verb: Literal["stop", "preempt"] = "stop"
        firmness: Firmness = "observed"
        if target is not None:
            verb, firmness = "preempt" if target.reason == PREEMPTED else "stop", "notified"
        name = f"deleted-{pod.uid}"
        self._note(name, Standing(task, pod.uid))
        out.up.append(
            Disruption(
                id=name,
                task=task,
                verb=verb,
                firmness=firmness,
                reason=target.message if target is not None and target.message else "its pod was deleted",
                who=SOMEBODY,
                deadline_s=pod.metadata.deletion_grace_period_seconds if verb == "preempt" else None,
            )
        )

    def ended(self, pod_uid: str, out: Output) -> None:
        """What stood about it has happened."""
        for name in self._of_pod.pop(pod_uid, ()):
            del self._told[name]
            self._forget(name)
            out.up.append(DisruptionOver(id=name, happened=True))

    def _forget(self, name: str) -> None:
        self._allowed.discard(name)
        self._messages.pop(name, None)

    def allow(self, name: str, now_s: float, out: Output) -> None:
        self._allowed.add(name)
        self.look(name, now_s, out)

    def explain(self, name: str, held: StillHeld, now_s: float, out: Output) -> None:
        """It stands in the object, so every webhook says it, also while nobody of us is there. Only of what stands:
        a word that comes late is not kept."""
        if name in self._told:
            self._messages[name] = message_of(held)
            self.look(name, now_s, out)

    def look(self, name: str, now_s: float, out: Output) -> None:
        """Says yes where it was decided, and clears what is over."""
        one = self._cache.disruptions.get(name)
        self.lapses.pop(name, None)
        if one is None or not self._asking.is_free("Disruption", name, now_s):
            return
        pod = self._cache.pods.get(one.spec.pod)
        is_over = pod is None or pod.uid != one.spec.pod_uid
        if one.spec.asked is not None and name not in self._allowed and not one.status.allowed:
            left_s = max(one.spec.asked, self.listens_since) + LAPSES_S - self._wall()
            if left_s > 0:
                self.lapses[name] = now_s + left_s
            is_over = is_over or left_s <= 0
        if is_over:
            self._asking.delete("Disruption", name, one.uid, None, out)
        elif (status := self._wanted(name, one.status)) is not None:
            change = {"metadata": {"uid": one.uid}, "status": status}
            self._asking.merge("Disruption", name, change, out, part="status")

    def _wanted(self, name: str, now: objects.DisruptionStatus) -> dict[str, Any] | None:
        """What its status is to say; None: it does."""
        if now.allowed:
            return None
        if name in self._allowed:
            return {"allowed": True, "message": None}
        message = self._messages.get(name, now.message)
        return {"message": message} if message != now.message else None

    def listed(self) -> Disruptions:
        return Disruptions(ids=tuple(self._told))


def message_of(held: StillHeld) -> str:
    """One line, whatever the service wrote, and a bounded one."""
    text = " ".join(str(held).split())
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - 1] + "\N{HORIZONTAL ELLIPSIS}"
