"""Secrets' values, and who was granted what: files for a master on a disk of its own, here one Secret.

They are in one object, so that its ``resourceVersion`` fences them: whoever takes over writes his start into it, and
what a master before him still sends finds another version. A value stands there before the master has it in a file.
"""

import base64
from collections.abc import Callable
from typing import Final

from upcall.cluster.folder import Cluster, DataFolder, write_private
from upcall.kubernetes.records.calls import Calls, Elsewise, Unknown, Waiting
from upcall.kubernetes.records.store import KubernetesStore
from upcall.store.interface import Store, Superseded
from upcall.substrate.kubernetes.client.kinds import SECRET, Object
from upcall.substrate.kubernetes.names import PREFIX

NAME: Final = "upcall-secrets"
VALUES: Final = "values."
"""In a key, for the folder of that name: a key knows none."""
START: Final = PREFIX + "start"
"""An annotation: which start has it."""


class Kept:
    def __init__(self, calls: Calls, start: int) -> None:
        self._calls, self._start = calls, str(start)
        self._secret: Object = {}

    async def take_over(self) -> dict[str, bytes]:
        """All that is kept; from now on it is this start's to write."""
        waiting = Waiting(self._calls, f"secret {NAME} cannot be had")
        while True:
            found = await self._calls.get(SECRET, NAME) or {"metadata": {"name": NAME}}
            self._check(found)
            try:
                self._secret = await self._calls.write(SECRET, self._marked(found))
            except (Elsewise, Unknown) as error:
                await waiting.pause(error)
                continue
            return {key: base64.b64decode(value) for key, value in (self._secret.get("data") or {}).items()}

    async def put(self, key: str, value: bytes | None) -> None:
        """None: it is there no more."""
        said = None if value is None else base64.b64encode(value).decode()
        waiting = Waiting(self._calls, f"secret {NAME} cannot be written")
        while True:
            others = {name: one for name, one in (self._secret.get("data") or {}).items() if name != key}
            wanted = self._secret | {"data": others if said is None else others | {key: said}}
            try:
                self._secret = await self._calls.write(SECRET, wanted)
                return
            except (Elsewise, Unknown) as error:
                # What had no answer may have been carried out, and somebody may have put a label on it.
                found = await self._calls.get(SECRET, NAME) or self._marked({"metadata": {"name": NAME}})
                self._check(found)
                self._secret = found
                if (found.get("data") or {}).get(key) == said:
                    return
                await waiting.pause(error)

    def _marked(self, found: Object) -> Object:
        meta = found["metadata"]
        return found | {"metadata": meta | {"annotations": (meta.get("annotations") or {}) | {START: self._start}}}

    def _check(self, found: Object) -> None:
        by = (found["metadata"].get("annotations") or {}).get(START, "0")
        if int(by) > int(self._start):
            raise Superseded(f"secrets are written by start {by} now, and no more by start {self._start}")


def keep(folder: DataFolder, cluster: Cluster, store: Store) -> Callable[[str, bytes | None], None]:
    """What is kept is in the folder when this returns."""
    assert isinstance(store, KubernetesStore), "it is of these records"
    kept = store.beside(Kept)
    found = store.does(kept.take_over())
    for key, value in found.items():
        write_private(folder.tokens / key.replace(VALUES, "values/", 1), value)
    return lambda file, value: store.does(kept.put(file.replace("values/", VALUES, 1), value))
