"""Where a rollback goes, for whoever does not say.

To the last revision before the present one that was *good*: it was carried out to its end, says otherwise than the
present one, and nobody has gone back from it. What failed or was cancelled never was good; what somebody went back from
was found to be bad by a person, however well it was carried out.

So a rollback that is asked for twice goes nowhere the second time: there is nothing newer to go back from. What lies
further back, a person names (``--to N``).
"""

from typing import Final

from upcall.master import history
from upcall.master import records as r
from upcall.master.core import Core
from upcall.master.state import Service
from upcall.operations.table import CHANGES
from upcall.protocol.errors import Conflict, NotFound
from upcall.protocol.nearest import choice

NAMED_MAX: Final = 10


def where(core: Core, service: Service, number: int) -> r.RevisionRecord:
    """The revision of this number, or (0) the last good one before the present one."""
    name = service.record.name
    if number:
        found = service.revisions.get(number)
        if found is None:
            known = choice(map(str, sorted(service.revisions)), "")
            raise NotFound(f"{name} has no revision {number}", where="back_to", expected=known)
        return found
    _nothing_else_is_under_way(core, service)
    present = history.stands(service)
    good = _good_before(service)
    if present.back_to and present.outcome == "done":
        raise Conflict(
            f"revision {present.number} of {name} stands, which is revision {present.back_to} again:"
            " there is nothing newer to go back from",
            where="back_to",
            expected=_named(name, good),
        )
    if good:
        return good[0]
    raise Conflict(
        f"{name} has no earlier revision to go back to",
        where="back_to",
        expected="one that was carried out to its end, says otherwise than the one that stands, and was not gone back"
        f" from (`upcall service history {name}` lists its revisions, `upcall rollback {name} --to N` goes to any)",
    )


def left_in(service: Service, number: int) -> int:
    """The rollback by which this revision was gone back from; 0: none. One that was cancelled takes that back."""
    by = (each for each in service.revisions.values() if each.back_to and each.before == number)
    return max((each.number for each in by if each.began_at and each.outcome != "cancelled"), default=0)


def _good_before(service: Service) -> list[r.RevisionRecord]:
    """The newest first."""
    present = history.stands(service)
    earlier = (each for number, each in sorted(service.revisions.items(), reverse=True) if number < present.number)
    return [
        each
        for each in earlier
        if each.outcome == "done"
        and history.wants(each) != history.wants(present)
        and not left_in(service, each.number)
    ]


def _nothing_else_is_under_way(core: Core, service: Service) -> None:
    """A rollback asked for twice is one. And a change that has not begun is taken back by itself: what stands is what
    was there before it, and to go back from that is another wish."""
    name = service.record.name
    for operation in core.state.ledger.live(name):
        if operation.kind not in CHANGES:
            continue
        brings = service.revisions.get(operation.revision)
        if brings is not None and brings.back_to:
            raise Conflict(
                f"{name} is going back to revision {brings.back_to} already ({operation.id})",
                where="back_to",
                expected=f"`upcall why {operation.id}` says how far it is; " + _named(name, _good_before(service)),
            )
        if not operation.begun:
            raise Conflict(
                f"the {operation.kind} of {name} to revision {operation.revision} ({operation.id}) has not begun:"
                f" revision {service.record.revision} stands",
                where="back_to",
                expected=f"`upcall operation cancel {operation.id}` takes it back; `upcall rollback {name} --to N` goes"
                " to an earlier revision instead",
            )


def _named(name: str, good: list[r.RevisionRecord]) -> str:
    numbers = ", ".join(str(each.number) for each in good[:NAMED_MAX])
    more = " ..." if len(good) > NAMED_MAX else ""
    to = f"`upcall rollback {name} --to N` goes to any"
    return f"{to}; earlier good ones: {numbers}{more}" if numbers else f"{to} (there is no earlier good one)"
