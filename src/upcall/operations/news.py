"""What happened, as facts: who did what to which operation or task, from which state to which, by what.

The ledger emits facts and no sentences. A program reads a fact by its fields (the journal keeps them as
:attr:`News.data`), a person in the words of :mod:`upcall.operations.wording`; nobody has to take a sentence apart.
"""

from typing import Any, ClassVar, Literal

import msgspec

from upcall.operations.inputs import NodeState, TaskState
from upcall.operations.records import Epoch, Given, Operation, Verdict
from upcall.operations.table import State, Word

Kind = Literal["operation", "answer", "epoch", "task", "member", "service", "host", "node", "clock"]
Because = Literal["it ran out", "it was taken back", "it counted on what is gone", "the world is another one"]
"""Why an answer does not count any more."""


class News(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened. Each has the kind under which the journal files it, and what it is of."""

    kind: ClassVar[Kind]

    @property
    def subject(self) -> str:
        raise NotImplementedError

    @property
    def data(self) -> dict[str, Any]:
        """For programs: what it is about besides its subject, and what changed."""
        return {}


# -- operations -----------------------------------------------------------------------------------------------------


class OfOperation(News, frozen=True, kw_only=True):
    kind: ClassVar[Kind] = "operation"

    operation: Operation
    """As it was right after this."""

    @property
    def subject(self) -> str:
        return self.operation.id

    @property
    def data(self) -> dict[str, Any]:
        target = self.operation.target
        member = f"{target.service}.{target.members[0]}" if len(target.members) == 1 else ""
        what = {"kind": self.operation.kind, "removes_node": self.operation.removes_node or None}
        return {"service": target.service, "operation": self.operation.id, "member": member, **what}


class Proposed(OfOperation, frozen=True, kw_only=True, tag="proposed"):
    """It came into being."""

    @property
    def data(self) -> dict[str, Any]:
        one = self.operation
        asked = {"asked_by": one.asked_by, "reason": one.reason}
        return {**super().data, "class": one.class_, "to": one.state, "parent": one.parent, **asked}


class Moved(OfOperation, frozen=True, kw_only=True, tag="moved"):
    """From one state to the next, as the table has it."""

    before: State
    word: Word
    outcome: str = ""
    """Why, or what it came to."""

    @property
    def data(self) -> dict[str, Any]:
        one = self.operation
        moved = {"from": self.before, "to": one.state, "word": self.word, "outcome": self.outcome}
        return {**super().data, "class": one.class_, **moved}


class Overruled(OfOperation, frozen=True, kw_only=True, tag="overruled"):
    """A person changed its course."""

    how: Literal["forced", "paused", "resumed", "to be tried now"]
    who: str
    why: str = ""

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "how": self.how, "who": self.who, "why": self.why}


class Answered(OfOperation, frozen=True, kw_only=True, tag="answered"):
    kind: ClassVar[Kind] = "answer"

    given: Given

    @property
    def data(self) -> dict[str, Any]:
        """``for_s``: how long from now it is good, or until it is asked again."""
        one = self.given
        when = {"for_s": one.until_s - one.at_s, "waiting_helps": one.waiting_helps, "by_system": one.by_system}
        return {**super().data, "verdict": one.verdict, "reason": one.reason, "progress": one.progress, **when}


class AnswerVoid(OfOperation, frozen=True, kw_only=True, tag="answer_void"):
    """An answer does not count any more."""

    kind: ClassVar[Kind] = "answer"

    verdict: Verdict
    because: Because
    why: str = ""

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "void": self.verdict, "because": self.because, "why": self.why}


# -- tasks ----------------------------------------------------------------------------------------------------------


class OfTask(News, frozen=True, kw_only=True):
    kind: ClassVar[Kind] = "task"

    service: str
    member: str
    incarnation: int

    @property
    def member_id(self) -> str:
        return f"{self.service}.{self.member}"

    @property
    def subject(self) -> str:
        return f"{self.member_id}.{self.incarnation}"

    @property
    def data(self) -> dict[str, Any]:
        return {"service": self.service, "member": self.member_id}


class Launched(OfTask, frozen=True, kw_only=True, tag="launched"):
    by: str = ""
    """The operation that made it necessary; empty: it is wanted, and that is all."""
    place: int = 0
    """Where it is another one than before."""
    takes: int = 0
    """The set of volumes that was set aside, and that it takes back."""
    beside: int = 0
    """The incarnation that runs on until this one is back."""

    @property
    def data(self) -> dict[str, Any]:
        how = {"place": self.place or None, "takes": self.takes or None, "beside": self.beside or None}
        return {**super().data, "operation": self.by, **how}


class TaskSeen(OfTask, frozen=True, kw_only=True, tag="task_seen"):
    """In another state than before; its end is :class:`TaskEnded`."""

    state: TaskState
    before: TaskState | Literal[""] = ""
    """Empty: nothing was heard of it since the start of the master."""
    reason: str = ""
    node: str = ""

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "state": self.state, "from": self.before, "reason": self.reason, "node": self.node}


class TaskEnded(OfTask, frozen=True, kw_only=True, tag="task_ended"):
    how: str
    exit_code: int | None = None
    by: str = ""
    """The operation that ended it; empty: it ended by itself."""
    proof_for: str = ""
    """The loss that waited for the proof of it."""
    node: str = ""

    @property
    def data(self) -> dict[str, Any]:
        ended = {"state": "ended", "exit_code": self.exit_code, "reason": self.how, "node": self.node}
        return {**super().data, "operation": self.by or self.proof_for, "proof_for": self.proof_for, **ended}


class TaskUnknown(OfTask, frozen=True, kw_only=True, tag="task_unknown"):
    """Nothing on record ever launched it."""

    state: TaskState

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "state": self.state}


class TaskLeft(OfTask, frozen=True, kw_only=True, tag="task_left"):
    """What is left of an incarnation that was given up: it is ended."""

    state: TaskState
    given_up_by: str

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "operation": self.given_up_by, "state": self.state}


class OtherGeneration(OfTask, frozen=True, kw_only=True, tag="other_generation"):
    runs: int
    on_record: int

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "runs": self.runs, "on_record": self.on_record}


# -- members and services -------------------------------------------------------------------------------------------


class OfMember(News, frozen=True, kw_only=True):
    kind: ClassVar[Kind] = "member"

    service: str
    member: str

    @property
    def subject(self) -> str:
        return f"{self.service}.{self.member}"

    @property
    def data(self) -> dict[str, Any]:
        return {"service": self.service, "member": f"{self.service}.{self.member}"}


class MemberDeclared(OfMember, frozen=True, kw_only=True, tag="member_declared"):
    again: Literal["", "with fresh volumes", "with its volumes"] = ""
    """It was there in an earlier life of its service, or ran its course."""

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "again": self.again}


class MemberRetargeted(OfMember, frozen=True, kw_only=True, tag="member_retargeted"):
    generation: int
    """What its next incarnation gets."""

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "generation": self.generation}


class MemberWithdrawn(OfMember, frozen=True, kw_only=True, tag="member_withdrawn"):
    launched: bool = False
    """It ran its course; else it was never launched."""

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "launched": self.launched}


class MemberReleased(OfMember, frozen=True, kw_only=True, tag="member_released"):
    by: str
    keep_volumes_s: float

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "operation": self.by, "keep_volumes_s": self.keep_volumes_s}


class AssumedDead(OfTask, frozen=True, kw_only=True, tag="assumed_dead"):
    """A person's word, against proof."""

    kind: ClassVar[Kind] = "member"

    operation: str
    how: str

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "operation": self.operation, "how": self.how}


class MemberBack(OfTask, frozen=True, kw_only=True, tag="member_back"):
    """What its service does once it is ready is done; with an ``error`` it raised, and is called again."""

    kind: ClassVar[Kind] = "member"

    error: str = ""

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "back": not self.error, "error": self.error}


class OfService(News, frozen=True, kw_only=True):
    kind: ClassVar[Kind] = "service"

    service: str

    @property
    def subject(self) -> str:
        return self.service

    @property
    def data(self) -> dict[str, Any]:
        return {"service": self.service}


class ServiceDeclared(OfService, frozen=True, kw_only=True, tag="service_declared"):
    """It is there from now on."""


class EpochMoved(OfService, frozen=True, kw_only=True, tag="epoch_moved"):
    """What was answered about the world before is void, or counted anew."""

    kind: ClassVar[Kind] = "epoch"

    epoch: Epoch
    why: str

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "epoch": str(self.epoch), "why": self.why}


class HostChanged(OfService, frozen=True, kw_only=True, tag="host_changed"):
    """The host of its code subscribed, or went."""

    kind: ClassVar[Kind] = "host"

    subscribed: bool

    @property
    def data(self) -> dict[str, Any]:
        return {**super().data, "subscribed": self.subscribed}


# -- nodes and the clock ----------------------------------------------------------------------------------------------


class NodeChanged(News, frozen=True, kw_only=True, tag="node_changed"):
    kind: ClassVar[Kind] = "node"

    node: str
    state: NodeState
    reason: str = ""

    @property
    def subject(self) -> str:
        return self.node

    @property
    def data(self) -> dict[str, Any]:
        return {"state": self.state, "reason": self.reason}


class Slept(News, frozen=True, kw_only=True, tag="slept"):
    """The judge slept: every deadline starts anew."""

    kind: ClassVar[Kind] = "clock"

    slept_s: float

    @property
    def subject(self) -> str:
        return "clock"

    @property
    def data(self) -> dict[str, Any]:
        return {"slept_s": self.slept_s}
