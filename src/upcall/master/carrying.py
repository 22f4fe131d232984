"""What a change would take along of one that failed.

A revision that failed stands until the next one: its members have what they had, and its options are still those that
are wanted. So a change of something else would bring the value that failed once more, to members that it never reached
and to those that come: nobody asked for that. It is refused with the ways out. Who says another value for what failed,
or the same one again, or all options (a platform file), has said what he wants of it; and so has who goes back.
"""

from typing import Final

from upcall.master import history
from upcall.master import records as r
from upcall.master.state import Service
from upcall.protocol.errors import Conflict
from upcall.protocol.operator import Update
from upcall.protocol.options import flattened
from upcall.protocol.releases import released

NAMED_MAX: Final = 3
GOALS: Final = "goals"
"""The option of which others follow: who says another goal says all of them."""
Changes = dict[str, tuple[object, object]]


def last_good(service: Service) -> r.RevisionRecord | None:
    """The last revision that was carried out, before one that failed and stands; None: the one that stands did not
    fail, or nothing is known of what was before it."""
    stands = history.stands(service)
    if stands.outcome != "failed":
        return None
    done = [number for number, one in service.revisions.items() if number < stands.number and one.outcome == "done"]
    return service.revisions[max(done)] if done else None


def must_not_go_along(service: Service, asked: Update, wanted: r.RevisionRecord, failed: Changes, now: Changes) -> None:
    """``failed``: what the change that failed was to bring; ``now``: what this one is to bring. Both are compared with
    the last one that was carried out."""
    stands = history.stands(service)
    if asked.back_to is not None or asked.options is not None:
        return
    if wanted.version != stands.version and released(wanted.version) == released(stands.version):
        return  # An own service's edited files: they may be what puts it right.
    said = {name for name, _ in flattened(asked.set)} | set(asked.set) | set(asked.unset)
    if any(name.partition(".")[0] == GOALS for name in said):
        said |= wanted.derived.keys()
    along = [
        f"{name}={pair[1]}" if pair[1] is not None else f"no {name}"
        for name, pair in failed.items()
        if now.get(name) == pair and name not in said and name.partition(".")[0] not in asked.unset
    ]
    good = last_good(service)
    if good is not None and stands.version != good.version and wanted.version == stands.version and not asked.version:
        along.insert(0, f"version {stands.version}")
    if not along:
        return
    more = f" and {len(along) - NAMED_MAX} more" if len(along) > NAMED_MAX else ""
    raise Conflict(
        f"the change to revision {stands.number} has failed, and this one would take along what it was to bring:"
        f" {', '.join(along[:NAMED_MAX])}{more}",
        where=stands.service,
        expected=f"`upcall rollback {stands.service}` first; or with this change another value for it, or the same one"
        " to try it once more",
    )
