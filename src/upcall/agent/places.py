"""Where everything of a node lies below the data folder.

nodes/<node>/checkpoint.json  agent.lock  launcher.sock
             tasks/<task>/    running.json exit.json logs/ sandbox/ secrets/    (one incarnation)
             runs/<run>/      the same, of a one-shot tool, a preparation or an exec check
             volumes/<service.member>/<fence>/<volume>/
             served/<service.member>/<fence>            which of them it was ready with
             removed/         what is being deleted
"""

from pathlib import Path

from upcall.protocol.names import valid


class Places:
    def __init__(self, data: Path, node: str) -> None:
        self.data = data.resolve()  # The keeper finds processes by this path: one spelling for one folder.
        self.node = self.data / "nodes" / valid(node, "node")
        self.tasks = self.node / "tasks"
        self.runs = self.node / "runs"
        self.volumes = self.node / "volumes"
        self.served = self.node / "served"
        self.removed = self.node / "removed"
        self.checkpoint = self.node / "checkpoint.json"
        self.lock = self.node / "agent.lock"

    def make(self) -> None:
        for folder in (self.tasks, self.runs, self.volumes, self.served, self.removed):
            folder.mkdir(parents=True, exist_ok=True)
        self.node.chmod(0o700)

    def task(self, task: str) -> Path:
        return self.tasks / valid(task, "task")

    def logs(self, task: str) -> Path:
        """Of the task; of one that never ran, of the preparation that failed."""
        return self.task(task) / "logs"

    def sandbox(self, task: str) -> Path:
        return self.task(task) / "sandbox"
