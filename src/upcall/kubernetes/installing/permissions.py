"""What whoever installs must be allowed to, asked of the API server before anything is written: all that is missing is
named at once."""

import asyncio
from collections.abc import Iterable
from typing import Final

from upcall.protocol.errors import Forbidden
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.kinds import MAY_I, POD, SECRET, Kind, Object

APPLIES: Final = ("create", "patch")
AT_ONCE_MAX: Final = 8

Wanted = tuple[str, Kind, str, str]
"""Verb, kind, subresource, namespace."""


def to_install(objects: Iterable[tuple[Kind, Object]], namespace: str) -> list[Wanted]:
    """Once for each kind."""
    kinds = dict.fromkeys(kind for kind, _ in objects)
    found = [(verb, kind, "", namespace if kind.namespaced else "") for kind in kinds for verb in APPLIES]
    return [*found, ("create", SECRET, "", namespace), *to_reach(namespace)]


def to_reach(namespace: str) -> list[Wanted]:
    return [
        ("get", SECRET, "", namespace),
        ("list", POD, "", namespace),
        ("create", POD, "portforward", namespace),
    ]


async def check(api: Api, wanted: Iterable[Wanted], what: str) -> None:
    """Raises :class:`Forbidden` with each one that is missing."""
    few = asyncio.Semaphore(AT_ONCE_MAX)

    async def may(one: Wanted) -> bool:
        verb, kind, part, namespace = one
        asked = {"verb": verb, "group": kind.group, "resource": kind.plural}
        asked |= {"subresource": part} if part else {}
        asked |= {"namespace": namespace} if namespace else {}
        async with few:
            said = await api.create(MAY_I, {"metadata": {}, "spec": {"resourceAttributes": asked}})
        return bool((said.get("status") or {}).get("allowed"))

    listed = list(wanted)
    allowed = await asyncio.gather(*map(may, listed))
    missing = [_words(one) for one, good in zip(listed, allowed, strict=True) if not good]
    if missing:
        raise Forbidden(
            f"you may not {what}: missing are {', '.join(missing)}",
            where=api.connection.login.server,
            expected="a context whose user may (`kubectl auth can-i VERB KIND` says so), or somebody who may to do it",
        )


def _words(one: Wanted) -> str:
    verb, kind, part, namespace = one
    named = f"{kind.plural}/{part}" if part else kind.plural
    named = f"{named}.{kind.group}" if kind.group else named
    return f"{verb} {named}" + (f" in {namespace}" if namespace else "")
