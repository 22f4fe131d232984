"""Amounts that members get while they run, by the machines (:data:`upcall.service.changing.in_place`)."""

import asyncio
from collections.abc import Iterable
from typing import Final

from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid
from upcall.service.changing import OptionChange
from upcall.service.comparing import declarations
from upcall.service.member import Member
from upcall.service.service import Service
from upcall.service.steps import Later

LOOK_S: Final = 1.0

Changes = tuple[OptionChange, ...]


def apart(service: Service, changes: Iterable[OptionChange]) -> tuple[Changes, Changes]:
    """What the machines give, and what the system is told."""
    changes = tuple(changes)
    amounts = tuple(change for change in changes if service.how(change).in_place)
    return amounts, tuple(change for change in changes if change not in amounts)


async def given_back(service: Service, member: Member) -> None:
    """What it had before. Where its machine refuses that, its next start has it."""
    while (found := await _asked(service, member)).state == "waits":
        service.progress(f"{member.name} is given what it had: {found.reason}".removesuffix(": "))
        await asyncio.sleep(LOOK_S)
    if found.state == "refused":
        service.log.warning("%s is not given what it had before its next start: %s", member.name, found.reason)


async def given(service: Service, member: Member) -> None:
    """What it is declared with now. It may be called again; what is not there yet is only too early."""
    found = await _asked(service, member)
    match found.state:
        case "waits":
            raise Later(f"{member.name} is given what it is to have: {found.reason}".removesuffix(": "), LOOK_S)
        case "refused":
            raise Invalid(f"{member.name} cannot be given it where it runs: {found.reason}")
        case _:  # One that is away starts with it.
            return


async def _asked(service: Service, member: Member) -> wire.Resized:
    resources = declarations(service)[member.name].resources
    return await service._context.resize(wire.Resize(member=member.name, resources=resources))
