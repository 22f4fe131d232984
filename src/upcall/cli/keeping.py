"""The keeper, as ``up`` and ``down`` use it: which processes it keeps, how it is started, asked and ended."""

import sys
from typing import Any, Final

from upcall.client.folder import Cluster, DataFolder

STOP_TIMEOUT_S: Final = 60.0
LOOK_S: Final = 0.1
LAST_WORDS_BYTES: Final = 2000


def processes(folder: DataFolder, cluster: Cluster) -> list[dict[str, Any]]:
    """Ours, in the order of their start."""
    data = str(folder.path)

    def python(name: str, *words: str) -> dict[str, Any]:
        return {"name": name, "argv": [sys.executable, "-m", *words]}

    return [
        python("master", "upcall.master", "--data", data),
        *(python(f"agent-{one.name}", "upcall.agent", "--data", data, "--node", one.name) for one in cluster.nodes),
        python("host", "upcall.service.host", "--data", data),
        python("page", "upcall.web", "--data", data),
    ]
