"""The cluster of tests: it comes up when a test first wants something of it, and gets what the tests want.

All workers that share it meet at locks in its folder: one of them does a thing, the others find it done. What a run is
known to want is begun together, and each test waits for its own part alone.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from upcall.client.blocking import Client
from upcall.cluster.machine import SPARE_MIB, STEP_MIB, memory_mib
from upcall.protocol.errors import Conflict, Invalid, NotFound, NotNow, UpcallError
from upcall.protocol.operator import Install
from upcall.pytest.asked import Wanted
from upcall.pytest.holding import locked
from upcall.pytest.use import Use

if TYPE_CHECKING:
    from upcall.cli.session import Session

T = TypeVar("T")

NODES_OF_MACHINE: Final = 4
"""A node gets such a part of the memory, so that three fit, and one is left to those who ask for more."""
NODE_MIB_MIN: Final = 3072
"""Room for one member of each system, where there is only one node; it is reserved, not used."""
WAIT_S: Final = 300.0
"""A condition, not a speed."""
REFRESH_S: Final = 1.0
INSTALLING: Final = "installing"


class Cluster:
    """As one process sees it."""

    def __init__(self, use: Use) -> None:
        self.use = use
        self._session: Session | None = None
        self._failed: dict[str, UpcallError] = {}
        self._ready: set[str] = set()

    @property
    def folder(self) -> Path:
        return self.use.place.data

    @property
    def client(self) -> Client:
        return self._cli().client

    def _cli(self) -> "Session":
        if self._session is None:
            from upcall.cli.session import Session

            self._session = Session(self.folder)
        return self._session

    # -- up ---------------------------------------------------------------------------------------------------------

    def up(self, nodes: int) -> None:
        """With so many nodes at least. One that died in the middle of it is gone on with."""
        from upcall.cli import node, system

        place = self.use.place
        with locked(place.starting):
            if not place.up.exists():
                first = None if self._cli().folder.cluster_file.exists() else nodes
                system.start(self._cli(), first, _part_mib(nodes) if first else None)
                place.up.touch()
            there = self.client.nodes()
            for missing in range(nodes - len(there), 0, -1):
                left_mib = memory_mib() - SPARE_MIB - sum(one.memory_mib for one in self.client.nodes())
                part_mib = min(_part_mib(nodes), left_mib // missing // STEP_MIB * STEP_MIB)
                node.add(self._cli(), "", "", None, max(part_mib, STEP_MIB))

    # -- services ---------------------------------------------------------------------------------------------------

    def begin(self, all_wanted: Sequence[Wanted]) -> None:
        """Ask for what is not there; it is not waited for. What is refused is told to who waits for it."""
        from upcall.cli import deploy

        new = [one for one in all_wanted if one.name not in self._ready and one.name not in self._failed]
        if not new:
            return
        self.up(max(one.members for one in all_wanted))
        with locked(self.use.place.root / INSTALLING):
            there = {one.name for one in self.client.services()}
            for one in new:
                if one.name in there:
                    continue
                try:
                    deploy.post_all(self._cli(), [self._request(one)])
                except UpcallError as error:
                    self._failed[one.name] = error

    def _request(self, one: Wanted) -> Install:
        if not one.package.endswith(".py") and "/" not in one.package:
            from upcall.protocol.releases import split

            package, version = split(one.package)
            return Install(package=package, version=version, name=one.name, options=one.given())
        from upcall.cli import upload

        path = Path(one.package)
        if not path.exists():
            raise Invalid(f"there is no file or folder {path}", where="upcall_service", expected="a service's package")
        made = upload.upload(self._cli(), path, one.name, one.given())
        return Install(package=made.name, version=made.version, name=one.name, options=one.given())

    def ready(self, one: Wanted) -> None:
        """Waited for, once; what could not be deployed is not tried again by the next test."""
        if one.name in self._ready:
            return
        from upcall.cli import deploy

        self.begin([one])
        if one.name in self._failed:
            raise self._failed[one.name]
        try:
            if not deploy.is_deployed(self.client.service(one.name)):
                deploy.follow(self._cli(), [one.name], [one.name])
        except NotFound:
            # Another worker has seen that it cannot be, and has taken it away.
            self._failed[one.name] = Conflict(f"{one.name} could not be deployed", where="another worker")
            raise self._failed[one.name] from None
        except UpcallError as error:
            self._failed[one.name] = error
            raise
        self._ready.add(one.name)

    def until(self, what: str, look: Callable[[], T | None], wait_s: float = WAIT_S) -> T:
        """The first true value of ``look``, which is asked whenever something has happened."""
        from upcall.cli.event_stream import EventStream

        if found := look():
            return found
        until = time.monotonic() + wait_s
        with EventStream(self.client, settle_s=0.0) as stream:
            while not (found := look()):
                if (left_s := until - time.monotonic()) <= 0:
                    raise Conflict(f"not within {wait_s:g} s: {what}", where=str(self.folder))
                stream.wait(min(REFRESH_S, left_s))
        return found

    def act(self, service: str, action: str, **arguments: Any) -> Any:
        """One of the service's own actions. One whose host is just being started is waited for."""
        from upcall.client import paths

        path = paths.of("services", service, "actions", action)
        until = time.monotonic() + WAIT_S
        while True:
            try:
                return self.client.post(path, arguments)
            except NotNow:
                if time.monotonic() > until:
                    raise
                time.sleep(REFRESH_S)


def _part_mib(nodes: int) -> int:
    """Memory of each of so many nodes; a member that does not fit says what it needs."""
    room = memory_mib() - SPARE_MIB
    part = room // NODES_OF_MACHINE // STEP_MIB * STEP_MIB
    return max(min(max(part, NODE_MIB_MIN), room // nodes // STEP_MIB * STEP_MIB), STEP_MIB)
