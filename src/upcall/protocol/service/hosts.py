"""What hosts and the command line tell the master of packages, and what it tells hosts."""

from typing import Any

import msgspec

from upcall.protocol.errors import Problem
from upcall.protocol.names import Digest, DigestOrNone, EntryPoint


class ActionSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something a person may ask of the service in one call (create a topic, submit a job)."""

    name: str
    description: str = ""
    arguments: dict[str, Any] = {}
    """JSON Schema of the arguments object."""
    timeout_s: float = 60.0
    """For so long its service lets it run."""
    goes_on: bool = False
    """It may be begun again where it was: when its host dies, the next one is asked the same."""
    checks: bool = False
    """Its service says beforehand what it would refuse (``check/NAME``)."""


class ScheduleSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that the service wants done again and again, as its expert says; a person may say another time."""

    name: str
    """Of the action; ``rebalance``: the service is asked to spread its load."""
    every: str
    """As :mod:`upcall.protocol.recurring` reads it."""
    within_s: float = 0.0
    """From one that went well to the next, at most; 0: nothing breaks when it is late."""
    takes_s: float = 0.0
    """It does not begin in a window that has less left; 0: not known."""
    description: str = ""


class Derived(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An option's value that its service's code made of a goal, or of the machine."""

    value: Any
    why: str
    goal: str = ""
    """Which goals; empty: the machine."""
    at_least: bool = False
    """More does not contradict it."""


class ContentSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One kind of what a service holds that people name one by one (topics, jobs), by the names of its actions."""

    kind: str
    show: str
    """Gives all of them."""
    show_with: dict[str, Any] = {}
    key: str
    """Where each of those has its name."""
    make: str
    change: str = ""
    drop: str


class BringSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An argument that the command line makes of files or names: they are put as blobs, and it is told by SHA-256."""

    argument: str
    how: str
    """``program``, ``files``, ``requirements``, ``jars``."""
    option: str = ""
    beside: str = ""
    """Name of the artifact that is there anyway."""
    about: str = ""


class CommandSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command of a package's own (``topic create``): an action of it, or the log of a member."""

    words: str
    action: str = ""
    member: str = ""
    """Whose log it shows, with names of what it takes in braces."""
    takes: tuple[str, ...] = ()
    """Arguments that are given by their places."""
    given: dict[str, Any] = {}
    """Arguments that it gives by itself."""
    about: str = ""
    reads: str = ""
    """The argument that is the text of a file."""
    named_after_it: str = ""
    """The argument that is that file's name where nobody gives it."""
    lines: str = ""
    """The argument that is the lines of standard input where nobody gives it."""
    prints: str = ""
    """Of each row of its result this alone is printed."""
    loses: str = ""
    """What is gone for good by it."""
    brings: tuple[BringSpec, ...] = ()
    stream: str = "both"
    """Of a log: which of the two is the member's own output."""


class ClientSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a client of one kind connects to an endpoint: names in braces are replaced where it is printed or written."""

    name: str
    endpoint: str
    text: str
    files: dict[str, str] = {}
    """What it reads, for its owner alone."""
    shell: tuple[str, ...] = ()
    """Command of a shell of the system."""


class NeedSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another service whose endpoint a package's tasks connect to."""

    name: str
    endpoint: str
    optional: bool = False
    page: bool = False
    """The page logs in there too, to show what its tasks do."""
    page_endpoint: str = ""
    """At this endpoint of the same service; empty: at the same."""


class Package(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the master knows of a package: enough to check options without running its code."""

    name: str
    version: str
    description: str = ""
    entry: EntryPoint = ""
    """``module:Class`` of the service, importable in the host (with ``source`` unpacked on its path)."""
    options_schema: dict[str, Any] = {}
    actions: tuple[ActionSpec, ...] = ()
    needs: tuple[NeedSpec, ...] = ()
    contents: tuple[ContentSpec, ...] = ()
    commands: tuple[CommandSpec, ...] = ()
    clients: tuple[ClientSpec, ...] = ()
    schedules: tuple[ScheduleSpec, ...] = ()
    finalizes: bool = False
    """An upgrade to this version has a point of no return, which the service's code carries out."""
    source: DigestOrNone = ""
    """SHA-256 of a blob (a tar of Python files); empty for a package that the host has installed."""
    blobs: tuple[Digest, ...] = ()
    """Digests of the blobs that its declarations name (lock files), each uploaded by ``PUT /v1/blobs/{sha256}``."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    service: str
    package: str
    version: str
    entry: EntryPoint
    source: DigestOrNone = ""
    installed_at: float = 0.0
    """As in :class:`Wanted`: another life of the name is another assignment, however little else differs."""


class Assignments(msgspec.Struct, frozen=True, kw_only=True, tag="assignments"):
    """The services that this host runs: the whole set."""

    version: int
    services: tuple[Assignment, ...]


class NodeView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a service may know of machines, for sizing and racks; never an address of one."""

    name: str
    zone: str = ""
    cpus: float = 0
    memory_mib: int = 0
    disk_mib: int = 0


class Derive(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="derive"):
    """To a host: what follows from the goals among these options?"""

    id: str
    package: str
    version: str
    entry: EntryPoint
    source: DigestOrNone = ""
    options: dict[str, Any]
    nodes: tuple[NodeView, ...] = ()


class DerivedReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    derived: dict[str, Derived] = {}
    problem: Problem | None = None
    """What cannot be met, or contradicts a goal."""
