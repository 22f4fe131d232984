"""Limits and usage of a container: the control group is the kubelet's, which made it around us.

Nothing is made or ended in it by us, and it holds our own process too: a few dozen MiB of what it uses are ours.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from upcall.agent import cgroups
from upcall.agent.cgroups import V2_TREE, GroupUsage

FIRST: Final = 1


class ContainerGroup:
    """Implements :class:`upcall.agent.cgroups.Groups`. Only who is a container's first process has its group for
    itself, which stands then at the mount points."""

    features: tuple[str, ...] = ("container",)
    count_processes = False

    def __init__(self, places: Mapping[str, Path] | None = None) -> None:
        if places is None:
            places = cgroups.mounts() if os.getpid() == FIRST else {}
        self._v2 = places.get(V2_TREE) if "memory" not in places else None
        self._v1 = {name: str(path) for name, path in places.items() if name != V2_TREE}
        self._kills_before = self._kills()

    def create(self, task: str, address: str, cpus: float, memory_mib: int) -> dict[str, str]:
        return {}

    def limit(self, groups: Mapping[str, str], cpus: float, memory_mib: int) -> None: ...

    def procs(self, groups: Mapping[str, str]) -> list[str]:
        return []

    def out_of_memory_kills(self, groups: Mapping[str, str]) -> int:
        return self._kills() - self._kills_before

    def _kills(self) -> int:
        return cgroups.kills_v2(self._v2) if self._v2 is not None else cgroups.kills_v1(self._v1)

    def usage(self, groups: Mapping[str, str]) -> GroupUsage:
        return cgroups.usage_v2(self._v2) if self._v2 is not None else cgroups.usage_v1(self._v1)

    def kill(self, groups: Mapping[str, str]) -> bool:
        """What is left of the task is found by its marks."""
        return True

    def remove(self, groups: Mapping[str, str]) -> None: ...

    def tidy(self, tasks: Collection[str]) -> None: ...
