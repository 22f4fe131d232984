"""What is durable, and in which words.

Each record is written alone: no promise depends on two of them being written at once. Whatever can be computed from
the records and from what is observed is *derived*, never stored:

    begun, ended, forced, cancelled, lifted   the operation's record; ``executing`` is one write, before the effect
    incarnation, place                        the member's record, written before the launch. A higher place number is
                                              also the proof that the old place was given up
    ended                                     the member's record: the highest incarnation known to be dead, by an
                                              observed end or by a person's word. Written before anything that follows
    held                                      derived: a stop of the current incarnation has begun, and neither it nor
                                              its drain is lifted; undrain is one write, on the drain
    gone                                      derived from the begun uninstall or removal, until the member's record
                                              says ``removed``
    acceptance, deferral                      one consent record a service, void after a restart of the master
    epoch                                     (start of the master, n): one durable write at each start, n in memory
    deferred, accepted, behind another,       derived, for people
    held by the guard

Every record carries ``version``, which rises by one with each write of it, so that a store can compare and swap.
Identifiers are counters that the records themselves hold: the next operation's number is one above the highest on
record, which is why the highest one is never compacted away.
"""

from typing import Final, Literal, TypeAlias

import msgspec

from upcall.operations.table import Class, Kind, OnDeadline, State

FORMAT = 1
"""Of the encoding below. A reader refuses what is newer than itself."""

Firmness = Literal["enforced", "intercepted", "notified", "observed"]
Origin = Literal["ours", "foreign"]
THE_SYSTEM: Final = "the system"
"""Whose word it is where a service was not asked."""

Verdict = Literal["accept", "defer", "decline", "wait", "restart", "replace", "renew"]
"""What a service answers, in the same words from its expert's code to the record."""
BEFORE: Final[tuple[Verdict, ...]] = ("accept", "defer", "decline")
"""Of what is to happen."""
AFTER_A_LOSS: Final[tuple[Verdict, ...]] = ("wait", "restart", "replace", "renew", "defer")
"""Of what has happened: wait, restart it here, replace it elsewhere, or renew it: begin anew at its node, with empty
volumes."""
Restart = Literal["always", "on-failure", "never"]
"""Whether a member that ended by itself is started again: whatever its code; unless it is 0, so and so often; not at
all."""
Choice = Literal["", "restart", "replace", "renew"]
"""How a lost member comes back: by its service's answer, or by what holds without one."""

GIVES_UP: Final = ("replace", "renew")
"""Choices that give the present place up, with what is in it."""


Role = Literal["founding", "joining", "replacing"]


class Epoch(msgspec.Struct, frozen=True, order=True):
    """Which world an answer is about."""

    start: int
    n: int

    def __str__(self) -> str:
        return f"{self.start}.{self.n}"


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The static policy: what holds when the service gives no answer at all."""

    at_most: int = 1
    """Members taken away at once without an answer."""
    order: tuple[str, ...] = ()
    """Members in the order in which they go without an answer; those not named come last."""
    silence: Literal["", "hold", "proceed"] = ""
    """What silence means for windowed operations; the empty word: ``hold`` with data, ``proceed`` without. A voluntary
    operation never proceeds by silence, whatever stands here."""
    on_lost: Literal["restart", "ask", "wait"] = "restart"
    """A process that died on a live node: restart it here at once; ask first, for ``answer_s``; wait for an answer."""
    answer_s: float = 30.0
    """How long an answer may take before it counts as silence; for a cure it is the whole window."""
    replace_after_s: float = 600.0
    """How long a member on a silent node is waited for."""
    leaves: bool = False
    """A removal waits until the service confirms that the member has left (data moved)."""
    before_stop_s: float = 0.0
    """How long the service may prepare a member's end once it has begun (hand its leaders over); 0: it does not."""
    leave_s: float = 3600.0
    """How long a member may take to leave before the removal has failed."""
    keep_volumes_s: float = 86400.0
    """After an uninstall; an install under the same name takes them back."""
    stuck_after_s: float = 40.0
    """When a person is told, once, that an operation waits without progress."""


WINDOW = "its window"
"""Who pauses what goes on in maintenance windows alone, between them."""


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who overrode the usual course, why and when; in the record for good."""

    who: str
    why: str = ""
    wall_s: float = 0.0


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operation touches. Stop, restart and cure name incarnations for life; removals name members, whose
    incarnations are frozen at execution; maintenance names a node."""

    service: str = ""
    members: tuple[str, ...] = ()
    """Member names within the service."""
    incarnations: tuple[int, ...] = ()
    """Parallel to ``members``; empty until a removal executes."""
    node: str = ""
    nodes: tuple[str, ...] = ()
    """Maintenance of several nodes: all of them; ``node`` is empty then."""
    zone: str = ""
    """Maintenance: the zone that was named, whose nodes these were then."""

    def words(self) -> str:
        """``store.replica-2.7``, ``store``, ``node node-2``, ``zone a (node-1, node-2)``, ``the whole system``."""
        if self.nodes or self.zone:
            names = ", ".join(self.nodes or (self.node,))
            return f"zone {self.zone} ({names})" if self.zone else f"nodes {names}"
        if not self.service:
            named = self.node if self.node.startswith("node") else f"node {self.node}"
            return named if self.node else "the whole system"
        tasks = []
        for name in self.members:
            incarnation = self.incarnation_of(name)
            tasks.append(f"{self.service}.{name}" + (f".{incarnation}" if incarnation else ""))
        return ", ".join(tasks) or self.service

    def incarnation_of(self, member: str) -> int:
        """0 when it is not frozen yet, or the member is none of ours."""
        if not self.incarnations or member not in self.members:
            return 0
        return self.incarnations[self.members.index(member)]


class ServiceRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="service"):
    name: str
    minimum: int = 0
    """Members that must stay ready."""
    stateful: bool = True
    policy: Policy = Policy()
    package: str = ""
    needs: tuple[str, ...] = ()
    """Services without which this one cannot work."""
    version: int = 0

    @property
    def key(self) -> str:
        return self.name

    @property
    def silence(self) -> Literal["hold", "proceed"]:
        if self.policy.silence == "":
            return "hold" if self.stateful else "proceed"
        return self.policy.silence


class Leaving(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An incarnation that runs beside the current one, at the place before, until that one is back."""

    incarnation: int
    place: int
    launched: int = 0
    """The generation that it was launched with."""
    node: str = ""


class MemberRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="member"):
    service: str
    name: str
    generation: int = 1
    """Of its newest declaration: what the next incarnation gets. It touches nothing that runs."""
    target: int = 0
    """The generation that its next incarnation gets, which a plan chooses; 0: the newest. Until its turn in an update
    has come, that is what it had."""
    revision: int = 0
    """Of its service, under which it was declared last."""
    launched: int = 0
    """The generation that the current incarnation was launched with, for its whole life."""
    package: str = ""
    """What it was declared by. Another package under the same name takes nothing over."""
    left: bool = False
    """It was removed alone (``scale_in``), while its service went on without it."""
    begins_anew: bool = False
    """A tombstone whose volumes are not taken back, although they could be: who installs again said so."""
    incarnation: int = 0
    """0: never launched."""
    place: int = 1
    first_place: int = 1
    """Where this life of its service began. Later ones are replacements; one after an uninstall whose volumes are gone
    is a beginning."""
    starts_before: int = 0
    """Incarnations at other places, whose volumes it has no more."""
    ended: int = 0
    """The highest incarnation known to have ended."""
    ended_how: str = ""
    ended_by: str = ""
    """The operation that ended it, in the same write; empty when nobody asked for it."""
    finished: bool = False
    """It is not to run for ever, and the last end was its aim (code 0)."""
    failures: int = 0
    """Ends of its own with another code, in short succession; counted where they have a bound."""
    failed: bool = False
    """It is not started again: ``restart`` says that this failure was the last."""
    without_data: bool = False
    """It ended last without having been started: the volumes that it served with are not there."""
    joined: bool = False
    """Others of its service had data already when it was declared."""
    taken_back: bool = False
    """It began at its place with volumes of before: its service was installed again within the grace, or a person gave
    it back what had been set aside."""
    took: int = 0
    """The set of volumes that it has taken back at its present place; 0: none that had been set aside."""
    portable: bool = False
    """Nothing binds it to its node: a drain moves it, and does not hold it."""
    two_at_once: bool = False
    """Two of it may run at the same time: who brings it up elsewhere does that before what runs is ended."""
    leaving: Leaving | None = None
    started: bool = False
    """It was asked to run; from then on the ledger keeps it running."""
    hooks: bool = False
    """Its service has something to do once an incarnation is ready, and says when that is done: only then it counts."""
    back: int = 0
    """The highest incarnation of which the service said so."""
    initialised: bool = False
    """It was ready once: starting it again takes nothing away from anybody."""
    node: str = ""
    """Where it was seen last."""
    by: str = ""
    """The operation that made the current incarnation necessary; empty after a plain launch."""
    restart: Restart = "always"
    restarts_max: int = 0
    """Of ``on-failure``."""
    start_timeout_s: float = 300.0
    grace_s: float = 30.0
    counts: bool = True
    """For the service's minimum."""
    removed: Mark | None = None
    """A tombstone: it keeps the numbers from being used twice, and says until when volumes can be taken back."""
    volumes_until_wall_s: float = 0.0
    """The end of that; also of what a job at its end has left. The one clock and the one owner of this grace: whoever
    keeps the volumes is told."""
    version: int = 0

    @property
    def key(self) -> str:
        return f"{self.service}.{self.name}"

    @property
    def task(self) -> str:
        return f"{self.service}.{self.name}.{self.incarnation}"

    @property
    def reserved_place(self) -> int:
        """The place that is its own; the next one is held beside it while two of it run."""
        return self.place if self.leaving is None else self.leaving.place

    @property
    def next_generation(self) -> int:
        """What its next incarnation gets."""
        return self.target or self.generation

    @property
    def behind(self) -> bool:
        """An update has not come to it: something newer is declared than what its next incarnation gets."""
        return self.next_generation != self.generation

    @property
    def at_its_end(self) -> bool:
        """It ran its course, well or not: nobody waits for it, and only a person's wish starts it again."""
        return self.finished or self.failed

    @property
    def role(self) -> Role:
        """Founding, joining or replacing: what its expert is told, for a place number says nothing of the others."""
        return "replacing" if self.place > self.first_place else "joining" if self.joined else "founding"

    @property
    def has_data(self) -> bool:
        """It was launched at its present place."""
        return self.incarnation > self.starts_before

    @property
    def over(self) -> bool:
        """The current incarnation is known to have ended (or there was none yet)."""
        return self.ended >= self.incarnation


class Operation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="operation"):
    id: str
    kind: Kind
    class_: Class = msgspec.field(name="class")
    target: Target
    reason: str
    asked_by: str
    state: State = "open"
    key_given: str = ""
    """Idempotency key of who proposed it."""
    origin: Origin = "ours"
    foreign_id: str = ""
    """The substrate's name for a disruption that somebody else began."""
    parent: str = ""
    firmness: Firmness = "enforced"
    impact: str = ""
    """Which data survives, in words."""
    deadline_wall_s: float | None = None
    """The end of its window."""
    on_deadline: OnDeadline | None = None
    """What happens then; ``None`` on a drain: each service's default holds for the stops below it."""
    takes: int = 0
    """The set of volumes, by its number, that was set aside and that the member takes back at its next place; 0: that
    place begins empty."""
    revision: int = 0
    """A change (update, upgrade, scale_out, grow, shrink): the revision that it brings. Finalize: the one whose version
    it is about."""
    in_window: bool = False
    """It begins, and goes on, within its service's maintenance windows alone, until a person resumes or forces it."""
    removes_node: bool = False
    """Maintenance: the node does not come back, so its members are placed elsewhere."""
    given_back: tuple[str, ...] = ()
    """Maintenance of several nodes: those that are out of it again, while it goes on for the others."""
    choice: Choice = ""
    """How a lost member comes back, decided at the begin."""
    proposed_wall_s: float = 0.0
    since_wall_s: float = 0.0
    """When it came into its present state."""
    forced: Mark | None = None
    paused: Mark | None = None
    """By a person; of one ``in_window``: by its window, where ``paused.who`` is :data:`WINDOW`."""
    cancelled: Mark | None = None
    lifted: Mark | None = None
    alerted: bool = False
    """A person was told that it is stuck; once is enough."""
    prepared: bool = False
    """It has begun, and its service said that all is done that comes before the end (``before_stop``)."""
    over_consent: bool = False
    """Its window (or notice) was over at the begin: it went ahead without the service's acceptance."""
    outcome: str = ""
    version: int = 0

    @property
    def key(self) -> str:
        return self.id

    @property
    def number(self) -> int:
        return int(self.id.removeprefix("op-"))

    @property
    def nodes(self) -> tuple[str, ...]:
        """Of a maintenance: the node that it is of, or those of several that were not given back."""
        target = self.target
        if target.service:
            return ()
        named = target.nodes or ((target.node,) if target.node else ())
        return tuple(node for node in named if node not in self.given_back) if self.given_back else named

    @property
    def seen(self) -> bool:
        """A loss: nobody asked for it."""
        return self.kind == "lost" and self.class_ == "involuntary"

    @property
    def live(self) -> bool:
        return self.state in ("open", "preparing", "executing")

    def words(self) -> str:
        """``stop of log.broker-2.7``, ``loss of log.broker-2.7``, ``uninstall of log``, ``removal of node-2``."""
        noun = "removal" if self.removes_node else "loss" if self.kind == "lost" else self.kind
        # An uninstall freezes its members when it begins; it is the service's all the same.
        return f"{noun} of {self.target.service if self.kind == 'uninstall' else self.target.words()}"

    @property
    def begun(self) -> bool:
        """It takes away what it touches, from now until it is over."""
        return self.state in ("preparing", "executing")


class Way(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a person can do about an operation that waits."""

    does: str
    """In words: ``give orders a second copy``."""
    command: str = ""
    """How, where one command does it."""
    costs: str = ""
    """What it costs, or puts at risk."""


class Given(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer as it was recorded. Times are monotonic, of this start of the master."""

    verdict: Verdict
    at_s: float
    until_s: float
    """Accept: valid until. All others: asked again at."""
    reason: str = ""
    progress: float | None = None
    counts_on: tuple[str, ...] = ()
    """Tasks that must stay as they are for the acceptance to hold."""
    waiting_helps: bool = True
    """False: the reason will not pass by itself; somebody has to do something."""
    would_help: tuple[Way, ...] = ()
    """What, as its service knows."""
    by_system: bool = False
    """The system's own word: its service was not asked."""


class ConsentRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="consent"):
    service: str
    epoch: Epoch
    answers: dict[str, Given] = {}
    version: int = 0

    @property
    def key(self) -> str:
        return self.service


Record: TypeAlias = ServiceRecord | MemberRecord | Operation | ConsentRecord


class Put(msgspec.Struct, frozen=True, tag="put"):
    """Write this record; its ``version`` is one above the stored one."""

    record: Record


class Delete(msgspec.Struct, frozen=True, tag="delete"):
    kind: str
    key: str


RecordChange: TypeAlias = Put | Delete


class NewerFormat(ValueError):
    """A record was written by a newer release."""


class _Framed(msgspec.Struct, frozen=True):
    format: int
    record: Record


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[_Framed] = msgspec.json.Decoder(_Framed)
_format_decoder: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def kind_of(record: Record) -> str:
    """The tag under which a store files it: ``service``, ``member``, ``operation``, ``consent``."""
    return str(record.__struct_config__.tag)


def encode(record: Record) -> bytes:
    return _encoder.encode(_Framed(FORMAT, record))


def decode(data: bytes) -> Record:
    found = int(bytes(_format_decoder.decode(data).get("format", msgspec.Raw(b"0"))))
    if found != FORMAT:
        raise NewerFormat(
            f"record has format {found}; this release reads format {FORMAT}: use the release that wrote it"
        )
    return _decoder.decode(data).record
