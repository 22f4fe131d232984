"""Which machines a cluster has: chosen by a name in ``cluster.json``, made by whoever offers them under that name.

This is the one place where one is chosen, and the master imports none of them (``lint-imports`` holds it to that). One
that is installed beside us is found by its entry point ``upcall.substrates``.
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Final, cast

from upcall.cluster.folder import Cluster, DataFolder
from upcall.protocol.errors import Invalid
from upcall.protocol.nearest import choice
from upcall.substrate.machines import Machines, Master

GROUP: Final = "upcall.substrates"
OWN: Final = {
    "local": EntryPoint("local", "upcall.local.machines:make", GROUP),
    "kubernetes": EntryPoint("kubernetes", "upcall.kubernetes.machines:make", GROUP),
}
Make = Callable[[DataFolder, Cluster, Master], Machines]
"""What an entry point is: it makes the machines of one cluster, and starts nothing yet."""


def chosen(cluster: Cluster) -> Make:
    name = cluster.substrate
    if name in OWN:
        return cast(Make, OWN[name].load())
    offered = entry_points(group=GROUP)
    if name not in offered.names:
        raise Invalid(
            f"nothing that is installed offers machines {name!r}",
            where="cluster.json, substrate",
            expected=choice(sorted({*OWN, *offered.names}), ""),
        )
    try:
        return cast(Make, offered[name].load())
    except Exception as error:  # somebody else's code
        raise Invalid(
            f"machines {name!r} cannot be loaded: {type(error).__name__}: {error}",
            where=offered[name].value,
            expected="a callable that makes them",
        ) from error
