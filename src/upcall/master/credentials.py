"""How clients log in to an endpoint, and who is told: its own service, those that are bound to it, people, and the page
where a package says that its tab needs it.

An endpoint names a user and the secret with his password. ``endpoint:SERVICE.ENDPOINT`` refers to both, in a
declaration's secrets as in a question of a service's own code; to be bound to the endpoint is to be granted this
secret, and there is no other way to one of another service.
"""

from typing import Final

from upcall.master.core import Core
from upcall.master.secrets import Secrets
from upcall.protocol import service as wire
from upcall.protocol.errors import Forbidden, Invalid, NotFound, NotNow

ENDPOINT: Final = "endpoint:"


class NotYet(NotNow):
    """The endpoint is not known yet. ``service`` is in the details."""


def credentials(core: Core, secrets: Secrets, asking: str, reference: str) -> wire.Credentials:
    """Of an endpoint, for a service (``asking`` empty: for a person).

    Raises :class:`NotYet` while the service is not there, :class:`upcall.master.secrets.NotMade` while the password is
    not made, :class:`Forbidden` for a service that is not bound to it.
    """
    name, dot, endpoint_name = reference.removeprefix(ENDPOINT).partition(".")
    if not reference.startswith(ENDPOINT) or not dot:
        raise Invalid(f"not a reference of an endpoint: {reference!r}", expected="endpoint:SERVICE.ENDPOINT")
    service = core.state.services.get(name)
    if asking and asking != name and not _bound(core, asking, name, endpoint_name):
        raise Forbidden(f"{asking} is not bound to {name}.{endpoint_name}", where=reference,
                        expected="a need of this endpoint that is bound to it")  # fmt: skip
    if service is None:
        raise NotYet(f"no service {name!r}", service=name)
    for endpoint in service.endpoints:
        if endpoint.name == endpoint_name:
            return _of(secrets, endpoint)
    if service.endpoints:
        raise NotFound(f"{name} has no endpoint {endpoint_name!r}", where=reference)
    raise NotYet(f"{name} has told no endpoint yet", service=name)


def resolve(core: Core, secrets: Secrets, asking: str, reference: str) -> str:
    """The value behind a secret's reference, of a declaration of the service ``asking``. After a bar comes a form: of
    an endpoint ``{user}`` stands for the user and ``{}`` for the password."""
    allow(core, asking, reference)
    if not reference.startswith(ENDPOINT):
        return secrets.resolve(reference)
    name, _, form = reference.partition("|")
    found = credentials(core, secrets, asking, name)
    if not found.user:
        return ""
    return (form or "{user}:{}").replace("{user}", found.user).replace("{}", found.password)


def allow(core: Core, asking: str, reference: str, where: str = "secrets") -> None:
    """``Forbidden`` for a reference to what the service was not granted. It has its own secrets (``SERVICE.NAME``, made
    at their first use or set by a person), those of endpoints that it is bound to, and those that a person gave it when
    he installed it."""
    name = reference.partition("|")[0]
    if name.startswith(ENDPOINT):
        service, _, endpoint = name.removeprefix(ENDPOINT).partition(".")
        if service != asking and not _bound(core, asking, service, endpoint):
            right = f"a need of its package that is bound to it (`upcall install --bind NEED={service}`)"
            raise Forbidden(f"{asking} is not bound to {service}.{endpoint}", where=where, expected=right)
        return
    name = name.removeprefix("generated:")
    known = core.state.services.get(asking)
    granted = known.record.secrets if known is not None else ()
    if not name.startswith(f"{asking}.") and name not in granted:
        right = (
            f"one of its own ({asking}.NAME; `upcall secret set {asking}.NAME` gives it a value), or a person who "
            f"grants it: `upcall install --secret {name} ...`"
        )
        raise Forbidden(f"the secret {name!r} was not granted to {asking}", where=where, expected=right)


def allow_page(core: Core, service: str, endpoint: str) -> None:
    """``Forbidden`` for an endpoint of which no package says that the page logs in there. Who may say it: whoever may
    install a package (an admin) names the endpoint's kind, and whoever binds a service of it says which one."""
    if any(_bound(core, name, service, endpoint, page=True) for name in core.state.services):
        return
    right = f'a service that is bound to {service} by Need(..., page="{endpoint}"), and is installed'
    raise Forbidden(f"the page may not log in to {service}.{endpoint}", where=f"{service}.{endpoint}", expected=right)


def check(service: str, endpoints: tuple[wire.Endpoint, ...]) -> None:
    """An endpoint's password is its own service's secret: to tell another's would be to grant it."""
    for endpoint in endpoints:
        if bool(endpoint.user) != bool(endpoint.secret):
            raise Invalid("a user without a password, or a password of nobody", where=f"endpoints.{endpoint.name}",
                          expected="user and secret, or neither")  # fmt: skip
        if endpoint.secret and not endpoint.secret.startswith(f"generated:{service}."):
            raise Forbidden(f"{endpoint.secret!r} is not a secret of {service}", where=f"endpoints.{endpoint.name}",
                            expected=f"generated:{service}.NAME")  # fmt: skip


def _bound(core: Core, asking: str, service: str, endpoint: str, *, page: bool = False) -> bool:
    """Whether a need of the asking service's package is bound to this very endpoint (``page``: whether one says that
    the page is)."""
    asker = core.state.services.get(asking)
    if asker is None:
        return False
    package = core.state.packages.find(asker.record.package, asker.record.version)
    bindings = asker.record.bindings
    bound = [need for need in package.needs if bindings.get(need.name) == service]
    if page:
        return any(need.page and (need.page_endpoint or need.endpoint) == endpoint for need in bound)
    return any(need.endpoint == endpoint for need in bound)


def _of(secrets: Secrets, endpoint: wire.Endpoint) -> wire.Credentials:
    if not endpoint.user:
        return wire.Credentials()
    return wire.Credentials(user=endpoint.user, password=secrets.resolve(endpoint.secret))
