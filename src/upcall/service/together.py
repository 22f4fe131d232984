"""Several that may go at once: the stops below one maintenance, and the restarts of one zone, asked as one question.

A drain of several nodes (those of a zone) puts a stop below it for each member there; an update puts a restart below it
for each member that differs, and a person may ask for several. An expert who can say that all of these are spared
together (:meth:`~upcall.service.service.Service.may_stop_together`) is asked that first, and a yes is one answer, which
accepts all of them at the same time. After anything else they are asked about one by one, and what may go goes.

Of restarts those of one zone are one question: with copies spread over the zones, these are the ones that may be away
together.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from upcall.protocol.service import NodeView, Operation, Policy
from upcall.service.blame import method_at
from upcall.service.consent import Verdict
from upcall.service.questions import NoAnswer, checked

if TYPE_CHECKING:
    from upcall.service.member import Member
    from upcall.service.service import Service

METHOD = "may_stop_together"
ZONES_MIN = 3
"""With copies in so many zones a majority of them is left without one."""


def with_it(service: "Service", operation: Operation) -> tuple[Operation, ...]:
    """The stops that wait below the same maintenance, its own among them; the restarts that wait below the same update,
    or below nothing, in its zone. None when it is alone."""
    zone = _zone(service, operation)
    if (operation.kind == "stop" and not operation.parent) or (operation.kind == "restart" and not zone):
        return ()
    if operation.kind not in ("stop", "restart"):
        return ()
    found = tuple(
        each
        for each in service.operations
        if (each.kind, each.parent, each.state) == (operation.kind, operation.parent, "open")
        and not each.paused
        and (each.kind == "stop" or _zone(service, each) == zone)
    )
    return found if len(found) > 1 and operation.id in {each.id for each in found} else ()


def _zone(service: "Service", operation: Operation) -> str:
    seen = service._context.members.get(operation.member)  # as it was observed: whatever `pods` says or raises now
    return seen.zone if seen is not None else ""


async def asked(service: "Service", group: tuple[Operation, ...]) -> Verdict | None:
    """What its expert says to all of them at once; None is no answer."""
    members: tuple[Member, ...] = tuple(found for each in group if (found := service.members.get(each.member)))
    if len(members) != len(group):
        return None
    owner = type(service)
    try:
        async with asyncio.timeout(service.answer_timeout_s):
            return checked(owner, group[0].kind, METHOD, await service.may_stop_together(members, group[0]))
    except TimeoutError:
        service.log.warning("%s gave no answer within %g s", method_at(owner, METHOD), service.answer_timeout_s)
    except NoAnswer as wrong:
        service.log.warning("%s", wrong)
    except Exception as error:
        service.log.warning("%s: %s", METHOD, service.raised(METHOD, error))
    return None


def spares_a_zone(usual: Policy, members: int, nodes: Iterable[NodeView]) -> Policy:
    """``usual`` lets one member go. This lets go what an even spread of so many members puts into one zone, where there
    are three zones or more."""
    zones = {node.zone for node in nodes if node.zone}
    if len(zones) < ZONES_MIN:
        return usual
    of_a_zone = -(-members // len(zones))
    return replace(usual, minimum=max(usual.minimum + 1 - of_a_zone, 0))
