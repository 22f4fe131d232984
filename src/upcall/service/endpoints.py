"""Endpoints: what others may connect to, by name.

An endpoint is a named port of the members of a pod. Others never see an address in their declarations: they write
``{{endpoint.queue.client}}`` (or bind a :class:`upcall.service.needs.Need`), and each launch gets the addresses that
are right then.
"""

from dataclasses import dataclass

from upcall.protocol import service as wire


@dataclass(frozen=True)
class Endpoint:
    """``Endpoint("client")``: port ``client`` of the pod's members, under the same name."""

    name: str
    port: str = ""
    """Name of the port in the members' declarations; default: the endpoint's name."""
    protocol: str = "tcp"
    description: str = ""

    def of(self, members: tuple[str, ...]) -> wire.Endpoint:
        """The same on the wire, for these members."""
        return wire.Endpoint(
            name=self.name,
            port=self.port or self.name,
            members=members,
            protocol=self.protocol,
            description=self.description,
        )
