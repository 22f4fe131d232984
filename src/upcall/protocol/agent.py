"""The agent API: one WebSocket from each agent to ``/v1/agent``, JSON messages tagged by ``type``.

The agent dials out, authenticates with its own token, says :class:`Register` first (with everything it runs), and
repeats each :class:`Status` until :class:`Ack` names its number. The master repeats :class:`Launch` and :class:`End`
after every registration; both are idempotent.
"""

import msgspec

from upcall.protocol.declaration import Declaration
from upcall.protocol.names import MemberName, PathName, TaskName

# -- agent to master ------------------------------------------------------------------------------------------------


class TaskExit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a task ended. With neither code nor signal it was never a process."""

    code: int | None = None
    signal: int | None = None
    reason: str = ""
    """Why: what was wished, else the line of its output that says so."""
    lines: tuple[str, ...] = ()
    """The last of its output, of an end that nobody wished."""
    not_started: bool = False
    """It could not be prepared, or not be started: it never ran, and the reason says why."""
    without_data: bool = False
    """It was not started, because the volumes that it served with are not there."""


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``state`` is one of :data:`upcall.substrate.interface.TaskState`."""

    task: TaskName
    state: str
    reason: str = ""
    exit: TaskExit | None = None
    generation: int = 0
    fence: int = 1
    progress: int = 0
    """How often its start told progress; the reason says what it told."""


class VolumeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that the agent keeps, of the set that this fence names: one that was set aside is told apart."""

    member_id: MemberName
    name: PathName
    fence: int


class Register(msgspec.Struct, frozen=True, kw_only=True, tag="register"):
    node: str
    wire: int
    boot: str
    """Identity of this agent process, so two agents of one node are told apart (the newer one wins)."""
    cpus: float
    memory_mib: int
    disk_mib: int
    attributes: dict[str, str]
    features: tuple[str, ...] = ()
    tasks: tuple[TaskStatus, ...] = ()
    volumes: tuple[VolumeStatus, ...] = ()


class Status(msgspec.Struct, frozen=True, kw_only=True, tag="status"):
    """A change of one task; unacknowledged ones are kept in the checkpoint."""

    number: int
    status: TaskStatus


class DiskUse(msgspec.Struct, frozen=True, kw_only=True):
    """One folder that a task may fill, and how far it did."""

    volume: str
    """Its name; empty: the sandbox."""
    used_mib: int
    bound_mib: int


class TaskUsage(msgspec.Struct, frozen=True, kw_only=True):
    task: TaskName
    cpu_s: float
    """CPU seconds since its start."""
    memory_mib: float
    disk_mib: float = 0.0
    """Of its volumes and its sandbox."""
    filling: tuple[DiskUse, ...] = ()
    """Those that are nearly full, or hold more than they may; told until they are well below."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, tag="usage"):
    tasks: tuple[TaskUsage, ...]


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """Fetching of artifacts for a task."""

    task: TaskName
    text: str
    done_bytes: int = 0
    total_bytes: int = 0


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag="reply", omit_defaults=True):
    """The answer to a :class:`Run` or :class:`ReadLog`; ``last`` ends a followed log."""

    request: str
    code: int | None = None
    output: str = ""
    error: str = ""
    last: bool = True


FromAgent = Register | Status | Usage | Progress | Reply


# -- master to agent ------------------------------------------------------------------------------------------------


class Registered(msgspec.Struct, frozen=True, kw_only=True, tag="registered"):
    """Registration accepted. Whatever the agent runs that no :class:`Launch` before :class:`Synced` names is ended."""

    cluster: str
    features: tuple[str, ...] = ()


class RegisterAgain(msgspec.Struct, frozen=True, kw_only=True, tag="register_again"):
    """The master has read its records anew and knows nothing of what runs: say all of it again, on this connection."""


class Launch(msgspec.Struct, frozen=True, kw_only=True, tag="launch", omit_defaults=True):
    """The task should run. Everything that templates may name comes along."""

    task: TaskName
    declaration: Declaration
    generation: int
    fence: int
    """Rises with each fresh set of volumes of the member: what belongs to an older one is told apart by it."""
    address: str
    values: dict[str, str] = {}
    """Rendered names that only the master knows: ``address.replica-1``, ``endpoint.store.client``, ``zone`` ..."""
    secrets: dict[PathName, str] = {}
    """Secret name in the declaration -> value. Written to files, never logged."""
    adopt_volumes: bool = True
    """Volumes of the same member and fence are taken up again; others are set aside."""


class Synced(msgspec.Struct, frozen=True, kw_only=True, tag="synced"):
    """All launches that stand were repeated: what else runs here is to be ended."""


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    task: TaskName
    grace_s: float
    reason: str = ""


class DeleteVolumes(msgspec.Struct, frozen=True, kw_only=True, tag="delete_volumes"):
    """The volumes of this member and fence go, and no others."""

    member_id: MemberName
    fence: int


class Run(msgspec.Struct, frozen=True, kw_only=True, tag="run", omit_defaults=True):
    """A one-shot tool beside a running task: same artifacts, environment, volumes, address."""

    request: str
    task: TaskName
    command: tuple[str, ...]
    timeout_s: float = 60.0
    env: dict[str, str] = {}
    input: str = ""


class ReadLog(msgspec.Struct, frozen=True, kw_only=True, tag="read_log", omit_defaults=True):
    request: str
    task: TaskName
    stream: str = "stdout"
    """``stdout``, ``stderr`` or ``both``."""
    lines: int = 100
    follow: bool = False
    after: str = ""
    """Of these lines only what stands after those of this mark (:mod:`upcall.protocol.read_before`)."""


ENDED_KEPT_S = 7 * 86_400.0
"""So long what an ended task wrote is kept, also when its service was taken away."""

LOG_PARTS_AHEAD = 4
"""Parts of a log on their way to one reader: the agent sends no more until one was taken."""


class Taken(msgspec.Struct, frozen=True, kw_only=True, tag="taken"):
    """A part of a log has reached its reader: there is room for another."""

    request: str


class StopReading(msgspec.Struct, frozen=True, kw_only=True, tag="stop_reading"):
    request: str


class Ack(msgspec.Struct, frozen=True, kw_only=True, tag="ack"):
    number: int


ToAgent = Registered | RegisterAgain | Launch | Synced | End | DeleteVolumes | Run | ReadLog | Taken | StopReading | Ack

_encoder = msgspec.json.Encoder()
_from_agent: msgspec.json.Decoder[FromAgent] = msgspec.json.Decoder(FromAgent)
_to_agent: msgspec.json.Decoder[ToAgent] = msgspec.json.Decoder(ToAgent)


def encode(message: FromAgent | ToAgent) -> bytes:
    return _encoder.encode(message)


def decode_from_agent(data: bytes | str) -> FromAgent:
    return _from_agent.decode(data)


def decode_to_agent(data: bytes | str) -> ToAgent:
    return _to_agent.decode(data)
