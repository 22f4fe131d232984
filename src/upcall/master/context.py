"""What a launch needs and only the master knows: addresses of peers, endpoints of others, secrets.

A name that is not known *yet* (a peer without an address) delays the launch; one that can never be known (no such
member) is an error that the service's code sees as the reason of the pending task.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from upcall.master.changes import Changed
from upcall.master.core import Core
from upcall.master.credentials import NotYet, resolve
from upcall.master.driver import Driver
from upcall.master.secrets import NotMade, Secrets
from upcall.master.services import endpoint_addresses
from upcall.master.transaction import Transaction
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import UpcallError
from upcall.store.interface import StoreError
from upcall.substrate.interface import TaskId

log = logging.getLogger(__name__)

MAKE_RETRY_S: Final = 5.0
"""Between two tries to write a generated secret (the disk is full)."""
SECRETS: Final = "secrets/"
"""What launches wait on that lack a secret; no service has such a name."""
NO_ZONE: Final = "no-zone"
"""What ``{{zone}}`` stands for on a node without one: systems want some name for a rack, and these are all in one."""
_NAME: Final = re.compile(r"\{\{\s*((?:address|endpoint|replaced)\.[^{}\s]+)\s*\}\}")
"""No brace within a name: a text of many beginnings without an end costs its length, not the square of it."""


@dataclass(frozen=True)
class LaunchContext:
    """``missing`` says why the launch waits; empty: everything is there."""

    values: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    missing: str = ""
    waits_on: frozenset[str] = frozenset()
    """Services whose places, ports or endpoints the missing comes from, or :data:`SECRETS`."""


def launch_context(
    core: Core, secrets: Secrets, make: Callable[[str], None], task: TaskId, declaration: Declaration
) -> LaunchContext:
    """``make`` is told of a secret that is to be generated, and returns at once: a turn writes no file."""
    values: dict[str, str] = {}
    missing: list[str] = []
    for name in sorted(set(_NAME.findall(_templates(declaration)))):
        value = _value(core, task, name)
        if value:
            values[name] = value
        else:
            missing.append(name)
    node = core.state.places.get(task.member_id, ("", ""))[0]
    if 0 < core.state.ledger.leaving(task.service, task.member) < task.incarnation:
        node = core.state.next_nodes.get(task.member_id, "")
    values["zone"] = core.zone(node) or NO_ZONE
    try:
        found = {secret.name: resolve(core, secrets, task.service, secret.ref) for secret in declaration.secrets}
    except NotMade as error:
        make(str(error.problem.details["name"]))
        return LaunchContext(values=values, missing=error.problem.message, waits_on=frozenset({SECRETS}))
    except NotYet as error:
        waits_on = frozenset({str(error.problem.details["service"])})
        return LaunchContext(values=values, missing=error.problem.message, waits_on=waits_on)
    except UpcallError as error:
        return LaunchContext(values=values, missing=str(error), waits_on=frozenset({SECRETS}))
    if not missing:
        return LaunchContext(values, found)
    waits_on = frozenset(_source(task, name) for name in missing)
    return LaunchContext(values, found, f"waits for {', '.join(missing)}", waits_on)


def _templates(declaration: Declaration) -> str:
    """All of it in which a name may stand: not what is written as it is."""
    files = tuple(file for file in declaration.files if not file.verbatim)
    return msgspec.json.encode(msgspec.structs.replace(declaration, files=files)).decode()


class SecretMaker:
    """Generates secrets beside the turns, and lets the launches that wait for them go on."""

    def __init__(self, core: Callable[[], Driver], secrets: Secrets) -> None:
        self._core, self._secrets = core, secrets
        self._making: dict[str, asyncio.Task[None]] = {}

    def make(self, name: str) -> None:
        if name not in self._making:
            self._making[name] = asyncio.get_running_loop().create_task(self._make(name))

    async def _make(self, name: str) -> None:
        try:
            await asyncio.to_thread(self._secrets.make, name)
        except (OSError, StoreError) as error:
            log.warning("the secret %s cannot be made: %s", name, error)
            await asyncio.sleep(MAKE_RETRY_S)
        finally:
            del self._making[name]
        # Whoever waits looks again; what could not be made is asked for anew.
        self._core().post(lambda tx: tx.changed.names.update({SECRETS: None}))


def tell_names(tx: Transaction, changed: Changed) -> None:
    """A rule of the core: launches that wait for a name go on when it is known better."""
    if changed.names:
        tx.substrate(tx.core.substrate.known(changed.names, tx.now_s))


def _source(task: TaskId, name: str) -> str:
    """The service that a name comes from."""
    kind, _, rest = name.partition(".")
    return rest.partition(".")[0] if kind == "endpoint" else task.service


def _value(core: Core, task: TaskId, name: str) -> str:
    kind, _, rest = name.partition(".")
    if kind == "address":
        return core.state.places.get(f"{task.service}.{rest}", ("", ""))[1]
    if kind == "replaced":
        return core.state.replaced.get(task.member_id, "")
    other, _, endpoint_name = rest.partition(".")
    service = core.state.services.get(other)
    if service is None:
        return ""
    for endpoint in service.endpoints:
        if endpoint.name == endpoint_name:
            return ",".join(endpoint_addresses(core, service, endpoint))
    return ""
