"""Whether the kinds that a cluster has are those of this release; a person is told where they are not.

They are the whole cluster's: a newer upcall in another namespace brings newer ones, and Helm leaves older ones as they
were. Either way what runs goes on, and what only one of the two sides knows is lost between them without a word.

One kind is watched, the smallest of those that each release says anew; all are applied together.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final

from upcall import __version__
from upcall.kubernetes.definitions import said_by
from upcall.kubernetes.records.objects import definition as of_records
from upcall.kubernetes.resources.kinds import OPERATION, release_of, released
from upcall.substrate.kubernetes.client import watching
from upcall.substrate.kubernetes.client.api import Api
from upcall.substrate.kubernetes.client.errors import NotFound
from upcall.substrate.kubernetes.client.kinds import DEFINITION, Object
from upcall.substrate.kubernetes.evictions.objects import definition as of_disruptions

SETTLED_S: Final = 60.0
"""An `up` of a newer image brings its kinds first, and this control plane has gone before that is worth a word."""
WATCHED: Final = f"{OPERATION.plural}.{OPERATION.group}"


def expected() -> dict[str, str]:
    """Of each kind that is looked at, the how many-th version of it we know."""
    ours = (of_disruptions(), of_records())
    return {WATCHED: released(), **{one["metadata"]["name"]: said_by(one) for one in ours}}


NAMES: Final = tuple(expected())


class KindsThere:
    """``alert``: to a person; ``over``: what was said before is no more."""

    def __init__(self, api: Api, alert: Callable[[str, bool], None]) -> None:
        self._api, self._alert = api, alert
        self._said = ""

    async def run(self) -> None:
        """Until cancelled."""
        watched = watching.watch(self._api, DEFINITION, fields=f"metadata.name={WATCHED}")
        async with contextlib.aclosing(watched) as events:
            async for event in events:
                if isinstance(event, watching.Changed):
                    await asyncio.sleep(SETTLED_S)
                if isinstance(event, watching.Listed | watching.Changed):
                    await self.look()

    async def look(self) -> None:
        there: dict[str, Object] = {}
        for name in NAMES:
            with contextlib.suppress(NotFound):  # who installed us may have left it out
                there[name] = await self._api.get(DEFINITION, name)
        words = in_words({name: said_by(one) for name, one in there.items()})
        if words != self._said:
            self._alert(words or f"the kinds in this cluster are those of upcall {__version__} again", not words)
        self._said = words


def in_words(there: Mapping[str, str]) -> str:
    """``there``: of each kind, as which version of it the cluster has it. Empty: all is well."""
    ours = expected()
    others = {name: said for name, said in there.items() if said != ours[name]}
    if not others:
        return ""
    newer = any(not said.isdigit() or int(said) > int(ours[name]) for name, said in others.items())
    release = release_of(there.get(WATCHED, ""))
    whose = f"upcall {release}" if WATCHED in others and release else f"{'a newer' if newer else 'an older'} upcall"
    said = f"the kinds in this cluster are those of {whose}, and this control plane is upcall {__version__}: "
    if newer:
        wanted = f"{whose} or newer" if release and WATCHED in others else "that upcall or newer"
        return said + f"what is new in a resource is not understood here; expected an image of {wanted}"
    return said + (
        "what is new in it cannot be said in a resource; expected `upcall up --on kubernetes`, or, of the chart,"
        " `kubectl apply --server-side --force-conflicts -f chart/crds` (Helm leaves kinds as they were)"
    )
