"""The door for secrets: set, listed by name, given away by word, removed. A value goes in, and never out."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from upcall.master import secret_uses
from upcall.master.context import SECRETS
from upcall.master.driver import Driver
from upcall.master.http import caller, told_when_durable
from upcall.master.secrets import Secrets
from upcall.master.tokens import Principal
from upcall.master.transaction import Transaction
from upcall.protocol import operator as view


def router(core: Driver, secrets: Secrets, principal: Callable[[Request], Principal]) -> APIRouter:
    api = APIRouter(prefix="/v1/secrets", tags=["operator API"], dependencies=[told_when_durable(core.durable)])

    Operator = Annotated[Principal, Depends(caller(principal, "operator"))]
    Admin = Annotated[Principal, Depends(caller(principal, "admin"))]

    @api.get("")
    async def secrets_there(_: Operator) -> list[view.SecretView]:
        grants, users = secrets.grants(), secret_uses.by_secret(core)
        return [
            view.SecretView(name=name, granted=grants.get(name, []), used_by=secret_uses.users(core, name, users))
            for name in secrets.names()
        ]

    @api.put("/{name}")
    async def put_secret(name: str, who: Admin, secret: view.SecretValue) -> dict[str, Any]:
        await asyncio.to_thread(secrets.put, name, secret.value)

        def noted(tx: Transaction) -> None:
            tx.event("secret", name, f"set by {who.name}")
            tx.changed.names[SECRETS] = None

        core.post(noted)
        return {}

    @api.delete("/{name}")
    async def remove_secret(name: str, who: Admin) -> view.SecretView:
        """One that nobody uses: its value, and the words that it may be given, which are answered."""

        def unused(tx: Transaction) -> None:
            secrets.must_be(name, "secret")
            secret_uses.must_be_unused(core, name)
            secrets.going(name)

        await core.turn(unused)
        granted = await asyncio.to_thread(secrets.remove, name)
        await core.turn(lambda tx: tx.event("secret", name, f"removed by {who.name}"))
        return view.SecretView(name=name, granted=granted)

    @api.post("/{name}/grant")
    async def grant_secret(name: str, who: Admin, to: view.SecretGrant) -> list[str]:
        """Whoever may install a service may give it to this one, or no more; all services of which that holds."""
        granted = await asyncio.to_thread(lambda: secrets.grant(name, to.service, stands=to.stands))
        words = f"may be given to {to.service}" if to.stands else f"is not to be given to {to.service} any more"
        await core.turn(lambda tx: tx.event("secret", name, f"{words}, says {who.name}"))
        return granted

    return api
