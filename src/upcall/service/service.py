"""``Service``: the class that an expert writes.

A service is a description first: which options it has, which pods, what each member's task is. That alone deploys it,
keeps it up and treats it as a careful stranger would: one member at a time is taken away, and only while all others
are ready. Everything else is optional: a method is the place where an expert's knowledge goes ::

    class Queue(Service):
        \"\"\"A replicated queue.\"\"\"

        options: QueueOptions

        def pods(self):
            return [Pod("broker", count=self.options.brokers, task=self.broker, spread="zone", endpoints=["client"])]

        def broker(self, member):
            return Declaration(command=(...), ports=(Port(name="client", number=9092),), ready=Check(tcp="client"))

        async def may_stop(self, broker, why):
            at_risk = await self.partitions_at_risk(without=broker)
            if at_risk:
                return defer(f"{len(at_risk)} partitions would have too few replicas", retry_after=5)
            return accept()

        @action
        async def create_topic(self, name: str, partitions: int = 3): ...

The rules of every call into a service: it has a deadline (``answer_timeout_s``, ``hook_timeout_s``); one that is late
or raises counts as silence and is logged; it may come again, so it must be fine to run it twice. Blocking clients run
by ``await self.blocking(function, ...)``, in threads of this service alone.
"""

import contextlib
import inspect
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, get_type_hints

from pydantic import ValidationError

from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import Conflict, NotFound
from upcall.protocol.releases import released
from upcall.protocol.service import Credentials, Degraded, NodeView, Operation, Policy, Propose, Told
from upcall.service import faults, stranger, together, versions
from upcall.service.backup import Backups
from upcall.service.changing import How, OptionChange, Update, by_restart, marked
from upcall.service.clients import Client
from upcall.service.commands import Command
from upcall.service.consent import Verdict, accept, decline, defer, restart, wait
from upcall.service.contents import Contents
from upcall.service.context import Context
from upcall.service.endpoints import Endpoint
from upcall.service.files import PackageFiles
from upcall.service.goals import Derived, Machine, ServiceGoals, that_has_goals
from upcall.service.member import Member, MemberSet
from upcall.service.needs import Bound
from upcall.service.numbering import from_the_fullest
from upcall.service.options import ServiceOptions
from upcall.service.pod import Pod
from upcall.service.questions import method_of
from upcall.service.roles import Roles
from upcall.service.scaling import Size, that_scales_itself
from upcall.service.state import State
from upcall.service.steps import Phase
from upcall.service.telling import telling

R = TypeVar("R")


class Service(Backups, PackageFiles):
    """Base of every service. Its docstring is the package's description."""

    package: ClassVar[str] = ""
    """Name of the package; default: the class name, ``HelloWorld`` as ``hello-world``."""
    answer_timeout_s: ClassVar[float] = 10.0
    """Deadline of each question (``may_...``, ``on_lost``). Later is silence."""
    hook_timeout_s: ClassVar[float] = 300.0
    """Deadline of each hook (``on_start``, ``after_ready``, ``before_replace``, ``leave``, ``on_told``). One that is
    late or raises is called again, ever more slowly."""

    before_stop_s: ClassVar[float] = 30.0
    """How long the end of a member waits for :meth:`before_stop`; then it comes, whatever that does."""
    scale_every_s: ClassVar[float] = 15.0
    """How often :meth:`desired_size` is looked at, where the service may scale itself."""
    health_every_s: ClassVar[float] = 10.0
    """How often :meth:`health` is looked at; it is also soon after a member or an operation changed."""
    health_timeout_s: ClassVar[float] = 30.0
    """Deadline of a look at :meth:`health`."""
    watch_every_s: ClassVar[float] = 0.5
    """How often :meth:`watched` is looked at while something is put off."""

    Options: ClassVar[type[ServiceOptions]] = ServiceOptions
    _options_of_all: ClassVar[type[ServiceOptions]] = ServiceOptions
    """Before what holds in this version alone."""
    Goals: ClassVar[type[ServiceGoals] | None] = None
    """What people may want of it, of which :meth:`from_goals` makes options."""
    options: ServiceOptions
    """Annotate it with the service's own model, or nest a class ``Options``."""

    contents: ClassVar[tuple[Contents, ...]] = ()
    """What it holds that people name one by one: topics, keyspaces, jobs, as a platform file states them."""

    commands: ClassVar[tuple[Command, ...]] = ()
    """Its commands of its own, as a person types them: ``upcall queue topic create``; none: one for each action."""

    clients: ClassVar[tuple[Client, ...]] = ()
    """How clients connect, as it stands, and the shell that `upcall connect` opens."""

    settle_s: ClassVar[float] = 5.0
    """How long the first member that an update changed has to stay ready before the others follow."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "Options" not in vars(cls) and "options" in vars(cls).get("__annotations__", {}):
            module = vars(inspect.getmodule(cls) or object())
            hint = get_type_hints(cls, globalns=dict(module), localns=dict(vars(cls)))["options"]
            if not (isinstance(hint, type) and issubclass(hint, ServiceOptions)):
                raise TypeError(f"{cls.__name__}.options: {hint} is not a subclass of ServiceOptions")
            cls.Options = hint
        if "version" not in vars(cls) and (known := versions.known(cls.folder())):
            cls.version = known[-1]
        cls._options_of_all = cls.Options if "Options" in vars(cls) else cls._options_of_all
        cls.Options = versions.options_at(cls._options_of_all, cls.version)
        if "Options" in vars(cls) and cls.desired_size is not Service.desired_size:
            cls.Options = that_scales_itself(cls.Options)
        if cls.Goals is not None:
            cls.Options = that_has_goals(cls.Options, cls.Goals)
        if not cls.package or "package" not in vars(cls):
            cls.package = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower().strip("_")

    @classmethod
    def versions(cls) -> tuple[str, ...]:
        """All versions that this class is the code of, the oldest first (:mod:`upcall.service.versions`)."""
        return versions.known(cls.folder()) or (cls.version,)

    @classmethod
    def at(cls, version: str) -> "type[Service]":
        """The class of one of these versions, or of a build of it (``0.1.0+1f2e3d4c``); of another one the newest's,
        which declares nothing then."""
        known = released(version)
        if known == cls.version or known not in cls.versions():
            return cls
        return versions.variant(cls, known)

    def __init__(self, context: Context | None = None) -> None:
        self._context = context or Context()
        with contextlib.suppress(ValidationError):  # an option without a default: whoever runs it sets them
            self.options = self.Options.model_validate(dict(self._context.options))

    # -- what it is made of -----------------------------------------------------------------------------------------

    def pods(self) -> list[Pod]:
        """The members it has, from ``self.options`` and what ``on_start`` loaded. Called often; must be quick."""
        return [Pod("server")]

    def task(self, member: Member) -> Declaration:
        """One member's task, for pods that name no method of their own."""
        raise NotImplementedError(f"{type(self).__name__} needs task(member), or pods with a task= of their own")

    def deploy(self) -> list[Phase]:
        """The plan of a first deployment. Default: the pods one after the other, each by its strategy."""
        return [Phase.start(pod) for pod in stranger.pods_of(self)]

    def policy(self) -> Policy:
        """What holds while nobody answers, and below every answer.

        Default: all members but one stay ready; silence holds windowed operations when there are volumes (data), and
        lets them pass when there are none.
        """
        return stranger.policy(self)

    def spares_a_zone(self, pod: str) -> Policy:
        """For :meth:`policy`, where the members of a zone may be away together: the default, with a minimum that lets
        so many go as an even spread over the zones puts into one. With fewer than three zones: the default."""
        return together.spares_a_zone(stranger.policy(self), self.pod(pod).count, self.nodes)

    # -- upcalls: the system asks, before ---------------------------------------------------------------------------

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        """May this member be stopped now, and stay away for a while (maintenance)? Also asked, unless overridden,
        for :meth:`may_restart` and :meth:`may_replace`."""
        return stranger.may_stop(self, member, why)

    async def may_stop_together(self, members: tuple[Member, ...], why: Operation) -> Verdict:
        """May all of these be stopped now, at the same time, and stay away together? Asked of the members that one
        maintenance of several nodes (a zone's) takes, and of those of one zone that are to restart, before each of them
        is asked about. Default: one at a time."""
        return defer("one at a time")

    async def may_restart(self, member: Member, why: Operation) -> Verdict:
        """May this member be stopped and started again at once (an update, a failing health check)?"""
        return await self.may_stop(member, why)

    async def may_replace(self, member: Member, why: Operation) -> Verdict:
        """May this member be moved to a new place with empty volumes, although nothing is wrong with it? Default: yes,
        where it serves on until the next one is back (``why.takes_nothing``); else as :meth:`may_stop` says."""
        if why.takes_nothing:
            return accept(f"{member.name} serves on until it is back elsewhere")
        return await self.may_stop(member, why)

    async def may_scale_in(self, member: Member, why: Operation) -> Verdict:
        """May this member leave for good? Default: not where it has volumes and no :meth:`leave` moves its data away;
        else as a careful stranger would stop it."""
        return stranger.may_scale_in(self, member, why, moves_data=overridden(self, "leave"))

    def who_leaves(self, members: tuple[Member, ...], count: int) -> Iterable[Member]:
        """Who leaves for good when so many of these members of a pod are too many. Pure: by what is known of their
        places; no system is asked. Default: from the zone that has most, in it from the node that has most, the highest
        number. Who never came, or leaves already, leaves before."""
        return from_the_fullest(members, count)

    async def may_uninstall(self, why: Operation) -> Verdict:
        """May the whole service go? Asked once. Volumes stay for a grace."""
        return accept()

    def from_goals(self, goals: Any, machine: Machine) -> Mapping[str, Derived]:
        """Options (``brokers``, ``settings.NAME``) for these goals. ``self.options`` is what a person said, with
        defaults (``self.options.model_fields_set``: what he did). What cannot be met raises
        :func:`~upcall.service.goals.unmet`. Pure: it is asked of a service that is not there yet."""
        raise NotImplementedError(f"{type(self).__name__} has Goals, and no from_goals()")

    # -- changes of its options ---------------------------------------------------------------------------------------

    def how(self, change: OptionChange) -> How:
        """How this option is changed: ``live``, ``by_restart`` or ``never(reason)``. Default: as its own type says,
        else by a restart of the members whose declarations differ. Override it for entries of a map."""
        return marked(type(self.options), change.option) or by_restart

    async def may_update(self, update: Update, why: Operation) -> Verdict:
        """May the service be changed like this, now? What its options refuse, what ``pods()`` raises with them, and
        what is never changed was declined before. Each restart below it is asked about in its turn."""
        return accept()

    async def may_finalize(self, why: Operation) -> Verdict:
        """May the upgrade be made final (:meth:`finalize`), so that nothing older can be gone back to? All members
        have this version by then. Default: yes, where there is a ``finalize``."""
        if not overridden(self, "finalize"):
            return decline(f"{self.package} {self.version} has no point of no return: there is nothing to finalize")
        return accept()

    async def finalize(self, why: Operation) -> None:
        """The point of no return of an upgrade: raise the level of its features, write the new format. Returns when
        that holds; it may be called again. What cannot be raises ``Invalid``, and it has failed."""
        raise NotImplementedError

    async def apply_live_at(self, member: Member, changes: tuple[OptionChange, ...]) -> None:
        """Change this at one member while it runs. Returns when it works with it; it may be called again. One member is
        told first, and when it has stayed ready for ``settle_s`` and :meth:`may_go_on` has accepted, the others. A
        value that is wrong raises ``Invalid``, and the update has failed; what else it raises is tried again."""
        raise NotImplementedError(f"{type(self).__name__} tells no single member")

    async def apply_live(self, changes: tuple[OptionChange, ...]) -> None:
        """The same for all members at once: of what is :func:`live_at_once`, and of all that changes live where there
        is no :meth:`apply_live_at`. Then all of them have to stay ready for ``settle_s``."""
        raise NotImplementedError(f"{type(self).__name__} says that options change live, and has no apply_live()")

    async def take_live_back(self, member: Member, changes: tuple[OptionChange, ...]) -> None:
        """An update has failed, or went no further: give a member that was told again what it had (``self.options`` are
        those of before). It may be called again. Default: :meth:`apply_live_at`, of a member that is ready; one that is
        not starts with what it had. Override it where a value outlives the process that was told."""
        if member.ready:
            await self.apply_live_at(member, changes)

    def canary(self, members: list[Member]) -> Member:
        """Of those that restart, the one that goes first. Default: one that is not ready, else the last one."""
        return next((member for member in members if not member.back), members[-1])

    async def may_go_on(self, canary: Member, why: Operation) -> Verdict:
        """The canary was changed and has been ready for ``settle_s``: may the others follow? ``defer`` while it still
        gets there (not in sync yet); ``decline`` when it does not work: the update has failed, and the others keep what
        they have."""
        return accept()

    async def may_change(self, member: Member | None, why: Operation) -> Verdict:
        """Any other kind of operation (``why.kind``), on a member or on the whole service."""
        if member is not None:
            return await self.may_stop(member, why)
        if why.kind == "rebalance" and overridden(self, "spread"):
            return stranger.may_rebalance(self)
        return decline(f"{self.package} {self.version} does not know how to {why.kind.replace('_', ' ')}")

    async def on_lost(self, member: Member, why: Operation) -> Verdict:
        """A member is lost, alone or with its node: :func:`wait`, :func:`restart` it, or :func:`replace` it?"""
        if member.state == "ended":
            return restart(f"{member.name} ended, its node did not")
        return wait(f"{member.name} may come back")

    async def answer_set(self, operations: tuple[Operation, ...]) -> Mapping[str, Verdict]:
        """Answers for the set of pending operations at once; accepting several means all of them at the same time.

        Default: asks the methods above one after the other and accepts at most one. Override it only for a service
        that can spare several (the members of one rack). An operation that is left out is not answered.
        """
        return await stranger.one_at_a_time(self, operations)

    async def answer_one(self, operation: Operation) -> Verdict:
        """The answer of the method that this operation's kind belongs to."""
        member = self.members.get(operation.member) if operation.member else None
        if operation.kind == "uninstall":
            if not self._context.started:  # Nobody is there to ask, and a person who wants it gone is not kept waiting.
                return accept(f"the code of {self.name} does not run")
            return await self.may_uninstall(operation)
        if operation.kind == "finalize":
            from upcall.service.proposed import consent_to_finalize

            return await consent_to_finalize(self, operation)
        if operation.revision is not None:
            from upcall.service.proposed import consent_to_update

            return await consent_to_update(self, operation, operation.revision)
        if member is None and operation.member:
            return defer(f"{operation.member} is not known here yet", retry_after=2)
        if member is None:
            return await self.may_change(None, operation)
        method = method_of(operation.kind)
        if method == "may_change":
            return await self.may_change(member, operation)
        verdict: Verdict = await getattr(self, method)(member, operation)
        return verdict

    async def watched(self) -> Any:
        """What the answers depend on beside members and operations, as a value (the in-sync sets). While something is
        put off it is looked at every ``watch_every_s``; when it differs, the question is asked again at once."""
        return None

    async def health(self) -> Sequence[Degraded]:
        """What is wrong although the members answer, the worst first, and what is being done about it. Looked at
        beside everything else once the service is deployed; since when it is so is remembered, by its ``key``."""
        return ()

    # -- upcalls: the system tells, after ---------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Once for each start of the host, before anything else: load what ``pods`` needs from ``self.state``."""

    async def before_stop(self, member: Member, why: Operation) -> None:
        """A member's end was agreed and has begun, and it runs still: hand over what it leads. The end waits for this,
        for ``before_stop_s`` at most. For stops, restarts and removals alike (of the whole service: not)."""

    async def before_replace(self, member: Member) -> None:
        """Before a member is replaced: remember what its successor will need (in ``self.state``), or move away what
        must not be lost. The replacement waits for its end."""

    async def leave(self, member: Member | None, why: Operation) -> None:
        """A member (None: the whole service) is about to be removed, and this service agreed: move its data away.
        The removal waits for its end. Default: :meth:`before_replace` for one that comes up elsewhere."""
        if member is not None and why.comes_back:
            await self.before_replace(member)

    async def stay(self, member: Member, why: Operation) -> None:
        """A member that was leaving stays after all: a person cancelled it, or the update that wanted it goes no
        further. The running :meth:`leave` was cancelled before; put back what it had done. Called until it returned
        once, and it may find that nothing was done yet."""

    async def spread(self, came: tuple[Member, ...], why: Operation) -> None:
        """New members are ready (``came``; empty: a person asked for it): move load onto them, throttled, and say how
        far it is by ``self.progress("12 of 340 MiB", 0.04)``. Returns when it is confirmed. Called again after a death
        of the host, so it looks at what is left to do. It may be cancelled at any time: then it stops what it began to
        move, and leaves the service consistent."""

    async def desired_size(self) -> Size | None:
        """How many members the service needs now, and why; None: nothing to say. Looked at where a person let it scale
        itself (``autoscale``); bounds, hysteresis and a cool-down are the SDK's."""
        return None

    async def after_ready(self, member: Member) -> None:
        """A new incarnation of a member is ready (at least once for each). A start step waits for its end; so an
        expert joins a voter here, or moves partitions onto the member."""

    async def relieve(self, filling: tuple[Member, ...]) -> None:
        """The disks of these members are nearly full (``member.filling``), or, with none, have room again: slow what
        you may, or let it go on. Called until it returned, whenever that changed, and once for each start of the
        host."""

    async def on_told(self, told: Told) -> None:
        """An operation began, ended, or is over: ``told.what``, ``told.operation``."""

    # -- what it can see and do -------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The service's own name; the package may be installed several times."""
        return self._context.name

    @property
    def members(self) -> MemberSet:
        """All members, as last observed."""
        return stranger.members(self, self._context)

    def pod(self, name: str) -> Pod:
        pods = stranger.pods_of(self)
        for pod in pods:
            if pod.name == name:
                return pod
        raise NotFound(f"{type(self).__name__} has no pod {name!r}", expected=", ".join(pod.name for pod in pods))

    def takes_back_all(self, pod: Pod, option: str, *, majority: bool = False) -> Pod:
        """The pod, unless it is smaller than in the life before, whose volumes are kept, or they are kept of a part
        alone: then an error that says what to do. For systems whose members are one whole, so that none with data may
        be left out. ``option`` sets its size. ``majority``: what a majority has kept is enough, the others fill
        themselves from it; else all of it is needed. Once a member has started here, what lies there is what one left
        that went for good."""
        started = tuple(name for name, member in self._context.members.items() if member.starts)
        if self._numbers(pod, started):
            return pod
        kept, lost = self._numbers(pod, self._context.left_behind), self._numbers(pod, self._context.lost_behind)
        was = len(kept) + len(lost)
        if kept and len(kept) < (was // 2 + 1 if majority else was):
            raise Conflict(
                f"{self.name} was there before with {was} members, and the data of {_named(pod, lost)} is gone: with "
                f"what is kept of {_named(pod, kept)} alone it cannot begin where it was; uninstall it, and install it "
                f"with --fresh to begin without (what is kept is set aside: `upcall volume list`)",
                where=option,
            )
        out = [number for number in kept if number >= pod.count]
        if out:
            raise Conflict(
                f"{self.name} was there before, with data of {_named(pod, out)} that is kept and that "
                f"{option}={pod.count} leaves out: uninstall it, and install it with --set "
                f"{option}={out[-1] + 1} to take all of it back, or with --fresh to begin without",
                where=option,
            )
        return pod

    @staticmethod
    def _numbers(pod: Pod, members: tuple[str, ...]) -> list[int]:
        of_pod = (name.removeprefix(f"{pod.name}-") for name in members if name.startswith(f"{pod.name}-"))
        return sorted(int(number) for number in of_pod if number.isdigit())

    @property
    def nodes(self) -> tuple[NodeView, ...]:
        """The machines, for sizing and racks."""
        return self._context.nodes

    @property
    def operations(self) -> tuple[Operation, ...]:
        """All pending and begun operations on this service."""
        return self._context.operations

    @property
    def bindings(self) -> Mapping[str, str]:
        """Need -> name of the service that fulfils it."""
        return self._context.bindings

    def own_secret(self, name: str, form: str = "") -> str:
        """Reference of a secret of this service's own, made at its first use. In ``form``, ``{}`` is its value."""
        return f"generated:{self.name}.{name}" + (f"|{form}" if form else "")

    async def credentials(self, where: Bound | Endpoint) -> Credentials | None:
        """How this service's own code logs in: to an endpoint of its own, or to one that it is bound to. ``None``:
        nobody is asked there who he is."""
        reference = where.reference if isinstance(where, Bound) else f"endpoint:{self.name}.{where.name}"
        return await self._context.credentials(reference)

    def holder(self, role: str) -> Member | None:
        """The member that has a role (primary, leader); None: nobody, or one that is gone."""
        return self.members.get(self._context.roles.holder(role))

    async def give_role(self, role: str, member: Member) -> None:
        """From now on this member has the role, and endpoints that follow it lead there. It is kept when the host
        ends; that the system behind agrees is the caller's part, before."""
        await self._context.roles.give(role, member.name)

    @property
    def roles(self) -> Roles:
        """For the SDK itself."""
        return self._context.roles

    @property
    def state(self) -> State:
        """The service's own memory at the master: a few small values, compare-and-swap, fenced."""
        return self._context.state

    @property
    def log(self) -> logging.Logger:
        return self._context.log

    async def propose(self, kind: str, member: Member | str = "", *, reason: str, key: str) -> str:
        """Proposes an operation on this service itself; it is then asked about it like about any other. The same
        ``key`` twice is one operation. Gives the operation's id."""
        return await self._context.propose(Propose(key=key, kind=kind, member=str(member), reason=reason))

    def ask_again(self) -> None:
        """What was put off may be answered otherwise now: ask me again, within a second. From any thread."""
        self._context.ask_again()

    def refresh(self) -> None:
        """What ``pods`` gives has changed: declare it again. (Not needed after an action.)"""
        self._context.refresh()

    def progress(self, text: str, share: float | None = None) -> None:
        """In an action, a step of a plan, and in what takes long (``leave``, ``stay``, ``spread``): how far it is, for
        whoever waits for it; ``share`` of the whole (0 to 1) where it is known. What makes progress is not late."""
        tell = telling.get()
        if tell is None:
            self.log.info("%s", text)
        else:
            tell(text, share)

    async def blocking(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Runs a blocking call in a thread of this service."""
        return await self._context.blocking(function, *args, **kwargs)

    def raised(self, what: str, error: BaseException) -> str:
        """For the SDK itself: notes what this service's code raised, and gives it in words, with its file and line."""
        words = faults.words(error, type(self))
        self._context.fault(faults.Fault(what, words, error))
        return words


def _named(pod: Pod, numbers: Iterable[int]) -> str:
    return ", ".join(f"{pod.name}-{number}" for number in numbers)


def overridden(service: Service, method: str) -> bool:
    """Whether the expert wrote this method."""
    return getattr(type(service), method) is not getattr(Service, method)
