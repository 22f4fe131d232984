"""Spark in a test: where a driver connects, and programs that run as jobs of it."""

import re
from functools import cached_property
from typing import Any, Final

from upcall.client import paths
from upcall.protocol.errors import Conflict
from upcall.pytest.asked import Small
from upcall.pytest.service import Service
from upcall.pytest.use import Use

SMALL: Final = Small("spark", "workers", {"workers": 1})
RUNS_S: Final = 300.0
LINES_MAX: Final = 1000
JOB: Final = "test-"
OVER: Final = frozenset({"finished", "failed"})


class Spark(Service):
    """The run's Spark; jobs are the test's own."""

    size = "workers"
    member_kind = "worker"

    @cached_property
    def master(self) -> str:
        """``spark://host:port``: for a driver of the test's own, of the same version, with :meth:`settings`."""
        return "spark://" + ",".join(self.addresses("master"))

    def settings(self) -> dict[str, str]:
        """Of a driver: where the master is, and Spark's shared secret."""
        found = {"spark.master": self.master}
        if login := self.login("master"):
            found |= {"spark.authenticate": "true", "spark.authenticate.secret": login.password}
        return found

    def run(self, program: str, *arguments: str, timeout_s: float = RUNS_S, **more: Any) -> list[str]:
        """Run the text of a Python program as a job, to its end; gives the lines that it printed. ``more``: what the
        action ``submit-job`` takes besides (``cores``, ``settings`` ...). One that fails says its last lines."""
        name = f"{JOB}{self.test}-{len(self._jobs) + 1}"
        self._jobs.append(name)
        member = f"{self.name}.job-{name}"
        self.do("submit-job", name=name, program=program, arguments=list(arguments), restart="never", **more)

        def look() -> Any:
            found = next((one for one in self.cluster.client.tasks() if one.member == member), None)
            return found if found is not None and found.state in OVER else None

        task = self.cluster.until(f"{member} ends", look, timeout_s)
        lines = list(self.cluster.client.lines(f"{paths.of('tasks', member, 'logs')}?lines={LINES_MAX}&stream=stdout"))
        if task.state == "failed":
            raise Conflict(f"the job failed: {task.exit_reason or task.reason}: {' / '.join(lines[-5:])}", where=member)
        return lines

    @cached_property
    def _jobs(self) -> list[str]:
        return []

    def undo(self) -> None:
        try:
            for name in self._jobs:
                self.do("stop-job", name=name)
        finally:
            super().undo()

    def sweep(self, use: Use) -> None:
        """Jobs of runs that were killed, on a cluster that was kept."""
        for one in self.cluster.client.tasks():
            found = re.fullmatch(rf"job-({JOB}([0-9a-f]+)-.*)", one.name) if one.service == self.name else None
            if found and found[2] != use.name and not use.is_alive(found[2]):
                self.do("stop-job", name=found[1])
