"""What somebody must be allowed to do at an API server, asked of it: all that is missing is named at once.

Who installs is asked about before anything is written (:mod:`upcall.kubernetes.installing.permissions`). A control
plane in the cluster asks about itself when it begins, and again when something was refused: what its role does not
allow it cannot do, and would otherwise be tried again and again without a word to anybody.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import ApiError
from upcall.substrate.kubernetes.client.kinds import MAY_I, Kind, Object

AT_ONCE_MAX: Final = 8
LOOK_S: Final = 60.0
"""After this long it is asked again for what is missing: nobody tells who was given a right."""
PAUSE_S: Final = 30.0
"""Between two looks, however often something is refused."""


class Right(NamedTuple):
    verb: str
    group: str
    resource: str
    """``pods``, or a part of them: ``pods/eviction``."""
    namespace: str = ""
    """Empty: of the whole cluster."""
    name: str = ""
    """Of this one alone; empty: of any."""


def to(verb: str, kind: Kind, namespace: str, part: str = "") -> Right:
    resource = f"{kind.plural}/{part}" if part else kind.plural
    return Right(verb, kind.group, resource, namespace if kind.namespaced else "")


def of_rules(rules: Iterable[Object], namespace: str) -> list[Right]:
    """All that a role's rules give."""
    return [
        Right(verb, group, resource, namespace, name)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames") or ("",)
    ]


async def missing(api: Api, wanted: Iterable[Right]) -> list[Right]:
    few = asyncio.Semaphore(AT_ONCE_MAX)

    async def may(one: Right) -> bool:
        resource, _, part = one.resource.partition("/")
        asked = {"verb": one.verb, "group": one.group, "resource": resource}
        more = {"subresource": part, "namespace": one.namespace, "name": one.name}
        asked |= {key: value for key, value in more.items() if value}
        async with few:
            said = await api.create(MAY_I, {"metadata": {}, "spec": {"resourceAttributes": asked}})
        return bool((said.get("status") or {}).get("allowed"))

    listed = list(dict.fromkeys(wanted))
    allowed = await asyncio.gather(*map(may, listed))
    return [one for one, good in zip(listed, allowed, strict=True) if not good]


def in_words(rights: Sequence[Right]) -> str:
    """Each verb, by what it is missing for: ``get, list pods in data; patch nodes``."""
    found: dict[str, list[str]] = {}
    for one in rights:
        resource = f"{one.resource}.{one.group}" if one.group else one.resource
        named = resource + (f" {one.name}" if one.name else "") + (f" in {one.namespace}" if one.namespace else "")
        found.setdefault(named, []).append(one.verb)
    return "; ".join(f"{', '.join(verbs)} {what}" for what, verbs in found.items())


class Own:
    """Of a control plane, about itself. ``alert``: to a person."""

    def __init__(
        self, api: Api, wanted: Sequence[Right], alert: Callable[[str], None], mended: Callable[[], None]
    ) -> None:
        self._api, self._wanted, self._alert, self._mended = api, wanted, alert, mended
        self._missing: list[Right] = []
        self._refused = asyncio.Event()

    def was_refused(self) -> None:
        """Something was, perhaps for want of a right."""
        self._refused.set()

    async def run(self) -> None:
        """Until cancelled."""
        asked = self._wanted
        while True:
            self._refused.clear()
            await self._look(asked)
            await asyncio.sleep(PAUSE_S)
            try:
                async with asyncio.timeout(LOOK_S if self._missing else None):
                    await self._refused.wait()
                asked = self._wanted
            except TimeoutError:
                asked = self._missing

    async def _look(self, asked: Sequence[Right]) -> None:
        try:
            found = await missing(self._api, asked)
        except ApiError:
            self._refused.set()  # who does not answer is asked again
            return
        if found and found != self._missing:
            self._alert(
                f"the control plane may not do all that it does: missing are {in_words(found)}; expected its Role and"
                " ClusterRole as `upcall up --on kubernetes` applies them (the chart has the same)"
            )
        elif self._missing and not found:
            self._mended()
        self._missing = found
