"""Our own processes, as the keeper is told to keep them: ``up`` starts them, the master adds agents of new nodes."""

import importlib.util
import sys
from typing import Any, Final

from upcall.cluster.folder import Cluster, DataFolder, Node
from upcall.cluster.listening import API, PAGE

UNUSABLE_EXIT: Final = 78
"""The master's exit code when its data folder cannot be used as it is (``EX_CONFIG``): trying again changes nothing."""

ALERTS: Final = "alerts"
"""What tells people; there while somebody is to be told."""

TURNS_S: Final = 5.0
"""So often a host says that it turns. It runs services' code, and code in C can stop it whole; one that does not turn
for four times as long is ended and started anew, without that code (:mod:`upcall.service.barred`)."""


def has_page() -> bool:
    """Whether what the page is made with is installed: it is an extra."""
    return importlib.util.find_spec("nicegui") is not None


def all_processes(folder: DataFolder, cluster: Cluster) -> list[dict[str, Any]]:
    """In the order of their start; they end in the reverse order: the master hears what the others have to say.
    Master and agents stand by for the keeper; not the host, which runs services' code, nor the page."""
    page = {
        **_python("page", "upcall.web", "--data", str(folder.root)),
        "listen": {PAGE: _words(cluster.page_address)},
    }
    return [
        {
            **_python("master", "upcall.master", "--data", str(folder.root)),
            "stop_order": 3,
            "stands_by": True,
            "listen": {API: _words(cluster.address)},
        },
        *(agent(folder, cluster, node) for node in cluster.nodes),
        host(folder),
        *([page] if has_page() else ()),
        *([alerts(folder)] if folder.alerts_file.exists() else ()),
    ]


def agent_name(node: str) -> str:
    return f"agent-{node}"


def agent(folder: DataFolder, cluster: Cluster, node: Node) -> dict[str, Any]:
    attributes = {"zone": node.zone, **node.attributes}
    words = [f"--attribute={name}={value}" for name, value in sorted(attributes.items()) if value]
    process = _python(
        agent_name(node.name),
        "upcall.agent",
        "--data",
        str(folder.root),
        "--node",
        node.name,
        "--master",
        str(folder.master_socket),
        "--token-file",
        str(folder.token_file(agent_name(node.name))),
        "--cpus",
        str(node.cpus),
        "--memory-mib",
        str(node.memory_mib),
        *(("--disk-mib", str(node.disk_mib)) if node.disk_mib else ()),
        *(() if cluster.isolation else ("--no-isolation",)),
        *(f"--share={shared}" for shared in cluster.shared),
        *words,
    )
    return {**process, "node": node.name, "stop_order": 2, "stands_by": True}


def host(folder: DataFolder) -> dict[str, Any]:
    token = str(folder.token_file("host"))
    data = str(folder.root / "host")
    words = ("--master", str(folder.master_socket), "--token-file", token, "--data", data)
    return {**_python("host", "upcall.service.host", *words), "stop_order": 1, "turns_s": TURNS_S}


def alerts(folder: DataFolder) -> dict[str, Any]:
    return _python(ALERTS, "upcall.alerts", "--data", str(folder.root))


def _words(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def _python(name: str, module: str, *words: str) -> dict[str, Any]:
    return {"name": name, "argv": [sys.executable, "-m", module, *words]}
