"""What a task is: a declaration, never a place.

Names, not addresses, absolute paths or process ids: the substrate decides where a task runs and renders the rest at
the launch. ``command``, ``env``, ``files``, check targets and tools may hold templates, rendered at each launch:

    {{address}}  {{hostname}}          this incarnation's own address (may differ at the next)
    {{port.client}}                    number of a declared port
    {{sandbox}}                        working folder of this incarnation, emptied at each launch
    {{volume.data}}                    folder of a declared volume
    {{artifact.java.home}}             a property of a realised artifact ({{artifact.java}}: its folder)
    {{secret.password}}                file with the secret, mode 0600
    {{cpus}} {{memory_mib}}            what this task was given
    {{node}} {{zone}} {{incarnation}}  where it landed, and its rising number
    {{address.replica-1}}              address of another member of the same service
    {{endpoint.store.client}}          comma-separated host:port list of another service's endpoint
    {{attribute.rack}}                 an attribute of the node
    {{python}}                         the platform's own Python interpreter
    {{replaced.address}}               address at the place before this one (only in a ``replacement``)
    {{brace}}                          a brace that begins no name; ``literal(text)`` writes it into a person's own text

A template of a member that has no address yet delays the launch; one that can never be rendered is an error.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from upcall.protocol.names import Digest, DigestOrNone, PathName, RelativePath

Restart = Literal["always", "on-failure", "never"]

AMOUNT_MAX: Final = 10**9
"""Of anything that is counted: above every machine, and exact in every arithmetic that follows."""
DAY_S: Final = 86_400.0
Amount = Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]
Seconds = Annotated[float, Meta(ge=0, le=30 * DAY_S)]
"""Out of range is refused where it arrives, with the path of the field."""


class Artifact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that the task runs, fetched and verified before the start."""

    name: PathName
    """What templates call it: ``{{artifact.java.home}}``."""
    kind: str
    """One that is installed where the task runs: ``wheels``, ``maven``, ``environment``, ``java``, ``files``,
    ``archive``, ``compiled``, or somebody else's (entry points ``upcall.artifacts``)."""
    lock: Digest
    """SHA-256 of the lock file, which the package registered with the master as a blob."""
    options: dict[str, str] = {}
    """For its kind, beside the lock."""


class Port(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A port on the member's own address; members of all services have addresses of their own."""

    name: PathName
    """What templates (``{{port.client}}``), checks and endpoints call it."""
    number: Annotated[int, Meta(ge=1, le=65_535)]
    """Any that its system likes: nobody else is on the member's address."""


DISK: Final = "disk"
"""The usual kind of storage."""


class Volume(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A folder that outlives the task and stays with the member."""

    name: PathName
    """What templates call it: ``{{volume.data}}``."""
    size_mib: Amount
    """How large it may become: so much room is reserved for it, with its member and while it is kept without."""
    kind: str = DISK
    """A word for machines with several kinds of storage; nodes of our own have one. On Kubernetes: a storage class."""
    holds_data: bool = False
    """Whoever was ready with it is never started with another in its place: one that somebody emptied, or a folder on
    which the disk is not mounted. It ends before it has begun then, and its service is asked (``member.without_data``).
    A file ``.upcall-served`` in the volume is how it is known again."""


class File(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file written into the sandbox before the start. ``path`` is relative to the sandbox."""

    path: RelativePath
    """In the sandbox; folders on the way are made."""
    text: str = ""
    """Its content; templates in it are rendered, unless it is ``verbatim``."""
    verbatim: bool = False
    """``text`` is written as it is: what a person handed over (a program, a greeting) may hold ``{{braces}}`` of its
    own."""
    blob: DigestOrNone = ""
    """SHA-256 of a blob at the master, instead of ``text`` (not rendered)."""
    mode: int = 0o644
    """``0o755`` for a program."""


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the agent learns whether the task is well. Exactly one of the targets is set
    (:mod:`upcall.protocol.checks` says what else must hold)."""

    tcp: str = ""
    """Name of a port that accepts connections."""
    http: str = ""
    """``port/path`` that answers with a status below 400."""
    exec: tuple[str, ...] = ()
    """A command that ends with 0."""
    log: str = ""
    """A regular expression (RE2's syntax), looked for in each line of the output; intervals and counts have no
    meaning for it. As readiness, a line that matches means ready. As health, a line that matches, written after the
    task was ready, means unhealthy: at once, and until the task is started anew."""
    delay_s: Seconds = 0.0
    """Before the first question."""
    interval_s: Seconds = 5.0
    """From one question to the next; whether a task is ready is asked more often at first."""
    timeout_s: Seconds = 5.0
    """For one answer."""
    failures: Amount = 3
    """Consecutive failures that make it unhealthy."""


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A reference; the value arrives as a file with mode 0600."""

    name: PathName
    """What templates call its file: ``{{secret.password}}``."""
    ref: str
    """Which one: ``self.own_secret("password")``, one of another service (``self.store.secret("login")``), or the name
    of one that a person has set (``upcall secret set``) and granted."""


class Resources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a task wants."""

    cpus: Annotated[float, Meta(ge=0, le=AMOUNT_MAX)] = 0.1
    """Cores that are reserved for it. A share: where others leave more, it may use more."""
    memory_mib: Amount = 64
    """Reserved, and a limit: beyond it the task is killed, where control groups allow that."""
    disk_mib: Amount = 0
    """Of its sandbox. Volumes come on top, by their own sizes."""


class Constraints(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a member may be placed."""

    apart: str = ""
    """Members of the service with the same word here are on different nodes."""
    per_node: Annotated[int, Meta(ge=1, le=100)] = 1
    """Or so many of them on one node, spread as evenly as there is room."""
    spread: str = ""
    """Node attribute (``zone``) over which the members with the same ``apart`` word are spread evenly."""
    together: str = ""
    """Name of a member of the same service whose node is shared."""
    attributes: dict[str, str] = {}
    """Node attributes that must match exactly."""


class Declaration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One member's task, as its service wants it."""

    command: tuple[str, ...]
    """The program and its arguments, as one word each: no shell is between. A program without a path is looked for in
    ``/usr/local/bin``, ``/usr/bin`` and ``/bin``."""
    artifacts: tuple[Artifact, ...] = ()
    """What it runs: ``self.artifact("java")``, ``self.artifacts()``."""
    env: dict[str, str] = {}
    """All that it finds in its environment beside ``PATH``, ``LANG``, ``HOME``, ``TMPDIR`` and ``UPCALL_NODE``."""
    files: tuple[File, ...] = ()
    """Written into its sandbox at each start."""
    volumes: tuple[Volume, ...] = ()
    """What of it outlives a start; the sandbox is emptied."""
    ports: tuple[Port, ...] = ()
    """On an address of its own, so that every member may use its system's usual ones."""
    secrets: tuple[Secret, ...] = ()
    """Passwords and keys that it is given, as files."""
    resources: Resources = Resources()
    """What its place must have."""
    constraints: Constraints = Constraints()
    """Where its place may be; a pod says most of it."""
    prepare: tuple[tuple[str, ...], ...] = ()
    """Commands run once on fresh volumes, in order, before the first start; one that fails fails the launch."""
    ready: Check | None = None
    """When the task is ready; none: as soon as it runs."""
    health: Check | None = None
    """Checked for as long as it runs, once it was ready."""
    start_timeout_s: Seconds = 300.0
    """From its start until it is ready. One that is late is ``unready``: only its cure, an operation, ends it."""
    progress: tuple[str, ...] = ()
    """Expressions (RE2's syntax) of lines that tell that a start goes on: a log is replayed, data is on its way. Each
    that is not the one before moves the deadline to ``start_timeout_s`` from then: what tells progress is not late."""
    grace_s: Seconds = 30.0
    """Between SIGTERM and SIGKILL."""
    fatal: tuple[str, ...] = ()
    """Expressions (RE2's syntax) of the lines by which this system says why it ends, the surest first; a group cuts out
    what matters. Without them the line is found by what Java, Python and most programs have in common."""
    restart: Restart = "always"
    """``always``: whatever its code, a task that ends is started again. The others are jobs: an end with code 0 is
    their aim (``finished``). ``on-failure``: with another code (or if it cannot be prepared) one is started again,
    ``restarts_max`` times in short succession; then it has ``failed``. ``never``: it has failed at once. What has
    failed stays so, with its cause, until a person starts it again (``upcall task start``)."""
    restarts_max: Amount = 3
    """See ``restart``."""
    portable: bool | None = None
    """Whether nothing binds it to its node: a drain then brings it up elsewhere, with empty volumes, instead of holding
    it until the node is back. None: as it has volumes or none."""

    guest: str = ""
    """A workload of somebody else's whose member this is (``statefulset/web``): it is followed and not made, and what
    runs is that workload's business. Machines that have none refuse it."""

    two_at_once: bool = False
    """Whether two of it may run at the same time, for a moment: what moves it then brings it up elsewhere first, and
    ends what runs when the new one is ready and its service's hooks have returned. Only of what nothing binds to its
    node and what always runs; the two have addresses, and volumes, of their own."""

    @property
    def bound_to_its_node(self) -> bool:
        return bool(self.volumes) if self.portable is None else not self.portable
