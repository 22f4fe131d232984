"""What stands in a resource's status: what was looked at, how its service is, and why.

=============  ====================================================================================================
condition      true
=============  ====================================================================================================
Ready          the service is as the newest ``spec`` says, and all its members are ready
Progressing    something is on its way: it is deployed, changed, uninstalled, or waits for a consent
Degraded       something is wrong with it, as its members or its own code say
Stalled        what the ``spec`` says was refused, or has failed: nothing goes on before it says something else
=============  ====================================================================================================
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from upcall.kubernetes.resources.reading import Picture, Resource

TYPES: Final = ("Ready", "Progressing", "Degraded", "Stalled")
MESSAGE_CHARS_MAX: Final = 1000
ON_ITS_WAY: Final = ("deploying", "updating", "uninstalling")
UNWELL: Final = ("degraded", "recovering", "blocked", "no host")
STOPPED: Final = ("declined", "withdrawn", "failed", "cancelled")
"""How a change ended that is not carried out."""


@dataclass(frozen=True)
class Refusal:
    """What the master said when the resource was carried to it."""

    generation: int
    reason: str
    """One word."""
    message: str


def status(resource: Resource, picture: Picture, refusal: Refusal | None, wall_s: float) -> dict[str, Any]:
    """All of it; times of conditions that did not change stay as they are."""
    service = picture.services.get(resource.name)
    if picture.kept_by(resource.name) != resource.what:
        service = None
    found: dict[str, Any] = {
        "observedGeneration": resource.generation,
        "version": str(service["version"]) if service else "",
        "revision": int(service["revision"]) if service else 0,
        "ready": f"{service['ready']}/{service['wanted']}" if service else "",
        "operation": "",
    }
    keeper: Mapping[str, Any] = (service or {}).get("keeper") or {}
    if keeper.get("generation") != resource.generation or keeper.get("uid") != resource.uid:
        keeper = {}
    stalled = _stalled(keeper, refusal if refusal and refusal.generation == resource.generation else None)
    way = _way(resource, picture, service, keeper)
    unwell = _unwell(service)
    health, reason = _health(service, stalled, way)
    said = (
        _ready(service, keeper, way, stalled),
        ("Progressing", bool(way) and not stalled, way[0] if way else "Settled", way[1] if way else ""),
        ("Degraded", bool(unwell), unwell[0] if unwell else "Well", unwell[1] if unwell else ""),
        ("Stalled", bool(stalled), stalled[0] if stalled else "Taken", stalled[1] if stalled else ""),
    )
    found |= {"health": health, "reason": _short(reason), "operation": way[2] if way else ""}
    return found | {"conditions": _conditions(said, resource, wall_s)}


Said = tuple[str, bool, str, str]


def _stalled(keeper: Mapping[str, Any], refusal: Refusal | None) -> tuple[str, str] | None:
    if refusal is not None:
        return refusal.reason, refusal.message
    outcome = keeper.get("outcome")
    if outcome in STOPPED:
        return str(outcome).capitalize(), str(keeper.get("why") or f"the change was {outcome}")
    return None


def _way(
    resource: Resource, picture: Picture, service: Mapping[str, Any] | None, keeper: Mapping[str, Any]
) -> tuple[str, str, str] | None:
    """A word, why it is not over yet, and the operation."""
    if resource.deleting and service is not None:
        going = picture.of_service(resource.name, "uninstall")
        return "Uninstalling", _waits(going) or "it is asked to go", str(going["id"]) if going else ""
    if service is None:
        return "Installing", "it is not installed yet", ""
    change = picture.operations.get(str(keeper.get("operation") or ""))
    if change is not None:
        return "Updating", _waits(change) or f"{change['kind']} to revision {keeper.get('revision')}", str(change["id"])
    if not keeper:
        return "Updating", "the newest spec is not taken up yet", ""
    if service["state"] in ON_ITS_WAY:
        return str(service["state"]).capitalize(), str(service.get("reason") or service["state"]), ""
    return None


def _waits(operation: Mapping[str, Any] | None) -> str:
    return str((operation or {}).get("waits_for") or "")


def _unwell(service: Mapping[str, Any] | None) -> tuple[str, str] | None:
    if service is None:
        return None
    if service["state"] in UNWELL:
        return _word(str(service["state"])), str(service.get("reason") or service["state"])
    if service.get("unfinished"):
        return "Unfinished", str(service["unfinished"])
    return None


def _word(state: str) -> str:
    return "".join(part.capitalize() for part in state.split())


def _health(
    service: Mapping[str, Any] | None, stalled: tuple[str, str] | None, way: tuple[str, str, str] | None
) -> tuple[str, str]:
    if service is None:
        return ("refused", stalled[1]) if stalled else ("installing", way[1] if way else "")
    reason = stalled[1] if stalled else str(service.get("reason") or "") or (way[1] if way else "")
    return str(service["state"]), reason


def _ready(
    service: Mapping[str, Any] | None,
    keeper: Mapping[str, Any],
    way: tuple[str, str, str] | None,
    stalled: tuple[str, str] | None,
) -> Said:
    for one in (stalled, way):
        if one is not None:
            return "Ready", False, one[0], one[1]
    if service is None or service["state"] != "running" or service["ready"] < service["wanted"]:
        state = str(service["state"]) if service else "absent"
        return "Ready", False, _word(state), str((service or {}).get("reason") or state)
    return "Ready", True, "Running", ""


def _conditions(said: Sequence[Said], resource: Resource, wall_s: float) -> list[dict[str, Any]]:
    before = {one.get("type"): one for one in resource.status.get("conditions") or ()}
    found = []
    for kind, holds, reason, message in said:
        value, known = "True" if holds else "False", before.get(kind) or {}
        since = known.get("lastTransitionTime") if known.get("status") == value else None
        found.append(
            {
                "type": kind,
                "status": value,
                "reason": reason,
                "message": _short(message),
                "observedGeneration": resource.generation,
                "lastTransitionTime": since or moment(wall_s),
            }
        )
    return found


def _short(text: str) -> str:
    """One line."""
    text = " ".join(text.split())
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - 3] + "..."


def moment(wall_s: float) -> str:
    return datetime.fromtimestamp(int(wall_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
