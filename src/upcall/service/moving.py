"""How a member stands on its way to what it is to be: started for the first time, or changed by an update. Pure.

The steps of an update bring a member what it is told now: by a restart, which is proposed, or with its next start,
whenever that is. Whether a member has it already is the master's to say (its target is its newest declaration), so a
host that dies in the middle finds each member as far as it is.
"""

from typing import Final, Literal

from upcall.protocol.service import Member
from upcall.service.plan_inputs import Effect, Observed, ProposeLeave, ProposeRestart, Retarget
from upcall.service.steps import Leave, Restart, TakeOver

StepState = Literal["pending", "waiting", "running", "done", "failed", "paused", "forced"]
How = tuple[StepState, str]
"""The state of a step, and why."""

AWAY: Final = ("held", "finished", "failed", "wanted")
"""States of a member that does not run, and is to run only when somebody says so."""
ENDS_MAX: Final = 2
"""Ends in short succession, or starts, after which a member that was changed is not waited for any longer."""
_MOVED: Final = "moved:"


def there(step: Restart | TakeOver | Leave, path: str, world: Observed, marks: dict[str, str]) -> How | None:
    """The state of a step whose members have what they are told now, or are on their way to it; None: not yet."""
    if isinstance(step, Leave):
        if step.member in world.members:
            return None
        marks[path] = "done"
        return "done", ""
    names = step.members if isinstance(step, TakeOver) else (step.member,)
    found = [world.members[name] for name in names if name in world.members]
    if len(found) < len(names) or any(member.revision < world.revision for member in found):
        return "pending", "is being declared"
    if any(member.behind for member in found):
        return None
    if isinstance(step, Restart):
        member, settling = found[0], step.member in world.settling
        tried = member.generation == member.target_generation  # what ended before had something else
        if tried and (why := _stays_down(member, _counted_from(member, path, world.start, marks))):
            return "failed", why
        if member.state not in AWAY and (member.state != "ready" or settling):
            return started(member, settling=settling)
    marks[path] = "done"
    return "done", ""


def begins(step: Restart | TakeOver | Leave, key: str, world: Observed, effects: list[Effect]) -> How:
    """Its turn has come."""
    if isinstance(step, TakeOver):
        effects.append(Retarget(tuple(name for name in step.members if world.members[name].behind)))
        return "running", "they take it over with their next start"
    if why := world.refused.get(step.member):
        return "failed", why
    member = world.members[step.member]
    key = f"{key}/{world.revision}/{member.incarnation}"
    if isinstance(step, Leave):
        effects.append(ProposeLeave(step.member, key, f"revision {world.revision} has no {step.member}"))
    elif member.state in (*AWAY, "lost"):
        effects.append(Retarget((step.member,)))
        return "running", f"is {member.state}; it takes it over with its next start"
    else:
        effects.append(ProposeRestart(step.member, key, f"takes revision {world.revision} over"))
    return "waiting", world.asked.get(step.member, "is proposed")


def _counted_from(member: Member, path: str, start: str, marks: dict[str, str]) -> int:
    """The incarnation from which on its starts are counted: the first by the new declaration since the master started.
    With the whole system all members go down and come up again, which says nothing about what they were told."""
    first, _, counted_in = marks.get(path, "").removeprefix(_MOVED).partition("/")
    if not first or counted_in != start:
        first = str(member.incarnation)
        marks[path] = f"{_MOVED}{first}/{start}"
    return int(first)


def _stays_down(member: Member, first: int) -> str:
    """Why a member that was changed is not waited for any longer; ``first``: its first incarnation after that."""
    if member.state == "ready" or member.generation != member.target_generation:
        return ""
    again = member.incarnation - first
    ends = again > 0 and member.ended_times >= ENDS_MAX
    if not (ends or again >= ENDS_MAX or member.state == "failed"):
        return ""
    return f"{member.name} does not come up with it: {how_it_ended(member)}"


def how_it_ended(member: Member) -> str:
    """The last time: its exit code, and in its system's own words why."""
    code = "" if member.exit_code is None else f"ended with code {member.exit_code}"
    said = next((line.strip() for line in reversed(member.last_lines) if line.strip()), "")
    words = ": ".join(part for part in (code, member.exit_reason or said or member.reason) if part)
    return words or member.state


def started(member: Member, *, settling: bool) -> How:
    """A member that was started, and is not there yet."""
    if member.state == "held":
        return held(member)
    if member.state == "failed":
        return "failed", f"{member.name}: {member.reason}"
    if member.state == "ready" and settling:
        return "running", f"ready; {member.reason or 'what comes after it is being done'}"
    return on_its_way(member)


def held(member: Member) -> How:
    return "waiting", f"held: {member.reason}" if member.reason else "held by a drain"


def on_its_way(member: Member) -> How:
    """How a member stands that was started and is not ready. Where places are somebody else's to give, it may have
    none yet: then it waits, and what that scheduler says is the reason."""
    if member.state == "pending" and member.reason:
        return "waiting", member.reason
    state = "not ready yet" if member.state == "running" else member.state
    return "running", f"{state}: {member.reason}" if member.reason else state
