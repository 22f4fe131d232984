"""Whoever connects logs in: as ``admin``, who is the service's own code and whoever runs it, or as ``client``.

Passwords are the service's own secrets. The option ``client_auth=none`` has nobody asked who he is.
"""

from dataclasses import dataclass

from upcall.protocol.declaration import Secret
from upcall.protocol.service import Credentials
from upcall.service import Endpoint, Service


@dataclass(frozen=True)
class Logins:
    """References of the passwords, in the form in which the system reads them."""

    admin: str
    client: str

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return Secret(name="admin", ref=self.admin), Secret(name="client", ref=self.client)


class LogsIn(Service):
    """A service with the option ``client_auth``."""

    @property
    def asks_who(self) -> bool:
        auth: str = getattr(self.options, "client_auth")  # noqa: B009 - each has options of its own, and this one
        return auth != "none"

    def logins(self, form: str = "") -> Logins | None:
        if not self.asks_who:
            return None
        return Logins(admin=self.own_secret("admin", form), client=self.own_secret("client", form))

    async def own_login(self, user: str = "admin") -> Credentials | None:
        """By which its own code comes in, at the endpoint of this name."""
        return await self.credentials(Endpoint(user)) if self.asks_who else None
