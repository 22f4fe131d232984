"""A task has nearly filled what it may keep on disk, or holds more than that: told to people, once at each mark.

No operation follows from it. A limit that the file system does not hold is none that a restart would restore: the
member would come back as full as it went, and again. So its service and the people decide, with this in sight: an event
at 90 %, an alert beyond the bound, the reason of the task and of its service, `/metrics`.
"""

from upcall.master.open_turn import OpenTurn
from upcall.substrate import interface as sub


def observed(tx: OpenTurn, up: sub.Filling) -> None:
    known, member = tx.core.filling, up.task.member_id
    last = known.get(member)
    if last is not None and last.task.incarnation > up.task.incarnation:
        return  # what is left of one that was given up
    before = {one.volume: one for one in last.disks} if last else {}
    for one in up.disks:
        told = before.pop(one.volume, None)
        if told is None or one.over != told.over:
            _tell(tx, up.task, one, again=told is not None)
    if last is not None and last.task == up.task:
        for one in before.values():
            what = f"volume {one.volume}" if one.volume else "the sandbox"
            tx.event("disk", member, f"{what} has room again", service=up.task.service)
    if up.disks:
        known[member] = up
    else:
        known.pop(member, None)
    tx.dirty_members.add(up.task.service)


def _tell(tx: OpenTurn, task: sub.TaskId, one: sub.DiskUse, *, again: bool) -> None:
    member, service = task.member_id, task.service
    if not one.over:
        tx.event("disk", member, str(one) + (" again" if again else ""), service=service)
        return
    words = f"{one}; nothing ends it for that, and what it took is promised to nobody else"
    tx.event("alert", member, words, alert=True, service=service)
