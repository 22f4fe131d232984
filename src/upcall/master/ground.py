"""What the machines stand on here: implements :class:`upcall.substrate.machines.Master`."""

from collections.abc import Callable

from upcall.master.context import LaunchContext, SecretMaker, launch_context
from upcall.master.driver import Driver
from upcall.master.package_api import blob_of
from upcall.master.secrets import Secrets
from upcall.master.tokens import Tokens
from upcall.protocol.declaration import Declaration
from upcall.substrate.interface import Output, TaskId


class Ground:
    """``core`` is there once the machines have made their substrate; nothing asks for it before."""

    def __init__(self, core: Callable[[], Driver], secrets: Secrets, tokens: Tokens) -> None:
        self._core, self._secrets, self._tokens = core, secrets, tokens
        self._maker = SecretMaker(core, secrets)

    def monotonic(self) -> float:
        return self._core().monotonic()

    def wall(self) -> float:
        return self._core().wall()

    def context(self, task: TaskId, declaration: Declaration) -> LaunchContext:
        return launch_context(self._core(), self._secrets, self._maker.make, task, declaration)

    def take(self, call: Callable[[float], Output]) -> None:
        self._core().post(lambda tx: tx.substrate(call(tx.now_s)))

    def tell(self, node: str, text: str, *, detail: bool = False) -> None:
        self._core().post(lambda tx: tx.event("node", node, text, detail=detail))

    def alert(self, about: str, text: str, *, over: bool = False) -> None:
        self._core().post(lambda tx: tx.event("alert", about, text, alert=not over))

    async def blob(self, sha256: str) -> bytes:
        return await blob_of(self._core(), sha256)

    def admit(self, party: str) -> None:
        self._tokens.issue(party)

    def dismiss(self, party: str) -> None:
        self._tokens.revoke(party)
