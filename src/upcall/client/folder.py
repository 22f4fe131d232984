"""The data folder as a client sees it: where the cluster is, and the token that lets us in.

``cluster.json`` says what was chosen once (cluster id, address range, ports); ``secrets/operator.token`` is readable
by its owner only, and reading it is what authenticates a person on this machine.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upcall.protocol.errors import Conflict, Forbidden, NotFound
from upcall.protocol.versions import DATA_FOLDER


def default_folder() -> Path:
    """``UPCALL_DATA``, else ``upcall`` in the user's data folder (XDG)."""
    if named := os.environ.get("UPCALL_DATA"):
        return Path(named)
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "upcall"


@dataclass(frozen=True)
class Node:
    """A virtual node as it was declared at ``up``."""

    name: str
    zone: str
    memory_mib: int
    cpus: float


@dataclass(frozen=True)
class Cluster:
    """What ``cluster.json`` says."""

    cluster: str
    prefix: str
    """The loopback range of this cluster: ``127.a.b``, from which members get addresses."""
    url: str
    page_url: str
    nodes: tuple[Node, ...] = ()
    memory_mib_per_node: int = 0
    version: int = DATA_FOLDER
    more: dict[str, Any] = field(default_factory=dict)
    """Keys of others, kept when it is written again."""


class DataFolder:
    """Paths, and what is read from them."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    @property
    def cluster_file(self) -> Path:
        return self.path / "cluster.json"

    def secret_file(self, name: str) -> Path:
        return self.path / "secrets" / name

    def exists(self) -> bool:
        return self.cluster_file.exists()

    def cluster(self) -> Cluster:
        try:
            found = json.loads(self.cluster_file.read_text())
        except FileNotFoundError:
            raise NotFound(
                "there is no cluster in this data folder",
                where=str(self.path),
                expected="`upcall up` first, or another folder by --data or UPCALL_DATA",
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise Conflict(
                f"cluster.json cannot be read: {error}", where=str(self.cluster_file), expected="JSON as `up` wrote it"
            ) from None
        except PermissionError:
            raise Forbidden(
                "the data folder belongs to somebody else", where=str(self.path), expected="a folder of your own"
            ) from None
        return parse_cluster(found, where=str(self.cluster_file))

    def token(self) -> str:
        path = self.secret_file("operator.token")
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            raise NotFound(
                "the operator's token is missing", where=str(path), expected="`upcall up` writes it"
            ) from None
        except PermissionError:
            raise Forbidden(
                "the operator's token belongs to somebody else",
                where=str(path),
                expected="the user who ran `upcall up`",
            ) from None


def parse_cluster(found: dict[str, Any], where: str) -> Cluster:
    """The record, or the error that says what is wrong with it."""
    version = found.get("version", DATA_FOLDER)
    if not isinstance(version, int) or version > DATA_FOLDER:
        raise Conflict(
            f"the data folder has layout version {version}, newer than this program knows",
            where=where,
            expected=f"at most {DATA_FOLDER}; use the newer program",
        )
    try:
        known = {key: found[key] for key in ("cluster", "prefix", "url", "page_url")}
        nodes = tuple(
            Node(name=one["name"], zone=one["zone"], memory_mib=int(one["memory_mib"]), cpus=float(one["cpus"]))
            for one in found.get("nodes", ())
        )
    except (KeyError, TypeError, ValueError) as missing:
        raise Conflict(f"cluster.json lacks {missing}", where=where, expected="a file that `up` wrote") from None
    own = {*known, "nodes", "memory_mib_per_node", "version"}
    return Cluster(
        **known,
        nodes=nodes,
        memory_mib_per_node=int(found.get("memory_mib_per_node", 0)),
        version=version,
        more={key: value for key, value in found.items() if key not in own},
    )
