"""Where a cluster's records are: chosen by a name in ``cluster.json``, opened by who offers a store under that name.

The master knows SQLite, and what a store promises; another one is imported when it is chosen.
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Final, cast

from upcall.cluster.folder import Cluster, DataFolder
from upcall.protocol.errors import Invalid
from upcall.store.interface import Store
from upcall.store.sqlite import SqliteStore

GROUP: Final = "upcall.stores"
BESIDE: Final = {"kubernetes": EntryPoint("kubernetes", "upcall.kubernetes.records.opening:open_store", GROUP)}
Open = Callable[[DataFolder, Cluster], Store]
"""May wait: until this process is the one that leads."""


def opened(folder: DataFolder, cluster: Cluster) -> Store:
    """Raises what the store and the data folder raise."""
    if cluster.records == "sqlite":
        return SqliteStore(folder.database)
    if cluster.records in BESIDE:
        return cast(Open, BESIDE[cluster.records].load())(folder, cluster)
    raise Invalid(
        f"records in {cluster.records!r} are not known",
        where="cluster.json, records",
        expected=f"one of {', '.join(sorted(('sqlite', *BESIDE)))}",
    )
