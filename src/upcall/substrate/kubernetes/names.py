"""What our objects are called, and what they carry: all that identifies a task is a name, never an address.

A member has one pod a *place*, and the pod's name says the place, not the incarnation. So the API server itself holds
what must never be broken: where one incarnation still stands, no other can be made. Which incarnation a pod is stands
in an annotation. In the cluster a member is known by its service's headless ``Service``:
``replica-1.store.<namespace>.svc``, whatever pod it is at the moment.

Volumes belong to a *set*, numbered by a fence that never comes again for a member; which place a set belongs to is an
annotation, because what was kept is taken back by another place than had it before.
"""

import re
from hashlib import sha256
from typing import Final

PREFIX: Final = "upcall.dev/"

SERVICE: Final = PREFIX + "service"
MEMBER: Final = PREFIX + "member"
"""Labels: by them our objects are found."""
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "upcall"
HELD: Final = PREFIX + "held"
"""A label: while a pod has it a budget holds it, although nobody of us is there to be asked."""

TASK: Final = PREFIX + "task"
"""Annotations, from here on: ``store.replica-1.7``."""
GENERATION: Final = PREFIX + "generation"
PLACE: Final = PREFIX + "place"
BESIDE: Final = PREFIX + "beside"
GRACE: Final = PREFIX + "grace-s"
APART: Final = PREFIX + "apart"
"""A label too: affinity finds peers by it."""
SPREAD: Final = PREFIX + "spread"
"""Over what it is spread instead, where no node has what it was to be spread over, and why."""
FENCE: Final = PREFIX + "fence"
VOLUME: Final = PREFIX + "volume"
KEPT_UNTIL: Final = PREFIX + "kept-until"
"""Of a claim whose member was released: seconds since 1970."""
GUEST: Final = PREFIX + "guest"
"""A label: the pod is somebody else's, and is followed."""
LET_GO: Final = PREFIX + "let-go"
"""A label of somebody else's pod: it may be evicted, and the budget holds it no more."""
ASK: Final = PREFIX + "ask"
"""Of somebody else's workload, from here on: ``careful``, or the address of who answers for it."""
MINIMUM: Final = PREFIX + "minimum"
AWAY: Final = PREFIX + "away"
CLOSED: Final = PREFIX + "closed"
"""Of a node that is kept free for its maintenance, by us. Nodes are the whole cluster's: of several control planes each
has a mark of its own (:func:`closed`)."""

RESPONDER: Final = PREFIX + "service"
"""As whom we answer eviction requests, where a server knows such."""
RESPONDER_PRIORITY: Final = 10_000
"""Of who manages a pod: others may come before it, or after."""

KEEPS: Final = PREFIX + "how-it-ended"
"""The finalizer of a pod: it stays until we have read how it ended."""

ZONE: Final = "topology.kubernetes.io/zone"
REGION: Final = "topology.kubernetes.io/region"
HOST: Final = "kubernetes.io/hostname"
OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
ATTRIBUTES: Final = {"zone": ZONE, "region": REGION, "host": HOST}
"""Attributes of nodes that Kubernetes has words of its own for; any other is the label of its name."""

LABEL_CHARS_MAX: Final = 63
NAME_CHARS_MAX: Final = 253
DIGEST_CHARS: Final = 8
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def pod_name(member_id: str, place: int) -> str:
    return as_name(f"{member_id}.p{place}")


def claim_name(member_id: str, volume: str, fence: int) -> str:
    return as_name(f"{volume}.{member_id}.{fence}")


def closed(namespace: str) -> str:
    return f"{namespace}.{CLOSED}" if namespace else CLOSED


def as_name(text: str) -> str:
    """An object's name. What is none yet becomes one that nothing else becomes."""
    return _fitting(text, _NAME, r"[^a-z0-9.-]", NAME_CHARS_MAX)


def as_label(text: str) -> str:
    """A host's name, a ``Service``'s, or a label's value."""
    return _fitting(text, _LABEL, r"[^a-z0-9-]", LABEL_CHARS_MAX)


def host(service: str, member: str, domain: str) -> str:
    """By which a member is found, whichever pod it is at the moment. ``domain``: ``<namespace>.svc``."""
    return f"{as_label(member)}.{as_label(service)}.{domain}"


def short(text: str, chars_max: int) -> str:
    """A label of at most so many characters."""
    return _fitting(text, _LABEL, r"[^a-z0-9-]", chars_max)


def _fitting(text: str, form: re.Pattern[str], strange: str, chars_max: int) -> str:
    if len(text) <= chars_max and form.fullmatch(text):
        return text
    plain = re.sub(strange, "-", text.lower()).strip("-.")[: chars_max - DIGEST_CHARS - 1].strip("-.") or "x"
    plain = re.sub(r"[-.]*\.[-.]*", ".", plain)
    return f"{plain}-{sha256(text.encode()).hexdigest()[:DIGEST_CHARS]}"


def label_of(attribute: str) -> str:
    """The label of nodes that an attribute of a declaration means."""
    return ATTRIBUTES.get(attribute, attribute)
