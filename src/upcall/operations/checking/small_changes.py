"""A change of the small service: what its plan does next, as the SDK's does, and what no member may get too early.

Revision n is declared with generation n. The second says something else than the first; the third goes back to what
the first said. What is not ready is the canary, else the first by name; the next follows when the one before is ready.
"""

from collections.abc import Iterator
from typing import Final

from upcall.operations import inputs as given
from upcall.operations.checking.small_world import MEMBERS, SERVICE, State, declaration
from upcall.operations.records import MemberRecord, Operation
from upcall.operations.table import CHANGES, KINDS, ONE_AT_A_TIME

UPDATE: Final = given.Propose(kind="update", asked_by="ann", service=SERVICE, revision=2)
ROLLBACK: Final = given.Propose(kind="update", asked_by="bob", service=SERVICE, revision=3, instead=True)
UPDATE_INSTEAD: Final = given.Propose(kind="update", asked_by="bob", service=SERVICE, revision=2, instead=True)
GROW: Final = given.Propose(kind="grow", asked_by="ann", service=SERVICE, revision=2)
SHRINK: Final = given.Propose(kind="shrink", asked_by="bob", service=SERVICE, revision=3, instead=True)
SCALE_OUT: Final = given.Propose(kind="scale_out", asked_by="ann", service=SERVICE, revision=2)
FINALIZE: Final = given.Propose(kind="finalize", asked_by="ann", service=SERVICE)
BAD: Final = 2
"""The generation that never becomes ready, where there is one."""


def too_early(state: State, wish: given.Input) -> bool:
    """Revisions are numbered as they are asked for."""
    number = getattr(wish, "revision", 0)
    return any(0 < getattr(other, "revision", 0) < number for other in state.budget.wishes)


def plan(state: State) -> Iterator[tuple[str, given.Input]]:
    """What the service does for its change: the next thing, or what is to be decided of a canary."""
    begun = [o for o in state.ledger.operations() if o.kind in ONE_AT_A_TIME and o.state == "executing"]
    final = next((o for o in begun if o.kind == "finalize" and o.paused is None), None)
    if final is not None:
        yield f"{final.id} is done", given.Confirm(service=SERVICE, operation=final.id)
    change = next((o for o in begun if o.kind in CHANGES), None)
    if change is None or change.paused is not None:
        return
    records = [state.ledger.book.members[f"{SERVICE}.{name}"] for name in MEMBERS]
    if any(record.revision != change.revision for record in records):
        yield f"revision {change.revision} is declared", _declared(state, change, records)
        return
    failed = next((r for r in records if not r.behind and state.broken(r.name)), None)
    if failed is not None:
        yield f"{change.id} goes no further", given.PlanFailed(service=SERVICE, operation=change.id, reason="no")
        return
    behind = sorted((r for r in records if r.behind), key=lambda r: (_ready(state, r), r.name))
    if not behind:
        yield f"{change.id} is done", given.Confirm(service=SERVICE, operation=change.id)
    elif not state.ledger.book.children(change) and all(
        r.behind or _ready(state, r) or _held(state, r) for r in records
    ):
        yield from _turn(state, change, behind[0])


def _declared(state: State, change: Operation, records: list[MemberRecord]) -> given.Input:
    def same_as(record: MemberRecord) -> int:
        target = record.next_generation
        return target if (target == BAD) == (change.revision == BAD) else 0

    declared = tuple(
        declaration(state.budget, record.name, generation=change.revision, same_as=same_as(record))
        for record in records
    )
    return given.DeclareMembers(service=SERVICE, revision=change.revision, members=declared)


def _turn(state: State, change: Operation, member: MemberRecord) -> Iterator[tuple[str, given.Input]]:
    if _held(state, member):
        yield f"{member.name} takes it over", given.Retarget(service=SERVICE, members=(member.name,))
        return
    book = state.ledger.book
    comes_back = any(KINDS[o.kind].shape == "back" for o in book.live_on(member))
    if not member.over or comes_back:
        step = given.Propose(
            kind="restart", asked_by=SERVICE, scope=SERVICE, service=SERVICE, members=(member.name,), parent=change.id
        )
        yield f"the turn of {member.name}", step


def _ready(state: State, member: MemberRecord) -> bool:
    return state.ledger.book.ready(member)


def _held(state: State, member: MemberRecord) -> bool:
    return any(view.name == member.name and view.status == "held" for view in state.ledger.members(SERVICE))
