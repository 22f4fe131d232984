"""Following services until they are deployed: used by every ``install``, by platform files and by the demo.

A service is *deployed* when its deploy plan is done and its members are ready (a plan stays done through ``down`` and
``up``, after which they start anew), *blocked* when it has said so for a while (a reason may pass by itself: a node
that registers, a port that gets free), and *failed* when its plan gave up. What is looked at is the whole present
state, whenever the event stream tells of a change; a master that restarts meanwhile costs nothing.

What cannot be deployed is taken away again, with all else that the same command began: a mistake leaves nothing
behind. There is one exception: once a process of it ran, its output says what is wrong, so the service stays.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from upcall.cli.event_stream import EventStream
from upcall.cli.output import SECONDS, duration
from upcall.cli.session import Session
from upcall.client import paths
from upcall.protocol.errors import Conflict, DoesNotFit, NotFound, UpcallError
from upcall.protocol.operator import Ask, Install, ServiceView

if TYPE_CHECKING:
    from rich.console import RenderableType

REFRESH_S: Final = 5.0
"""So often it is looked at unasked: some reasons change, and patience ends, with time alone."""
PATIENCE_S: Final = 60.0
BLOCKED_GRACE_S: Final = 5.0
NO_HOST_GRACE_S: Final = 45.0
RECOVERING_GRACE_S: Final = 15.0
"""Of a member that ends again and again; the try that is under way then is waited for (:data:`DEGRADED_GRACE_S`)."""
DEGRADED_GRACE_S: Final = 300.0
"""Since the last member of it that got ready: as long as one may take to start."""
GRACE_S: Final = {
    "blocked": BLOCKED_GRACE_S,
    "no host": NO_HOST_GRACE_S,
    "recovering": RECOVERING_GRACE_S,
    "degraded": DEGRADED_GRACE_S,
}
"""For how long a service may be so before it is given up on."""
STEPS_SHOWN: Final = 6
NAMES_SHOWN: Final = 3
LINE_CHARS_MAX: Final = 200
DONE: Final = frozenset({"done", "forced"})
TRIED: Final = frozenset({"placed", "fetching", "starting", "running"})
"""A member that is so may be ready in a moment."""
RESTS: Final = frozenset({"ready", "finished", "held", "failed"})
RAN: Final = frozenset({"running", "ready", "unready", "ending", "finished"})
TAKE_BACK_TIMEOUT_S: Final = 60.0
PLACED_TIMEOUT_S: Final = 5.0
PLACED_SETTLE_S: Final = 0.05


@dataclass
class Watched:
    """One service on its way."""

    name: str
    began: float
    view: ServiceView | None = None
    blocked_since: float | None = None
    took_s: float | None = None
    problem: str = ""
    ran: bool = False
    """A process of it was started: there is something to look at."""
    said: set[str] = field(default_factory=set)

    @property
    def ended(self) -> bool:
        return self.took_s is not None or bool(self.problem)


def look(one: Watched, view: ServiceView, now: float, tried_for_s: float = 0.0) -> None:
    """Judge a service by how it is now. ``tried_for_s``: for so long at least a member may end and be started again."""
    if one.view is not None and view.ready != one.view.ready:
        one.blocked_since = None
    one.view = view
    one.ran = one.ran or any(task.state in RAN or task.exit_code is not None for task in view.members)
    plan = plan_named(view, "deploy")
    state = plan.get("state", "") if plan else ""
    if _is_deployed(view, plan):
        one.took_s = now - one.began
        return
    if state == "failed":
        one.problem = str(plan.get("reason") or view.reason or "its deploy plan failed") if plan else "failed"
        return
    if failed := _failed_for_good(view):
        one.problem = failed
        return
    grace = GRACE_S.get(view.state)
    if grace is None:
        one.blocked_since = None
        return
    one.blocked_since = now if one.blocked_since is None else one.blocked_since
    if view.state == "recovering":
        under_way = any(member.state in TRIED for member in view.members)
        grace = max(DEGRADED_GRACE_S if under_way else grace, tried_for_s)
    if now - one.blocked_since >= grace:
        one.problem = view.reason or f"it is {view.state}"


def _failed_for_good(view: ServiceView) -> str:
    """Why it never gets there: too few are ready, nobody is on the way, and one has failed: it is not started again."""
    rests = all(member.state in RESTS for member in view.members)
    failed = next((member for member in view.members if member.state == "failed"), None)
    if view.state != "degraded" or not rests or failed is None:
        return ""
    return f"{failed.name} failed: {failed.reason}"


def _named(view: ServiceView | None) -> str:
    """The member that a person looks at first: one that failed, one that has ended, one that is not there."""
    found = [member for member in (view.members if view is not None else ()) if member.state not in RESTS - {"failed"}]
    found.sort(key=lambda member: (member.state != "failed", not member.last_lines, member.exit_code is None))
    return found[0].member if found else ""


def is_deployed(view: ServiceView) -> bool:
    return _is_deployed(view, plan_named(view, "deploy"))


def state_words(view: ServiceView) -> str:
    """How a service that is not deployed is now."""
    return f"{view.name} is {view.state}" + (f": {view.reason}" if view.reason else "")


def _is_deployed(view: ServiceView, plan: dict[str, Any] | None) -> bool:
    """A member that a drain holds is waited for by nobody here; nor is one whose step a person took for done."""
    if plan is None:
        return view.state == "running" and 0 < view.wanted <= view.ready
    if plan.get("state") not in DONE or view.state not in ("running", "degraded"):
        return False
    held = sum(member.state == "held" for member in view.members)
    forced = any(state == "forced" for _, _, state, _ in steps_of(view))
    return forced or view.ready + held >= view.wanted


def plan_named(view: ServiceView, name: str) -> dict[str, Any] | None:
    return next((one for one in view.plans if one.get("name") == name), None)


def steps_of(view: ServiceView) -> list[tuple[str, str, str, str]]:
    """(phase, step, state, reason) of the deploy plan."""
    plan = plan_named(view, "deploy") or {}
    return [
        (phase.get("name", ""), step.get("name", ""), step.get("state", ""), step.get("reason", ""))
        for phase in plan.get("phases", ())
        for step in phase.get("steps", ())
    ]


@dataclass
class Begun:
    """What a command asked for: all its services, and the names of those that were not there before."""

    services: list[ServiceView] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def post_all(session: Session, requests: Sequence[Install]) -> Begun:
    """Install them all or none: when one is refused, those that this call began are taken away again."""
    result = Begun()
    posting = ""
    try:
        with ExitStack() as stack:
            event_stream: EventStream | None = None
            for request in requests:
                posting = request.name
                result.services.append(ServiceView.model_validate(session.client.post("/v1/services", request)))
                result.names.append(request.name)
                posting = ""
                if request is not requests[-1]:
                    event_stream = event_stream or stack.enter_context(
                        EventStream(session.client, settle_s=PLACED_SETTLE_S)
                    )
                    _until_placed(session, request.name, event_stream)
    except BaseException as error:
        # Interrupted in the middle of a call, it is not known whether that call came through.
        unsure = [posting] if posting and not isinstance(error, UpcallError) else []
        take_back(session, [*result.names, *unsure], "the command did not succeed")
        raise
    return result


def _until_placed(session: Session, name: str, event_stream: EventStream) -> None:
    """Places are given in the order of the file: what is hard to place (members apart from each other) comes first
    there, and finds the nodes still empty. One that waits for room, or for its code, holds up nobody for long."""
    until = time.monotonic() + PLACED_TIMEOUT_S
    while (left_s := until - time.monotonic()) > 0:
        service = session.client.service(name)
        if service.members and all(member.node for member in service.members):
            return
        if service.state == "blocked":
            return
        event_stream.wait(left_s)


def take_back(session: Session, names: Sequence[str], reason: str) -> None:
    """Uninstall what this command began, the last first."""
    if not names:
        return
    with EventStream(session.client) as event_stream:
        for name in reversed(names):
            try:
                session.client.post(paths.of("services", name, "uninstall"), Ask(reason=reason, force=True))
                _until_gone(session, name, event_stream)
            except NotFound:
                continue
            except UpcallError as error:
                session.out.note(f"{name} stays: {error}")
            else:
                session.out.note(f"{name} is taken away again")


def _until_gone(session: Session, name: str, event_stream: EventStream) -> None:
    until = time.monotonic() + TAKE_BACK_TIMEOUT_S
    while any(one.name == name for one in session.client.services()):
        if time.monotonic() > until:
            raise Conflict(f"not gone after {TAKE_BACK_TIMEOUT_S:g} s", where=f"service {name}")
        event_stream.wait(REFRESH_S)


def follow(
    session: Session,
    names: Iterable[str],
    begun: Sequence[str] = (),
    deployed: Callable[[str], None] = lambda _: None,
    tried_for_s: float = 0.0,
) -> list[Watched]:
    """Until all are deployed; the first that cannot be ends it with its reason, and what this command had ``begun`` is
    taken away again. ``deployed`` is called for each. Of those that were there and ready nothing is said. For
    ``tried_for_s`` at least nobody is given up who ends and is started again."""
    began = time.monotonic()
    first_look = True
    watched = [Watched(name, began) for name in names]
    with session.out.progress() as progress, EventStream(session.client) as event_stream:

        def draw() -> None:
            progress.show(lambda: picture(watched), [line for one in watched for line in changes(one)])

        while True:
            for one in [one for one in watched if not one.ended]:
                view = session.client.patient(lambda name=one.name: session.client.service(name), PATIENCE_S)  # type: ignore[misc]
                look(one, view, time.monotonic(), tried_for_s)
                if first_look and one.name not in begun:
                    changes(one, was_so=True)
            draw()
            for one in watched:
                if one.problem:
                    raise _cannot_be(session, one, begun)
                if one.ended and "deployed" not in one.said:
                    one.said.add("deployed")
                    if one.name in begun:
                        progress.line(f"{one.name}: deployed after {duration(one.took_s or 0)}")
                    elif not first_look:
                        progress.line(f"{one.name}: ready after {duration(one.took_s or 0)}")
                    deployed(one.name)
            first_look = False
            if all(one.ended for one in watched):
                return watched
            event_stream.wait(REFRESH_S, draw)


def _cannot_be(session: Session, one: Watched, begun: Sequence[str]) -> UpcallError:
    state = one.view.state if one.view is not None and one.view.state in GRACE_S else "blocked"
    where, message = f"service {one.name}", f"{one.name} is {state}: {one.problem}"
    if one.ran or one.name not in begun:
        return Conflict(message, where=where, expected=cure_of(one))
    take_back(session, begun, "it could not be deployed")
    plan = plan_named(one.view, "deploy") if one.view is not None else None
    if plan is not None and plan.get("state") == "failed" and not plan.get("phases"):
        # Its code raised before it could say which members it wants: no room and no node would help.
        mended = f"that its code says what it wants (`upcall logs --host {one.name}`); then again"
        return Conflict(message, where=where, expected=mended)
    if ended := next((one.member for one in (one.view.members if one.view else ()) if one.last_lines), ""):
        mended = f"a cure (`upcall why {ended}` and `upcall logs {ended}` say how it ended, for a week); then again"
        return Conflict(message, where=where, expected=mended)
    return DoesNotFit(message, where=where, expected="what fits (options, `upcall node add`), or a cure; then again")


def cure_of(one: Watched) -> str:
    """What a person does about a service that stays as it is."""
    named = _named(one.view)
    logs = f"`upcall logs {named}`" if named else f"`upcall logs --host {one.name}`"
    again = "it goes on by itself"
    if one.view is not None and _failed_for_good(one.view):
        again = f"`upcall task start {named}`"
    return f"a cure ({logs}), then {again}; or `upcall uninstall {one.name}`"


def until_ready(session: Session, views: Iterable[ServiceView], why: str) -> None:
    """Waits for services that are there and not ready (after an ``up`` all members start anew): before that they can
    answer nothing about what they hold. It says what it waits for, and ends as an install does: what is blocked, or has
    failed, is the answer."""
    if late := [view for view in views if not is_deployed(view)]:
        session.out.note(f"waiting until {why}: {'; '.join(map(state_words, late))}")
        follow(session, [view.name for view in late])


def changes(one: Watched, *, was_so: bool = False) -> list[str]:
    """What is new since the last look, for plain lines. ``was_so``: of a service that was there before, what was done
    before is no news of this command; where it is not deployed, what it waits for is."""
    if one.view is None:
        return []
    fresh: dict[tuple[str, str, str], list[str]] = {}
    shown = [step for step in steps_of(one.view) if step[2] != "pending"]
    for phase, step, state, reason in shown:
        words = _step(state, reason)
        key = f"{phase}/{step} {SECONDS.sub('', words)}"
        if (state in DONE or one.ended or not was_so) and key not in one.said:
            one.said.add(key)
            # Who waits for the same stands on one line; what is done is told of each.
            fresh.setdefault((phase, words, "" if state == "waiting" else step), []).append(step)
    lines = [f"{one.name}: {phase}/{_names(steps)} {words}" for (phase, words, _), steps in fresh.items()]
    # What a step says already is not said once more of the whole.
    if (
        one.view.reason
        and (one.ended or not was_so)
        and not any(
            one.view.reason in (reason, f"{phase} / {step}: {reason}") for phase, step, _, reason in shown if reason
        )
    ):
        # One that ends again and again, in the same way, is counted elsewhere.
        ends = f"{one.view.state} {sorted((each.name, each.exit_reason) for each in one.view.members)}"
        if one.view.state != "recovering" or one.ended or ends not in one.said:
            lines.append(f"{one.name}: {_now(one.view)}")
        one.said.add(ends)
    lines = [_cut(line) for line in lines]
    lines = [line for line in lines if line not in one.said]
    one.said.update(lines)
    return lines


def _names(steps: Sequence[str]) -> str:
    more = len(steps) - NAMES_SHOWN
    return ", ".join(steps[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _cut(line: str) -> str:
    """On the way nobody reads a page; what ends the wait is said whole."""
    return line if len(line) <= LINE_CHARS_MAX else f"{line[:LINE_CHARS_MAX].rstrip()} ... (`upcall why` says it whole)"


def _step(state: str, reason: str) -> str:
    return f"{state} ({reason})" if reason else state


def _now(view: ServiceView) -> str:
    """A service that has just been asked for has no host yet: that is how each begins."""
    return "its code is being started" if view.state == "no host" else f"{view.state}: {view.reason}"


def picture(watched: Sequence[Watched]) -> "RenderableType":
    """A bar for each service, and below it the steps that are at work."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    steps: list[Text] = []
    for one in watched:
        found = steps_of(one.view) if one.view else []
        done = sum(1 for _, _, state, _ in found if state in DONE)
        bar = ProgressBar(total=max(len(found), 1), completed=done, width=28, pulse=not found and not one.ended)
        seconds = one.took_s if one.took_s is not None else time.monotonic() - one.began
        words = "deployed" if one.ended else (one.view.state if one.view else "asked")
        colour = "green" if one.ended else "yellow"
        table.add_row(
            Text(one.name, "bold"), bar, f"{done}/{len(found)}", Text(words, colour), Text(duration(seconds), "dim")
        )
        if not one.ended:
            for phase, step, state, reason in found:
                if state not in ("pending", *DONE) and len(steps) < STEPS_SHOWN:
                    steps.append(Text(f"  {one.name}  {phase} / {step}: {_step(state, reason)}", "dim"))
            if one.view and one.view.reason:
                steps.append(Text(f"  {one.name}: {_now(one.view)}", "yellow"))
    return Group(table, *steps)
