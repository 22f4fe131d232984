"""What a machine has for tasks, and what is weaker where it has not: in words. The names are those of a node's features
(:mod:`upcall.agent.cgroups`, :mod:`upcall.agent.boxes`)."""

from collections.abc import Iterable
from typing import Final, NamedTuple

DELEGATED: Final = (
    "`systemd-run --user --scope -p Delegate=yes upcall up`, on a machine with control groups v2 alone; or root"
)


class Words(NamedTuple):
    has: str
    weaker: str
    """What is weaker without it."""
    do: str


FEATURES: Final[dict[str, Words]] = {
    "memory-limits": Words(
        "a task ends by more memory than it declared, and no other does",
        "a task that takes more memory than it declared takes it from the others, until the kernel ends one of them",
        DELEGATED,
    ),
    "cpu-weights": Words(
        "busy tasks share the processor by what they declared",
        "busy tasks share the processor as it comes, whatever they declared",
        DELEGATED,
    ),
    "group-kill": Words(
        "all that a task started ends with it at once",
        "all that a task started is looked for among the processes and ended one by one",
        DELEGATED,
    ),
    "process-limits": Words(
        "processes of a task are limited in number",
        "tasks share the limit of your account on processes (`ulimit -u`)",
        DELEGATED,
    ),
    "landlock": Words(
        "a task sees its own folders, and nothing of yours",
        "a task may read and change what you may: your home, volumes of others",
        "Linux 5.13 or newer with Landlock switched on (`lsm=landlock,...` where the kernel is started)",
    ),
    "own-user": Words(
        "each service has a user of its own",
        "all tasks are processes of yours, kept apart by Landlock alone",
        "a cluster that root starts; for one person's machine it is well as it is",
    ),
    "own-addresses": Words(
        "connections of a task come from its member's address",
        "connections of tasks come from 127.0.0.1: who is connected to cannot tell members apart",
        "a cluster that root of the machine starts, with control groups v2",
    ),
    "isolation": Words(
        "tasks are isolated", "each task may read and change whatever you may", "`upcall up --isolation`"
    ),
    "disk-limits": Words(
        "what a task keeps on disk is bounded",
        "what a task keeps on disk is watched and told, and bounded by the disk alone",
        "nothing: no file system that may be counted on bounds a folder",
    ),
}


def lacking(features: Iterable[str]) -> dict[str, bool]:
    """Name -> whether it is had, of those that are known here."""
    return {name: f"no-{name}" not in features for name in FEATURES if {name, f"no-{name}"} & set(features)}
