"""How a pod ended, if it has: what is proof of death, and what can be said of it.

Proof is one of: its node says that its container has ended; it was told to go before any node had it; its node is gone
or was taken out of service, and Kubernetes' garbage collector therefore declared it failed. A deadline that passed, a
node that is silent and an object that somebody deleted are none: our finalizer keeps the object until there is one.
"""

from contextlib import suppress
from typing import Final

import msgspec

from upcall.substrate.interface import Exit
from upcall.substrate.kubernetes.objects import Node, Pod, Terminated

OVER: Final = ("Succeeded", "Failed")
NOT_STARTED: Final = frozenset({"StartError", "ContainerCannotRun", "RunContainerError", "CreateContainerError"})
"""The container's own fault: what is to run cannot be started."""
MACHINE_STOPPED: Final = frozenset({"ContainerStatusUnknown", "Unknown"})
"""What a kubelet, or its runtime, says of a container that was there before the machine stopped."""
SHUT_DOWN: Final = frozenset({"Terminated", "NodeShutdown", "Shutdown"})
"""What a kubelet says of pods that it ends because its machine is being shut down."""
BY_ITS_NODE: Final = "TerminationByKubelet"
LINES_MAX: Final = 20
LAST_WORD: Final = "upcall: "
"""What our part in a pod writes into its termination message begins so: the exit, as it knows it."""

NEVER_PLACED: Final = "it was never placed"
BY_OTHERS: Final = "ended by the substrate"
OUT_OF_SERVICE: Final = "what was left of its node was ended"
NODE_GONE: Final = "its node is gone"
NOT_FOUND: Final = "the machine stopped"
FORCED: Final = "its pod was taken away before its node said how it ended"


def exit_of(pod: Pod, node: Node | None, *, ours: bool) -> Exit | None:
    """None: it is not proven dead. ``ours``: we had told it to end."""
    if pod.leaving and not pod.node:
        return Exit(reason=NEVER_PLACED)
    if pod.status.phase not in OVER:
        return None
    ended = pod.container.state.terminated if pod.container is not None else None
    if ended is None:
        return Exit(reason=_without_word(pod, node), with_its_node=_node_went(pod, node))
    return _with_word(pod, ended, by_others=pod.leaving and not ours)


def _without_word(pod: Pod, node: Node | None) -> str:
    """Its node did not say how the container ended, or never began it."""
    if node is None and pod.node:
        return NODE_GONE
    if node is not None and node.out_of_service:
        return OUT_OF_SERVICE
    return said(pod) or "it ended before its container began"


def _with_word(pod: Pod, ended: Terminated, *, by_others: bool) -> Exit:
    if ended.message.startswith(LAST_WORD):
        with suppress(msgspec.MsgspecError):
            word = msgspec.json.decode(ended.message.removeprefix(LAST_WORD), type=Exit)
            # Our part knows how the task ended; why its pod was told to end only others know.
            reason = word.reason or said(pod) or (BY_OTHERS if by_others else "")
            return msgspec.structs.replace(word, reason=reason, with_its_node=pod.status.reason in SHUT_DOWN)
    if ended.reason in MACHINE_STOPPED:
        return Exit(reason=NOT_FOUND, with_its_node=True)  # its code is a word of who did not find it
    code, signal = ended.exit_code, ended.signal or None
    if signal is None and code > 128:  # as a shell says it, and most runtimes do
        signal = code - 128
    reason, lines = "", tuple(line for line in ended.message.splitlines() if line.strip())[-LINES_MAX:]
    if ended.reason == "OOMKilled":
        reason = "out of memory"
    elif ended.reason in NOT_STARTED:
        reason, lines = f"it could not be started: {ended.message or ended.reason}", ()
    elif words := said(pod):
        reason = words
    elif by_others:
        reason = BY_OTHERS
    elif ended.reason not in ("", "Error", "Completed"):
        reason = ended.reason
    return Exit(
        code=None if signal is not None else code,
        signal=signal,
        reason=reason,
        lines=lines,
        not_started=ended.reason in NOT_STARTED,
        with_its_node=pod.status.reason in SHUT_DOWN,
    )


def _node_went(pod: Pod, node: Node | None) -> bool:
    if node is None or node.out_of_service:
        return bool(pod.node)
    return pod.status.reason in SHUT_DOWN


def said(pod: Pod) -> str:
    """What its node said of the pod as a whole: evicted for want of memory, or shut down with the machine. Of one that
    ended with 0 the node forgets its reason when it writes that down; the condition stays."""
    if pod.status.reason:
        return _words(pod.status.reason, pod.status.message)
    target = pod.condition("DisruptionTarget")
    if target is not None and target.reason == BY_ITS_NODE:
        return _words(target.reason, target.message)
    return ""


def _words(reason: str, message: str) -> str:
    return f"{reason}: {message}" if message else reason
