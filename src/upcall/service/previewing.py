"""What a revision would do, and what the service says to it now. Nothing follows from it.

Who would restart is said as the update itself will choose it (:mod:`upcall.service.course`): after a change that was
carried out to its end, by what differs between the options; after one that was not, and where other code comes, by what
each member runs, which the master knows.
"""

from collections.abc import Iterable

from upcall.protocol import service as wire
from upcall.protocol.errors import UpcallError
from upcall.service import course as courses
from upcall.service import wanted
from upcall.service.bases import base_of, options_of
from upcall.service.changing import between, named
from upcall.service.comparing import Comparison, NobodyKnows, compare, effects, with_options
from upcall.service.consent import Verdict
from upcall.service.course import Course
from upcall.service.options import validated
from upcall.service.proposed import Looked, looked_at, would_be
from upcall.service.service import Service
from upcall.service.stranger import asked, was_late
from upcall.service.trying import Refused
from upcall.service.while_running import sorted_out


async def preview(service: Service, revision: wire.Revision, last: Course | None = None) -> wire.Preview:
    """``last``: the change before it, as it is written down."""
    try:
        looked = await looked_at(service, revision, revision.kind)
    except Refused as refused:
        how = {} if revision.other_code else {one.name: str(service.how(one)) for one in _changes(service, revision)}
        why = refused.problem.message
        return wire.Preview(how=how, answer=f"decline: {why}", declined=why, unasked=True)
    found, unfinished = looked.found, last is not None and last.outcome != "done"
    verdict = await asked(service, would_be(revision.kind, revision=revision))
    declined = verdict.reason if verdict is not None and verdict.word == "decline" else ""
    unasked = verdict is not None and verdict.by_system
    how, causes = await looked.code.call(effects, looked.code.service, service.options, found) if found else ({}, {})
    over = await _since_all_were_alike(service, looked, last) if last is not None and unfinished else None
    shown = over or found
    if found is not None and not unfinished and not revision.other_code:
        restart, come, leave = found.differ, found.come, found.leave
    elif _is_known(service, looked, revision):
        restart, come, leave = await _by_what_they_run(service, looked, last if unfinished else None, over)
    else:
        restart, come, leave = _there(service), (), ()
    return wire.Preview(
        how=how,
        restart={name: _why(service, looked, revision, causes.get(name, "")) for name in restart},
        live=tuple(name for name in shown.wanted if name in shown.was) if shown is not None and shown.live else (),
        live_first=_told_first(service, shown) if shown is not None else "",
        come=come,
        leave=leave,
        answer=_words(verdict, service, revision.kind),
        declined=declined,
        unasked=unasked,
        next=await _first_step(looked.code.service, restart) if _is_known(service, looked, revision) else "",
    )


# -- who restarts ---------------------------------------------------------------------------------------------------


async def _by_what_they_run(
    service: Service, looked: Looked, last: Course | None, over: Comparison | None
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Who restarts, comes and leaves. ``last``: the change before it, where it was not carried out to its end;
    ``over``: what differs from what all members had before that."""
    there = _there(service)
    wish = await looked.code.call(_declared, with_options(looked.code.service, looked.update.options))
    others = await service._context.differ(wish)
    restart = tuple(name for name in there if name in others)
    if over is not None and last is not None:
        moved = _following(last, looked).moved
        restart = tuple(name for name in there if name in (others if name in moved else over.differ))
    come = tuple(name for name in wish.members if name not in there)
    return restart, come, tuple(name for name in there if name not in wish.members)


async def _since_all_were_alike(service: Service, looked: Looked, last: Course) -> Comparison | None:
    """With what all members had before the changes that were not carried out. None: nobody can say what that was."""
    base = base_of(service, last)
    if base is None or last.upgrade or looked.code.service is not service or looked.found is None:
        return None
    wish, tried = looked.update.options, options_of(service, last.options)
    names = [*last.touched, *(change.name for each in (base, tried) if each for change in between(each, wish))]
    try:
        return await looked.code.call(compare, service, base, wish, named(base, wish, names))
    except (NobodyKnows, Refused):
        return None


def _following(last: Course, looked: Looked) -> Course:
    number = looked.update.revision
    return courses.next_course(last, life=last.life, revision=number, was={}, options={}, upgrade=False)


def _declared(service: Service) -> wire.Declare:
    with service._context.one_look(wanted.checked(service)):
        return wanted.declared(service)


def _is_known(service: Service, looked: Looked, revision: wire.Revision) -> bool:
    """Whether the code that would come is here, and knows what it has to."""
    return looked.code.service is not service or (service._context.started and not revision.other_code)


def _there(service: Service) -> tuple[str, ...]:
    """Members that were started, as the master says: the code that runs need not know them."""
    return tuple(name for name, member in service._context.members.items() if member.starts > 0)


def _why(service: Service, looked: Looked, revision: wire.Revision, cause: str) -> str:
    if not _is_known(service, looked, revision):
        # The code that would come is not here to say where.
        return f"version {revision.version}, where that tells it something else"
    if not revision.other_code:
        return cause or "it runs something else"
    return ", ".join([f"version {revision.version}", *([cause] if cause else [])])


# -- in words -------------------------------------------------------------------------------------------------------


def _changes(service: Service, revision: wire.Revision) -> tuple:  # type: ignore[type-arg]
    try:
        return between(service.options, validated(service.Options, revision.options, where=service.name))
    except UpcallError:
        return ()


async def _first_step(service: Service, restart: Iterable[str]) -> str:
    names = set(restart)
    members = [member for member in service.members if member.name in names]
    if not members:
        return ""
    canary = service.canary(members)
    said = await asked(service, would_be("restart", canary.name, incarnation=canary.incarnation))
    return f"restart of {canary.name}: {_words(said, service, 'restart')}"


def _told_first(service: Service, found: Comparison) -> str:
    """Who would be told first what changes while members run; empty: nobody is told alone."""
    ready = [member for member in service.members if member.back and member.name in found.was]
    return service.canary(ready).name if ready and sorted_out(service, found.live).each else ""


def _words(verdict: Verdict | None, service: Service, kind: str) -> str:
    if verdict is None and was_late(service, would_be(kind)):
        return (
            f"no answer yet: it has not answered within {service.answer_timeout_s:g} s, as on a busy machine;"
            " nothing was changed, and asking again is harmless"
        )
    if verdict is None:
        return "no answer (`upcall logs --host` says why)"
    return f"{verdict.word}: {verdict.reason}" if verdict.reason else verdict.word
