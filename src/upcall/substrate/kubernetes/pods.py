"""A pod that has not ended, in our words.

============================================  =========================================================================
of the pod                                    state of the task
============================================  =========================================================================
no node yet                                   ``pending``, with the scheduler's own words
a node, nothing said of its container         ``placed``
its container waits (image, mount, settings)  ``placed``; ``fetching`` with the runtime's words, where that goes wrong
runs, never ready yet                         ``running``; ``unready`` when our part in it says that it is late;
                                              before that as far as our part has come (``fetching``, ``starting``)
ready                                         ``ready``
runs, was ready                               ``unready``, with what our part says of it, or else its probe; still
                                              ``ready`` when our part says that it has ended: done is not ill
told to end                                   ``ending``
============================================  =========================================================================

Readiness is read of the container, not of the pod: a pod of a silent node is marked as not ready by a controller that
knows nothing about it. Whether a container was ready before is told by when that changed last: at its start it has
not changed since. So the API server alone says what matters; what only our part in a pod knows (that a start goes on,
or is late, or why a check fails) it says to the master itself, and again after each start of it: a :class:`Word`.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from upcall.substrate.interface import Observed, TaskId, TaskState
from upcall.substrate.kubernetes import names
from upcall.substrate.kubernetes.nodes import seconds
from upcall.substrate.kubernetes.objects import Pod

ON_ITS_WAY: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
UNREADY: Final = "health check fails"
NAMES_ALONE: Final = "containers with unready status"
"""All that a kubelet writes there: no reason."""
LATE: Final = "not ready within its start timeout"


@dataclass(frozen=True)
class Word:
    """Of our part in a pod, about its task as it is now."""

    state: Literal["", "placed", "fetching", "starting"] = ""
    """How far it is while nothing of the task runs yet."""
    over: bool = False
    """It has ended, which the pod says in a moment, and how."""
    late: bool = False
    """Not ready within its start timeout, and nothing told since that the start goes on."""
    reason: str = ""
    """Why it is not well, or what it does."""
    progress: int = 0
    generation: int = 0
    """Of the launch that it has heard last."""


class Seen(NamedTuple):
    state: TaskState
    reason: str = ""


def leaving_or_pending(pod: Pod) -> Seen | None:
    """Of a pod that is being deleted, or has no node yet; whoever made it."""
    if pod.leaving:
        return Seen("ending")
    if not pod.node:
        scheduled = pod.condition("PodScheduled")
        waits = scheduled is not None and scheduled.status == "False"
        return Seen("pending", scheduled.message if waits and scheduled is not None else "")
    return None


def seen(pod: Pod, word: Word) -> Seen:
    if (early := leaving_or_pending(pod)) is not None:
        return early
    container = pod.container
    if container is None or container.state.running is None:
        waiting = container.state.waiting if container is not None else None
        if waiting is None or waiting.reason in ON_ITS_WAY:
            return Seen("placed")
        return Seen("fetching", f"{waiting.reason}: {waiting.message}" if waiting.message else waiting.reason)
    if container.ready:
        return Seen("ready")
    began = seconds(container.state.running.started_at)
    if _was_ready(pod, began):
        if word.over:
            return Seen("ready")
        return Seen("unready", word.reason or _why_unready(pod))
    if word.state:
        return Seen(word.state, word.reason)
    return Seen("unready", word.reason or LATE) if word.late else Seen("running", word.reason)


def _was_ready(pod: Pod, began: float | None) -> bool:
    condition = pod.condition("ContainersReady")
    if condition is None or began is None:
        return False
    changed = seconds(condition.last_transition_time)
    return condition.status == "False" and changed is not None and changed > began


def _why_unready(pod: Pod) -> str:
    condition = pod.condition("ContainersReady")
    says = condition.message if condition is not None else ""
    return UNREADY if not says or says.startswith(NAMES_ALONE) else says


def observed(pod: Pod, task: TaskId, state: TaskState, reason: str, word: Word, domain: str = "") -> Observed:
    """``domain``: in which members have names (:func:`~upcall.substrate.kubernetes.names.host`)."""
    return Observed(
        task=task,
        state=state,
        reason=reason,
        node=pod.node,
        address=names.host(task.service, task.member, domain) if domain and pod.node else pod.status.pod_ip,
        generation=max(pod.number(names.GENERATION), word.generation),
        progress=word.progress,
    )
