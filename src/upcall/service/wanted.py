"""What a service wants, as the master is told: the whole set of members and endpoints, from its description.

A pure function of the service (options, pods, memory). Which members are to run is a set of its own, so that their
declarations do not travel again with each start.
"""

from collections.abc import Container, Iterable, Set
from dataclasses import replace
from typing import TypeVar

import msgspec

from upcall.protocol import checks, names, templates
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import Invalid
from upcall.protocol.service import Declare, Endpoint, Endpoints, MemberWanted, Policy, Starts
from upcall.service.blame import a, method_at
from upcall.service.docket import SILENCE_PAUSE_S
from upcall.service.member import Member
from upcall.service.numbering import numbered
from upcall.service.pod import Pod
from upcall.service.service import Service, overridden
from upcall.service.steps import Phase, Start
from upcall.service.stranger import pods_of

T = TypeVar("T")


class Checked:
    """Declarations that were found right, by what the expert's code gave for them: it gives the same for most members
    at most looks, and to check one costs more than to make it."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, bool], tuple[bytes, Pod, Declaration]] = {}

    def declaration(self, service: Service, pod: Pod, member: Member) -> Declaration:
        made = (pod.task or service.task)(member)
        data = _encoded(service, member, made)
        key = (member.name, member.replacing)
        known = self._found.get(key)
        if known is None or known[:2] != (data, pod):
            known = self._found[key] = (data, pod, _checked(service, pod, member, data))
        return known[2]

    def keep(self, members: Container[str]) -> None:
        """Others have left."""
        self._found = {key: known for key, known in self._found.items() if key[0] in members}


def declared(service: Service, known: Checked | None = None, *, before: Service | None = None) -> Declare:
    """All members of all pods. ``before``: the service as it was, whose policy holds until the members that an update
    brings are there."""
    known = known or Checked()
    members: dict[str, MemberWanted] = {}
    hooks = overridden(service, "after_ready")
    built = service._context.built
    for pod in pods_of(service):
        for member in service.members.of(pod.name):
            first = known.declaration(service, pod, member)
            again = known.declaration(service, pod, replace(member, replacing=True))
            if built is not None:
                built[member.name] = first
            members[member.name] = MemberWanted(
                declaration=first,
                minimum=pod.counts and member.name not in service._context.coming,
                hooks=hooks,
                replacement=again if again != first else None,
            )
    known.keep(members)
    return Declare(members=members, policy=_policy(before or service))


def with_those_who_stay(declared: Declare, stay: Declare | None) -> Declare:
    """An update that was to remove members goes no further: those that are there stay members, and what held before
    holds as long as they do."""
    members = {name: each for name, each in stay.members.items() if name not in declared.members} if stay else {}
    if stay is None or not members:
        return declared
    return msgspec.structs.replace(declared, members={**declared.members, **members}, policy=stay.policy)


def starts(service: Service, turns: Set[str]) -> Starts:
    """Members whose turn has come (``turns``), and those that were started before: one that is left out would say
    something that nobody meant."""
    pods = pods_of(service)
    named = [member for pod in pods for member in service.members.of(pod.name)]
    return Starts(members=tuple(member.name for member in named if member.started or member.name in turns))


def _policy(service: Service) -> Policy:
    """The expert's policy, and what follows from what else the expert wrote: a removal waits for ``leave`` only where
    there is one."""
    given = _given(service, "policy", service.policy(), Policy)
    leaves = overridden(service, "leave") or overridden(service, "before_replace")
    # A question has its own deadline, and one that hung is asked once more: before that nobody is silent.
    before_stop_s = service.before_stop_s if overridden(service, "before_stop") else 0.0
    answer_s = max(given.answer_s, 2 * service.answer_timeout_s + SILENCE_PAUSE_S)
    return msgspec.structs.replace(given, leaves=given.leaves or leaves, answer_s=answer_s, before_stop_s=before_stop_s)


def phases(service: Service) -> tuple[Phase, ...]:
    """The plan of the expert, and after it what it forgot: members that no step of it starts."""
    listed = _given_many(service, "deploy", service.deploy(), Phase)
    pods = pods_of(service)
    known = {name for pod in pods for name in pod.member_names}
    started = {step.member for phase in listed for step in phase.steps if isinstance(step, Start)}
    if unknown := sorted(started - known):
        raise Invalid(f"the plan starts {', '.join(unknown)}, which no pod has", where=service.package)
    taken = {phase.name for phase in listed}
    more = []
    for pod in pods:
        left = [Start(name) for name in pod.member_names if name not in started]
        if left:
            name = pod.name if pod.name not in taken else f"more {pod.name}"
            more.append(Phase(name, *left, strategy=pod.strategy))
    return (*listed, *more)


def without(phases: Iterable[Phase], members: Container[str]) -> tuple[Phase, ...]:
    """The plan without the starts of these members, whose turn comes elsewhere."""
    return tuple(
        Phase(
            phase.name,
            *(step for step in phase.steps if not (isinstance(step, Start) and step.member in members)),
            strategy=phase.strategy,
        )
        for phase in phases
    )


def endpoints(service: Service) -> Endpoints:
    """All endpoints of all pods."""
    found: dict[str, Endpoint] = {}
    for pod in pods_of(service):
        for endpoint in pod.declared_endpoints:
            if endpoint.name in found:
                raise Invalid(f"two pods have an endpoint {endpoint.name!r}", where=service.package)
            holder = service.roles.holder(endpoint.role) if endpoint.role else ""
            members = tuple(name for name in pod.member_names if not endpoint.role or name == holder)
            found[endpoint.name] = endpoint.of(members)
    return Endpoints(endpoints=tuple(found.values()))


def checked(service: Service) -> list[Pod]:
    """Its pods, once no name is used twice."""
    listed = numbered(service, _given_many(service, "pods", service.pods(), Pod))
    seen: dict[str, str] = {}
    for pod in listed:
        for name in pod.member_names:
            if name in seen:
                raise Invalid(
                    f"member {name!r} is in pod {seen[name]!r} and in pod {pod.name!r}", expected="unique names"
                )
            seen[name] = pod.name
    return listed


def _given(service: Service, method: str, given: object, kind: type[T]) -> T:
    if not isinstance(given, kind):
        raise Invalid(f"{method_at(type(service), method)} returned {a(given)}", expected=f"a {kind.__name__}")
    return given


def _given_many(service: Service, method: str, given: object, kind: type[T]) -> list[T]:
    where, expected = method_at(type(service), method), f"a list of {kind.__name__}"
    if not isinstance(given, Iterable):
        raise Invalid(f"{where} returned {a(given)}", expected=expected)
    listed = list(given)
    if wrong := next((one for one in listed if not isinstance(one, kind)), None):
        raise Invalid(f"{where} returned {a(wrong)} among its {len(listed)}", expected=expected)
    return listed


def _encoded(service: Service, member: Member, made: object) -> bytes:
    if not isinstance(made, Declaration):
        raise Invalid(f"the task of {member.name} is a {type(made).__name__}", expected="a Declaration")
    try:
        return msgspec.json.encode(made)
    except (TypeError, ValueError) as error:
        raise Invalid(f"the task of {member.name} is no declaration: {error}", where=service.package) from error


def _checked(service: Service, pod: Pod, member: Member, data: bytes) -> Declaration:
    try:
        # Through the wire and back: a list for a tuple is put right; a wrong type is an error here, not at the agent.
        clean = msgspec.json.decode(data, type=Declaration)
    except msgspec.ValidationError as error:
        said = names.refusal(error, "").problem
        raise Invalid(
            f"the task of {member.name} is no declaration: {said.where}: {said.message}",
            where=service.package,
            expected=said.expected,
        ) from error
    checks.validate(member.name, clean, where=service.package)
    templates.validate(member.name, clean, where=service.package)
    ports = {port.name for port in clean.ports}
    missing = [endpoint.port or endpoint.name for endpoint in pod.declared_endpoints]
    missing = [port for port in missing if port not in ports]
    if missing:
        raise Invalid(
            f"pod {pod.name} has endpoints of ports that it lacks: {', '.join(missing)}", where=service.package
        )
    return pod.placed(clean)
