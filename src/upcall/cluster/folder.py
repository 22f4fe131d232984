"""The data folder of a cluster: what lies where, and its version."""

import os
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from upcall import __version__
from upcall.keeper import private
from upcall.protocol.errors import Conflict, Forbidden, Invalid
from upcall.protocol.names import PathName
from upcall.protocol.releases import newer
from upcall.protocol.versions import DATA_FOLDER, FIRST_RELEASE

PRIVATE: Final = ("secrets", "secrets/values", "keeper", "master", "host", "logs", "alerts")
"""Folders in the data folder that nobody else has business in, whoever may pass through it."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual node as it was declared: its share of the machine, and where it counts as standing."""

    name: PathName
    zone: str
    memory_mib: int
    cpus: float
    disk_mib: int = 0
    """0: what is free when the agent starts."""
    attributes: dict[str, str] = {}


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """``cluster.json``: chosen once at the first ``up``; nodes come and go."""

    version: int = DATA_FOLDER
    upcall: str = FIRST_RELEASE
    """The release that keeps it, or kept it last."""
    cluster: str
    """Id of the cluster: part of every event's identity."""
    prefix: str
    """The cluster's own loopback range, ``127.a.b``: members' addresses are taken from it."""
    url: str
    page_url: str = ""
    substrate: str = "local"
    """Who has the machines: the name of an entry point ``upcall.substrates``."""
    records: str = "sqlite"
    """Where the master's records are: in the data folder, or with ``kubernetes`` in the API server."""
    control_plane: str = ""
    """Empty: its master runs on this machine. Else the name of where it runs, and this folder only says so."""
    owner: str = ""
    """As whom its first admin stands on record; empty: by the name of the folder's user."""
    nodes: tuple[Node, ...] = ()
    memory_mib_per_node: int = 0
    disk_mib_per_node: int = 0
    isolation: bool = True
    """False: a task may do all that the cluster's user may."""
    shared: tuple[str, ...] = ()
    """Folders that every task may read and change, because a person said so."""

    @property
    def address(self) -> tuple[str, int]:
        """Where the API listens for other tools."""
        return _address(self.url)

    @property
    def page_address(self) -> tuple[str, int]:
        return _address(self.page_url)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 0


class DataFolder:
    """Paths below the data folder. Secrets are in files that only the owner may read."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def cluster_file(self) -> Path:
        return self.root / "cluster.json"

    @property
    def database(self) -> Path:
        return self.root / "master" / "upcall.sqlite"

    @property
    def wanted_up(self) -> Path:
        """There from the moment in which a person wants the cluster up until the master has recorded it."""
        return self.root / "master" / "up"

    @property
    def master_socket(self) -> Path:
        """Where all that is ours reaches the master; its folder is the owner's alone."""
        return self.root / "run" / "master.sock"

    @property
    def certificate(self) -> Path:
        """By which other tools know that they speak to this cluster; no secret."""
        return self.root / "api.crt"

    @property
    def certificate_key(self) -> Path:
        return self.root / "secrets" / "api.key"

    @property
    def tokens(self) -> Path:
        return self.root / "secrets"

    @property
    def secret_values(self) -> Path:
        return self.root / "secrets" / "values"

    @property
    def alerts_file(self) -> Path:
        """Who is told what a person must know; there only while somebody is."""
        return self.root / "secrets" / "alerts.json"

    def alerts_state(self, channel: str) -> Path:
        """What waits to be told there."""
        return self.root / "alerts" / f"{channel}.json"

    def token_file(self, principal: str) -> Path:
        return self.tokens / f"{principal}.token"

    def save_cluster(self, cluster: Cluster) -> None:
        write_private(self.cluster_file, msgspec.json.format(msgspec.json.encode(cluster), indent=2) + b"\n")

    @property
    def keeper_socket(self) -> Path:
        return self.root / "keeper" / "keeper.sock"

    def make_private(self) -> None:
        """The folder, made if need be; of this user, with nobody else let in. Before anything in it is believed."""
        try:
            private.make(str(self.root))
            private.check_content(str(self.root))
            for name in PRIVATE:
                if os.path.lexists(self.root / name):
                    private.make(str(self.root / name))
                    private.check_content(str(self.root / name))
        except private.NotPrivate as error:
            raise _not_ours(error) from None

    def load_cluster(self) -> Cluster:
        try:
            if self.root.is_dir():
                private.check(str(self.root))
                private.check_owner(str(self.cluster_file), self.cluster_file.lstat())
            data = self.cluster_file.read_bytes()
            _check_readable(msgspec.json.decode(data, type=_Written), self.root)
            return msgspec.json.decode(data, type=Cluster)
        except FileNotFoundError:
            raise Invalid(
                "not a data folder of upcall", where=str(self.root), expected="a folder that `upcall up` made"
            ) from None
        except private.NotPrivate as error:
            raise _not_ours(error) from None
        except (msgspec.DecodeError, OSError) as error:
            raise Invalid(f"cannot be read: {error}", where=str(self.cluster_file)) from error


class _Written(msgspec.Struct):
    """What every release writes, whatever else it does."""

    version: int = DATA_FOLDER
    upcall: str = FIRST_RELEASE


def _check_readable(written: _Written, root: Path) -> None:
    """An older program must not guess at what a newer one wrote, and changes nothing of it."""
    if written.version > DATA_FOLDER or newer(written.upcall, __version__):
        layout = f" (data folder of version {written.version})" if written.version > DATA_FOLDER else ""
        raise Conflict(
            f"upcall {written.upcall} keeps this data folder{layout}, and this is upcall {__version__}, which does not"
            " know what a newer one writes; nothing was touched",
            where=str(root),
            expected=f"upcall {written.upcall} or newer, or another data folder (--data)",
        )


def _not_ours(error: private.NotPrivate) -> Forbidden:
    return Forbidden(f"not a data folder of ours: {error.message}", where=error.path, expected=error.expected)


def write_private(path: Path, data: bytes) -> None:
    """Writes a file atomically and durably, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    # The name too: a token or a secret that was used and is gone after a power cut could not be made again.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
