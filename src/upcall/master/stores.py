"""Where a cluster's records are: chosen by a name in ``cluster.json``, opened by who offers a store under that name.

The master knows SQLite, and what a store promises; another one is imported when it is chosen.
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Final, cast

from upcall.cluster.folder import Cluster, DataFolder
from upcall.protocol.errors import Invalid
from upcall.protocol.nearest import choice
from upcall.store.interface import Store
from upcall.store.sqlite import SqliteStore

GROUP: Final = "upcall.stores"
BESIDE: Final = {"kubernetes": EntryPoint("kubernetes", "upcall.kubernetes.records.opening:open_store", GROUP)}
KEEPING: Final = {"kubernetes": EntryPoint("kubernetes", "upcall.kubernetes.records.kept:keep", GROUP)}
Open = Callable[[DataFolder, Cluster], Store]
"""May wait: until this process is the one that leads."""


Keep = Callable[[str, bytes | None], None]
"""Of a file below ``secrets`` and what is to be in it; before it is written, so that it outlives the folder. None: it
is to be there no more. It may wait, and raises what the store raises."""


def in_the_folder(_file: str, _data: bytes | None) -> None:
    """The file itself is all that is kept."""


def keeping(folder: DataFolder, cluster: Cluster, store: Store) -> Keep:
    """Where secrets' values and grants are. What is kept elsewhere is in the folder when this returns."""
    if cluster.records in KEEPING:
        return cast(Callable[[DataFolder, Cluster, Store], Keep], KEEPING[cluster.records].load())(
            folder, cluster, store
        )
    return in_the_folder


def opened(folder: DataFolder, cluster: Cluster) -> Store:
    """Raises what the store and the data folder raise."""
    if cluster.records == "sqlite":
        return SqliteStore(folder.database)
    if cluster.records in BESIDE:
        return cast(Open, BESIDE[cluster.records].load())(folder, cluster)
    raise Invalid(
        f"records in {cluster.records!r} are not known",
        where="cluster.json, records",
        expected=choice(sorted(("sqlite", *BESIDE)), ""),
    )
