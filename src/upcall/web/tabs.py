"""Tabs by plug-in: what an installed package wants to show beside the cluster.

A plug-in is a function ``register(tabs)`` that adds tabs; it is named by an entry point in the group
``upcall.web.tabs``. A tab is offered while a service of one of its packages is
installed, and built when it is first looked at::

    def register(tabs: Tabs) -> None:
        tabs.add(Tab(name="hello", label="Greetings", packages=frozenset({"hello"}), build=build))

    def build(context: TabContext) -> None:
        ui.label(context.live.status.cluster)     # any NiceGUI element; timers and callbacks end with the browser
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Final

import structlog

from upcall.client.streaming import AsyncClient
from upcall.protocol.operator import EndpointView, Status
from upcall.web.live import Live

GROUP: Final = "upcall.web.tabs"
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class TabContext:
    """What a tab may use: the shared picture, and the operator API."""

    live: Live
    client: AsyncClient

    def bound(self, package: str, need: str, endpoint: str) -> list[EndpointView]:
        """Of this name, of all services to which a service of the package is bound by that need; as of now.

        The page is told how to log in there (``client.credentials``) where the need says so (``page``)."""
        status = self.live.status
        services = status.services if status is not None else []
        wanted = {one.bindings.get(need, "") for one in services if one.package == package}
        return [end for service in services if service.name in wanted for end in service.endpoints
                if end.name == endpoint]  # fmt: skip


@dataclass(frozen=True)
class Tab:
    name: str
    label: str
    packages: frozenset[str]
    """Offered while a service of one of these is installed."""
    build: Callable[[TabContext], None]

    def offered(self, status: Status | None) -> bool:
        return status is not None and any(one.package in self.packages for one in status.services)


@dataclass
class Tabs:
    """Those that were registered, in their order."""

    found: list[Tab] = field(default_factory=list)

    def add(self, tab: Tab) -> None:
        if any(one.name == tab.name for one in self.found):
            raise ValueError(f"two tabs are named {tab.name!r}")
        self.found.append(tab)

    @classmethod
    def load(cls) -> "Tabs":
        """All plug-ins of this installation. One that fails is said and left out; the page is there without it."""
        tabs = cls()
        for one in entry_points(group=GROUP):
            try:
                one.load()(tabs)
            except ModuleNotFoundError as missing:
                log.info("tab is not installed", tab=one.value, missing=missing.name)
            except Exception as error:
                log.error("tab failed", tab=one.value, error=repr(error))
        return tabs
