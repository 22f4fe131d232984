"""The door for what platform files made: they remove nothing else, so what they made is written down.

That a file made a *service* is said when it is installed; what it made *in* services (topics, jobs) is said here, once
it is there. It goes with its service.
"""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Request

from upcall.master import records as r
from upcall.master.driver import Driver
from upcall.master.http import caller, told_when_durable
from upcall.master.services import find
from upcall.master.state import Service
from upcall.master.tokens import Principal
from upcall.master.transaction import Transaction
from upcall.master.views import Views
from upcall.protocol import operator as view
from upcall.protocol.errors import Invalid, TooLarge

MADE_MAX: Final = 10_000
"""In one service, by all files."""


def router(core: Driver, views: Views, principal: Callable[[Request], Principal]) -> APIRouter:
    api = APIRouter(prefix="/v1", tags=["operator API"], dependencies=[told_when_durable(core.durable)])
    Operator = Annotated[Principal, Depends(caller(principal, "operator"))]

    @api.post("/services/{service}/made")
    async def say_made(service: str, _: Operator, said: view.Made) -> view.ServiceView:
        """Contents of the service that a platform file made, or dropped again."""
        return views.service(await core.turn(lambda tx: made(tx, service, said)))

    return api


def made(tx: Transaction, name: str, said: view.Made) -> Service:
    service = find(tx.core, name)
    record = service.record
    package = tx.core.state.packages.find(record.package, record.version)
    kinds = [one.kind for one in package.contents]
    if said.kind not in kinds:
        raise Invalid(
            f"{record.package} holds no {said.kind!r}",
            where="kind",
            expected=", ".join(kinds) or "nothing: it has none",
        )
    of_file = record.made.get(said.platform, {})
    names = tuple(sorted({*of_file.get(said.kind, ()), *said.made} - {*said.dropped}))
    everything = {**record.made, said.platform: {**of_file, said.kind: names}}
    if sum(len(each) for kinds in everything.values() for each in kinds.values()) > MADE_MAX:
        raise TooLarge(f"platform files made {MADE_MAX} things in {name}", where="made", expected="fewer")
    service.record = msgspec.structs.replace(record, made=everything)
    tx.put(r.SERVICE, name, service.record)
    return service
