"""Endpoints: what others may connect to, by name.

An endpoint is a named port of the members of a pod. Others never see an address in their declarations: they write
``{{endpoint.queue.client}}`` (or bind a :class:`upcall.service.needs.Need`), and each launch gets the addresses that
are right then.

An endpoint that asks its clients who they are names a user and the secret with his password. Whoever is bound to the
endpoint is thereby granted this secret, and nobody else: see :meth:`upcall.service.needs.Bound.secret`.
"""

from dataclasses import dataclass

from upcall.protocol import service as wire


@dataclass(frozen=True)
class Endpoint:
    """``Endpoint("client")``: port ``client`` of the pod's members, under the same name."""

    name: str
    """What needs and ``upcall endpoints`` call it."""
    port: str = ""
    """Name of the port in the members' declarations; default: the endpoint's name."""
    protocol: str = "tcp"
    """In a word; ``http`` becomes a link on the page."""
    description: str = ""
    """What clients speak there, for people."""
    user: str = ""
    """Whom clients log in as; empty: nobody is asked who he is."""
    secret: str = ""
    """Reference of the secret with the user's password: :meth:`upcall.service.Service.own_secret`."""
    role: str = ""
    """It leads to the member that has this role alone (:meth:`upcall.service.Service.give_role`); empty: to all."""

    def of(self, members: tuple[str, ...]) -> wire.Endpoint:
        """The same on the wire, for these members."""
        return wire.Endpoint(
            name=self.name,
            port=self.port or self.name,
            members=members,
            protocol=self.protocol,
            description=self.description,
            user=self.user,
            secret=self.secret,
        )
