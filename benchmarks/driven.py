"""A service on a benchmark's own cluster, driven as a person does it; what is waited for is the same of all of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from benchmarks.cluster import Broken, OwnCluster
from upcall.protocol.operator import TaskView

OVER_S: Final = 600.0
ENDED_OTHERWISE: Final = ("failed", "declined", "withdrawn")


@dataclass(frozen=True)
class Driven(ABC):
    """A service that is named as its package is."""

    cluster: OwnCluster
    service: ClassVar[str]
    pod: ClassVar[str]
    """Of the members that hold what it is there for."""

    @abstractmethod
    def until_whole(self) -> None:
        """All members are ready, and everything is again as if nothing had been."""

    def upcall(self, *words: str) -> str:
        return self.cluster.upcall(*words)

    def refused(self, *words: str) -> str:
        try:
            said = self.upcall(*words)
        except Broken as refused:
            return str(refused)
        raise Broken(f"upcall {' '.join(words)} was not refused: {said}")

    def act(self, action: str, **arguments: Any) -> Any:
        """One call, as the page and the command line make it."""
        return self.cluster.client.post(f"/v1/services/{self.service}/actions/{action}", arguments)

    # -- looking ----------------------------------------------------------------------------------------------------

    def members(self) -> list[TaskView]:
        """Of its main pod, in their order."""
        found = [task for task in self.cluster.client.tasks() if task.member.startswith(f"{self.service}.{self.pod}-")]
        return sorted(found, key=lambda task: task.member)

    def everyone(self) -> list[TaskView]:
        """Of all pods."""
        return [task for task in self.cluster.client.tasks() if task.service == self.service]

    def member(self, number: int) -> TaskView:
        return next(task for task in self.members() if task.member == f"{self.service}.{self.pod}-{number}")

    def incarnations(self) -> dict[str, int]:
        return {task.member: task.incarnation for task in self.everyone()}

    @property
    def version(self) -> str:
        return self.cluster.client.service(self.service).version

    # -- waiting ----------------------------------------------------------------------------------------------------

    def until(self, what: str, look: Callable[[], Any]) -> None:
        self.cluster.until(what, look, OVER_S)

    def until_ready(self) -> None:
        self.until("all are ready", lambda: all(task.state == "ready" for task in self.members()))

    def until_done(self, operations: list[str]) -> None:
        client = self.cluster.client

        def look() -> bool:
            # One question for all of them: what is measured runs on the same cores.
            known = {each.id: each.state for each in client.operations(ended=True)}
            states = {each: known[each] for each in operations}
            if bad := [each for each, state in states.items() if state in ENDED_OTHERWISE]:
                raise Broken(f"{bad[0]} is {states[bad[0]]}:\n{self.upcall('why', bad[0])}")
            return all(state == "done" for state in states.values())

        self.until(f"{', '.join(operations)} done", look)

    def until_next(self, before: TaskView) -> None:
        """The member is ready again, as a later incarnation, and all is whole."""

        def look() -> bool:
            now = next(task for task in self.members() if task.member == before.member)
            return now.incarnation > before.incarnation and now.state == "ready"

        self.until(f"{before.member} is ready again", look)
        self.until_whole()
