"""The plan engine: pure. What comes next, from what is observed and what was written down.

A plan is phases, one after the other, of steps, serial or parallel (:mod:`upcall.service.steps`). It is
level-triggered: each input makes the whole state anew from the members as observed, the marks (which steps are over
for good, kept in the service's key-value space) and the attempts of this process. So a host that starts again needs
nothing but the marks, and cannot launch twice what is there already.

States of a step ::

    pending    its turn has not come
    waiting    its turn, but something is missing: a place for every member of the plan, or for this one, the next try,
               a drain's end
    running    started, not yet ready; or its coroutine runs
    done       for good: a member that falls later is recovery's business
    failed     all attempts of its coroutine were used up; a person restarts or forces it
    paused     a person paused it, its phase or the plan before it began; what has begun goes on
    forced     a person said that it is to count as done

Rules. All members of the plan have a place before the first starts, so a plan that does not fit starts nothing (where
somebody else places, nobody can promise that: a member gets its place when it is launched, or waits for it). Members
that were started before need no turn: starting them again takes nothing away, and a quorum that is down forms only
together. To restart a step that started a member takes that member away, so it is a proposal, never done here.

The plan of an update (:mod:`upcall.service.course`) has steps that bring a member what it is told now: by a restart,
which is proposed, or with its next start, whenever that is. Whether a member has it already is the master's to say (its
target is its newest declaration), so a host that dies in the middle finds each member as far as it is. A member that
does not come up with it fails its step, and with that the plan.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from upcall.protocol.errors import Invalid, NotFound
from upcall.protocol.service import Member, PhaseView, PlanView, StepView
from upcall.service import moving
from upcall.service.moving import StepState, started
from upcall.service.plan_inputs import (
    Control,
    Effect,
    Input,
    Keep,
    Observed,
    ProposeRestart,
    RunStep,
    StartMember,
    StepEnded,
    StepSaid,
)
from upcall.service.steps import Do, Phase, Restart, Start, Step

OVER: Final = ("done", "forced")
BACKOFF_MAX_S: Final = 30.0
"""Between two attempts of a step: often what it needs is a system that is still starting."""


# -- state ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """The coroutine of a step in this process."""

    number: int
    running: bool
    retry_at_s: float = 0.0
    error: str = ""
    early: bool = False
    """Nothing is wrong with it: it was too early."""
    said: str = ""
    """How far it is."""
    gave_up: bool = False
    """It was not the number of attempts that ended it: another one would fail as well."""


@dataclass(frozen=True)
class Seen:
    """State of a step as last derived."""

    state: StepState
    reason: str
    since_s: float


@dataclass(frozen=True)
class Plan:
    """One plan. Immutable: :meth:`handle` gives the next one, and what to do."""

    name: str
    phases: tuple[Phase, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)
    """Path of a step -> ``done``, ``forced``, ``after:7`` (over when an incarnation after 7 is ready), or
    ``moved:7/12`` (it was restarted, as incarnation 7 or one before it, seen so in the master's start 12). Durable."""
    paused: frozenset[str] = frozenset()
    """Paths that a person paused. Durable."""
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    steps: Mapping[str, Seen] = field(default_factory=dict)
    world: Observed = field(default_factory=lambda: Observed({}, 0.0))

    def handle(self, given: Input) -> tuple["Plan", tuple[Effect, ...]]:
        match given:
            case Observed():
                return replace(self, world=given)._advanced(given.at_s, kept=False)
            case StepEnded():
                return self._ended(given)
            case StepSaid():
                return self._said(given)
            case Control():
                return self._controlled(given)

    def with_phases(self, phases: tuple[Phase, ...]) -> "Plan":
        """The same progress under a plan that was made anew (a new step simply has no mark yet)."""
        names = [phase.name for phase in phases]
        if len(set(names)) != len(names):
            raise Invalid(f"two phases have the same name: {', '.join(names)}", where=f"plan {self.name}")
        plan = replace(self, phases=phases)
        known = {path for path, _ in plan.paths()}
        return replace(plan, marks={path: mark for path, mark in self.marks.items() if path in known})

    # -- what it says -----------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        return all(self.marks.get(path) in OVER for path, _ in self.paths())

    @property
    def failure(self) -> str:
        """Why it goes no further by itself; empty: it does."""
        return next((seen.reason for seen in self.steps.values() if seen.state == "failed"), "")

    @property
    def deadline_s(self) -> float | None:
        """When it wants to be shown the world again at the latest."""
        waits = [attempt.retry_at_s for attempt in self.attempts.values() if not attempt.running and attempt.retry_at_s]
        return min(waits, default=None)

    def paths(self) -> Iterator[tuple[str, Step]]:
        for phase in self.phases:
            for step in phase.steps:
                yield f"{phase.name}/{step.name}", step

    def step_at(self, path: str) -> Step:
        for known, step in self.paths():
            if known == path:
                return step
        raise NotFound(f"plan {self.name} has no step {path!r}", expected=", ".join(known for known, _ in self.paths()))

    def view(self) -> PlanView:
        phases = []
        for phase in self.phases:
            seen = [(step, self.steps.get(f"{phase.name}/{step.name}", _UNSEEN)) for step in phase.steps]
            views = tuple(
                StepView(name=step.name, state=it.state, reason=it.reason, since=it.since_s) for step, it in seen
            )
            state = summary([view.state for view in views])
            phases.append(PhaseView(name=phase.name, strategy=phase.strategy, state=state, steps=views))
        reason = next((step.reason for phase in phases for step in phase.steps if step.state in _TELLING), "")
        state = "paused" if "" in self.paused and not self.over else summary([phase.state for phase in phases])
        return PlanView(name=self.name, state=state, reason=reason, phases=tuple(phases))

    # -- how it moves -----------------------------------------------------------------------------------------------

    def _ended(self, ended: StepEnded) -> tuple["Plan", tuple[Effect, ...]]:
        attempt = self.attempts.get(ended.path)
        if attempt is None or attempt.number != ended.attempt or not attempt.running:
            return self, ()  # of a run that was restarted or forced meanwhile
        attempts = dict(self.attempts)
        if not ended.error:
            del attempts[ended.path]
            marks = {**self.marks, ended.path: "done"}
            return replace(self, attempts=attempts, marks=marks)._advanced(ended.at_s, kept=True)
        if ended.later_s:
            early = Attempt(ended.attempt - 1, False, ended.at_s + ended.later_s, ended.error, early=True)
            attempts[ended.path] = early
            return replace(self, attempts=attempts)._advanced(ended.at_s, kept=False)
        retry_at_s = ended.at_s + min(2.0 ** (ended.attempt - 1), BACKOFF_MAX_S)
        step = self.step_at(ended.path)
        number = step.attempts if ended.gave_up and isinstance(step, Do) else ended.attempt
        attempts[ended.path] = Attempt(number, False, retry_at_s, ended.error, gave_up=ended.gave_up)
        return replace(self, attempts=attempts)._advanced(ended.at_s, kept=False)

    def _said(self, given: StepSaid) -> tuple["Plan", tuple[Effect, ...]]:
        attempt = self.attempts.get(given.path)
        if attempt is None or attempt.number != given.attempt or not attempt.running or attempt.said == given.text:
            return self, ()
        attempts = {**self.attempts, given.path: replace(attempt, said=given.text)}
        return replace(self, attempts=attempts)._advanced(given.at_s, kept=False)

    def _controlled(self, control: Control) -> tuple["Plan", tuple[Effect, ...]]:
        targets = [path for path, _ in self.paths() if _within(path, control.path)]
        if not targets:
            known = ", ".join(path for path, _ in self.paths())
            raise NotFound(
                f"plan {self.name} has no phase or step {control.path!r}", expected=known or "a plan with steps"
            )
        paused, marks, attempts = set(self.paused), dict(self.marks), dict(self.attempts)
        match control.verb:
            case "pause":
                paused.add(control.path)
            case "resume":
                # Resuming the whole resumes its parts: a person who says "go on" means all of it.
                paused = {path for path in paused if path != control.path and not _within(path, control.path)}
            case "force":
                for path in targets:
                    if marks.get(path) != "done":
                        marks[path] = "forced"
                        attempts.pop(path, None)
            case "restart":
                for path in targets:
                    attempts.pop(path, None)
                    marks.pop(path, None)
                    step = self.step_at(path)
                    member = self.world.members.get(step.member) if isinstance(step, Start) else None
                    if member is not None and member.starts > 0:
                        marks[path] = f"{_AFTER}{member.incarnation}"
        plan = replace(self, paused=frozenset(paused), marks=marks, attempts=attempts)
        return plan._advanced(control.at_s, kept=True)

    def _advanced(self, at_s: float, *, kept: bool) -> tuple["Plan", tuple[Effect, ...]]:
        """Every step's state, in order; and what follows from it."""
        effects: list[Effect] = []
        marks, attempts, steps = dict(self.marks), dict(self.attempts), {}
        fits = all(_placed(self.world, step) for _, step in self.paths())
        turn = True
        told = False
        for phase in self.phases:
            for step in phase.steps:
                path = f"{phase.name}/{step.name}"
                state, reason = self._step(path, step, turn, fits, marks, attempts, at_s, effects)
                if state == "waiting" and reason == self.world.unplaced:
                    # The reason is one and may be long: the first step tells it for all.
                    reason, told = ("waits for its place, with the others" if told else reason), True
                before = self.steps.get(path)
                since_s = before.since_s if before and before.state == state else at_s
                steps[path] = Seen(state, reason, since_s)
                if phase.strategy == "serial" and state not in OVER:
                    turn = False
            if any(steps[f"{phase.name}/{step.name}"].state not in OVER for step in phase.steps):
                turn = False
        if kept or marks != self.marks:
            effects.append(Keep(marks, tuple(sorted(self.paused))))
        return replace(self, marks=marks, attempts=attempts, steps=steps), tuple(effects)

    def _step(
        self,
        path: str,
        step: Step,
        turn: bool,
        fits: bool,
        marks: dict[str, str],
        attempts: dict[str, Attempt],
        at_s: float,
        effects: list[Effect],
    ) -> tuple[StepState, str]:
        mark = marks.get(path, "")
        if isinstance(step, Start):
            member = self.world.members.get(step.member)
            if member is not None and member.starts > 0:
                # Started before: it is to run, whatever this plan's state is.
                effects.append(StartMember(step.member))
                if _awaits_newer(mark, member):
                    key = f"{self.name}/{path}/{member.incarnation}"
                    effects.append(ProposeRestart(member.name, key, f"step {path} of plan {self.name} was restarted"))
                if mark not in OVER and self._settled(member, mark):
                    marks[path] = mark = "done"
            elif member is not None and mark == "done":
                # It was never started here: the mark is of an earlier life of the same name, and so is what came
                # after it.
                for later in self._from(path):
                    marks.pop(later, None)
                mark = ""
        if mark == "done":
            return "done", ""
        if mark == "forced":
            return "forced", "counts as done, a person said so"
        if isinstance(step, Start) and member is not None and member.starts > 0:
            if _awaits_newer(mark, member) and member.state not in ("held", "failed"):
                return "running", "its restart was proposed"
            return started(member, settling=step.member in self.world.settling)
        if path in attempts and attempts[path].running:
            return _attempt_state(step, attempts[path])
        if not isinstance(step, Start | Do):
            there = moving.there(step, path, self.world, marks)
            if there is not None:
                return there
        if self._is_paused(path):
            return "paused", "paused by a person"
        if not turn:
            return "pending", ""
        if not fits:
            return "waiting", self.world.unplaced or "waits for places for all members of the plan"
        if self.world.held:
            return "paused", self.world.held
        if not isinstance(step, Start | Do):
            return moving.begins(step, f"{self.name}/{path}", self.world, effects)
        if isinstance(step, Start):
            effects.append(StartMember(step.member))
            if member is not None and member.state == "held":
                return moving.held(member)
            return "running", "is being started"
        return _do(path, step, attempts, at_s, effects)

    def _from(self, path: str) -> list[str]:
        """This step and all after it."""
        paths = [known for known, _ in self.paths()]
        return paths[paths.index(path) :]

    def _settled(self, member: Member, mark: str) -> bool:
        """Whether the start of this member is over: ready and its hook returned, or a job that finished."""
        if _awaits_newer(mark, member):
            return False
        if member.state == "ready":
            return member.name not in self.world.settling
        return member.state == "finished"

    def _is_paused(self, path: str) -> bool:
        return any(_within(path, paused) for paused in self.paused)


_AFTER: Final = "after:"
_UNSEEN = Seen("pending", "", 0.0)
_TELLING = ("failed", "waiting", "running")
_ORDER: tuple[StepState, ...] = ("failed", "running", "waiting", "paused", "pending")


def summary(states: list[str]) -> str:
    """One word for many: what most wants a person's eye comes first; ``done`` only when all are over."""
    left = [state for state in states if state not in OVER]
    return next((word for word in _ORDER if word in left), "done")


def _within(path: str, scope: str) -> bool:
    return scope in ("", path) or path.startswith(scope + "/")


def _awaits_newer(mark: str, member: Member) -> bool:
    return mark.startswith(_AFTER) and member.incarnation <= int(mark.removeprefix(_AFTER))


def _placed(world: Observed, step: Step) -> bool:
    if isinstance(step, Restart):
        # What it is to become has a place first: nobody is taken down for a size that does not fit.
        return not world.unplaced
    if not isinstance(step, Start):
        return True
    # Where a substrate places only at the launch, a declared member has no node yet; ``unplaced`` is what counts.
    member = world.members.get(step.member)
    return member is not None and (member.starts > 0 or not world.unplaced)


def _do(path: str, step: Do, attempts: dict[str, Attempt], at_s: float, effects: list[Effect]) -> tuple[StepState, str]:
    last = attempts.get(path)
    if last is not None and last.number >= step.attempts:
        attempts[path] = replace(last, retry_at_s=0.0)
        return "failed", last.error if last.gave_up else f"{last.error} (after {last.number} attempts)"
    if last is not None and last.early and at_s < last.retry_at_s:
        return "waiting", last.error
    if last is not None and at_s < last.retry_at_s:
        return "waiting", f"{last.error}; tried again ({last.number} of {step.attempts} attempts so far)"
    number = last.number + 1 if last else 1
    attempts[path] = Attempt(
        number, running=True, error=last.error if last else "", early=last is not None and last.early
    )
    effects.append(RunStep(path, number))
    return _attempt_state(step, attempts[path])


def _attempt_state(step: Step, attempt: Attempt) -> tuple[StepState, str]:
    """What was too early goes on waiting while it is looked at again."""
    return ("waiting", attempt.error) if attempt.early else ("running", _attempt_text(step, attempt))


def _attempt_text(step: Step, attempt: Attempt) -> str:
    if attempt.said or attempt.number == 1 or not isinstance(step, Do):
        return attempt.said
    return f"attempt {attempt.number} of {step.attempts}, after: {attempt.error}"
