"""What the tasks of one node share: its folders, the launcher, the checkpoint, and the way to the master."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from upcall.agent.boxes import Boxes
from upcall.agent.cgroups import Groups
from upcall.agent.checkpoint import Checkpoint
from upcall.agent.launching import Launching
from upcall.agent.places import Places
from upcall.agent.runs import Runs
from upcall.agent.sources import ArtifactSource, Blobs
from upcall.agent.volumes import MemberVolumes
from upcall.agent.watching import Watching
from upcall.protocol.agent import Progress


@dataclass(frozen=True)
class Machine:
    node: str
    attributes: Mapping[str, str]
    places: Places
    launching: Launching
    runs: Runs
    volumes: MemberVolumes
    groups: Groups
    boxes: Boxes
    watching: Watching
    checkpoint: Checkpoint
    artifacts: ArtifactSource
    blobs: Blobs
    progress: Callable[[Progress], None]
    """Tells the master how far a fetch is; dropped when there is no connection."""
    over: dict[str, asyncio.Event] = field(default_factory=dict)
    """For each task that is known here: set once it has ended."""

    @property
    def features(self) -> tuple[str, ...]:
        """What this machine has, and what it lacks."""
        # Counted by control group for a task, or by the own user for a service; a user's own limit is nobody's of ours.
        counted = self.groups.count_processes or self.boxes.users is not None
        processes = "process-limits" if counted else "no-process-limits"
        # What a task keeps on disk is watched (:mod:`upcall.agent.disk`), on every file system.
        return (*self.groups.features, *self.boxes.features, processes, "no-disk-limits")
