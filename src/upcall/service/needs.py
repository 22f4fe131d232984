"""Needs: which other services this one connects to.

A need is a class attribute. On an instance it reads as the bound service's endpoint, rendered at each launch::

    class Ingest(Service):
        queue = Need("queue", endpoint="client")

        def task(self, member):
            return Declaration(command=("ingest", "--bootstrap", str(self.queue)), ...)

Where that endpoint asks its clients who they are, ``secrets=(self.queue.secret("queue"),)`` brings the credentials, as
the file ``{{secret.queue}}``.

``Need("store", endpoint="cql", page="reader")``: the page logs in to the same service, at its endpoint ``reader``,
because a tab of this package shows what lies there (``page=True``: at the need's own). What the page may log in to is
what services that are installed are bound to by such a need, and nothing else.

``install --bind queue=events`` binds it to the service ``events``; by default it is the service of the need's own
name. The master uses the bindings for the order of ``shutdown``, and names who needs what before an uninstall.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from upcall.protocol.declaration import Secret
from upcall.protocol.service import NeedSpec

if TYPE_CHECKING:
    from upcall.service.service import Service


@dataclass(frozen=True)
class Bound:
    """A need of a running service: which service fulfils it, and its template."""

    need: str
    service: str
    endpoint: str

    @property
    def template(self) -> str:
        """A comma-separated ``host:port`` list, filled in at each launch."""
        return f"{{{{endpoint.{self.service}.{self.endpoint}}}}}"

    @property
    def reference(self) -> str:
        """Of the endpoint's password, as secrets' references are written."""
        return f"endpoint:{self.service}.{self.endpoint}"

    def secret(self, name: str, form: str = "{user}:{}") -> Secret:
        """The endpoint's credentials for a declaration: the file ``{{secret.NAME}}``. In ``form``, ``{user}`` is the
        user and ``{}`` the password. The file is empty while the endpoint asks nobody who he is."""
        return Secret(name=name, ref=f"{self.reference}|{form}")

    def __str__(self) -> str:
        return self.template

    def __bool__(self) -> bool:
        return bool(self.service)


class Need:
    """Another service that must be there (or may be, if ``optional``). ``page``: the page may log in there too, at this
    endpoint of it (True: at the same)."""

    def __init__(self, name: str, *, endpoint: str, optional: bool = False, page: bool | str = False) -> None:
        self.name = name
        self.endpoint = endpoint
        self.optional = optional
        self.page = page

    @property
    def spec(self) -> NeedSpec:
        at = self.page if isinstance(self.page, str) else ""
        return NeedSpec(
            name=self.name, endpoint=self.endpoint, optional=self.optional, page=bool(self.page), page_endpoint=at
        )

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> "Need": ...
    @overload
    def __get__(self, instance: "Service", owner: type[Any]) -> Bound: ...
    def __get__(self, instance: "Service | None", owner: type[Any]) -> "Need | Bound":
        if instance is None:
            return self
        default = "" if self.optional else self.name
        return Bound(self.name, instance.bindings.get(self.name, default), self.endpoint)


def needs_of(service: type[Any]) -> tuple[Need, ...]:
    """All needs of a service class, its bases' first."""
    found: dict[str, Need] = {}
    for base in reversed(service.__mro__):
        for value in vars(base).values():
            if isinstance(value, Need):
                found[value.name] = value
    return tuple(found.values())
