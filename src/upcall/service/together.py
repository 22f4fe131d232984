"""Several that may go at once: the stops below one maintenance, asked as one question.

A drain of several nodes (those of a zone) puts a stop below it for each member there. An expert who can say that all of
these are spared together (:meth:`~upcall.service.service.Service.may_stop_together`) is asked that first, and a yes is
one answer, which accepts all of them at the same time. After anything else they are asked about one by one, and what
may go goes.
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


def with_it(operation: Operation, all_: Iterable[Operation]) -> tuple[Operation, ...]:
    """The stops that wait below the same maintenance, its own among them; none when it is alone."""
    if operation.kind != "stop" or not operation.parent:
        return ()
    found = tuple(
        each
        for each in all_
        if each.kind == "stop" and each.parent == operation.parent and each.state == "open" and not each.paused
    )
    return found if len(found) > 1 and operation.id in {each.id for each in found} else ()


async def asked(service: "Service", group: tuple[Operation, ...]) -> Verdict | None:
    """What its expert says to all of them at once; None is no answer."""
    members: tuple[Member, ...] = tuple(found for each in group if (found := service.members.get(each.member)))
    if len(members) != len(group):
        return None
    owner = type(service)
    try:
        async with asyncio.timeout(service.answer_timeout_s):
            return checked(owner, "stop", METHOD, await service.may_stop_together(members, group[0]))
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
