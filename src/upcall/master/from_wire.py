"""What a service says: the wire's words in the ledger's. Pure; :mod:`~upcall.master.to_wire` is the other way."""

import json
import shlex
from collections.abc import Callable, Container, Mapping
from typing import Any

import msgspec

from upcall.operations import inputs as given
from upcall.operations.records import Epoch, Policy, Way
from upcall.operations.table import KINDS
from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid
from upcall.protocol.nearest import choice
from upcall.protocol.numbers import whole


def answers(service: str, said: wire.Answers) -> given.Answers:
    return given.Answers(
        service=service,
        epoch=epoch(said.epoch),
        answers={each.operation: answer(service, each) for each in said.answers},
    )


def epoch(text: str) -> Epoch:
    start, number = (whole(part) for part in (text.partition(".")[0], text.partition(".")[2]))
    if start is None or number is None:
        raise Invalid(f"not an epoch: {text!r}", where="epoch", expected="the epoch of the set that is answered")
    return Epoch(start, number)


def answer(service: str, said: wire.Answer) -> given.Answer:
    return given.Answer(
        verdict=said.verdict,
        valid_s=said.valid_s,
        counts_on=said.counts_on,
        retry_after_s=said.retry_after_s,
        reason=said.reason,
        progress=said.progress,
        waiting_helps=said.waiting_helps,
        would_help=tuple(way(service, each) for each in said.would_help),
        by_system=said.by_system,
    )


def proposal(service: str, said: wire.Propose) -> given.Propose:
    """Whether a service may propose this is the ledger's to say; that there is such a kind is looked at here."""
    if said.kind not in KINDS:
        known = [name for name, each in KINDS.items() if each.by_services]
        raise Invalid(f"no kind of operation: {said.kind!r}", where="kind", expected=choice(known, ""))
    kind: Any = said.kind
    return given.Propose(
        kind=kind,
        asked_by=service,
        scope=service,
        reason=said.reason,
        service=service,
        members=(said.member,) if said.member else (),
        parent=said.parent,
        key=f"{service}/{said.key}",
    )


def policy(said: wire.Policy) -> Policy:
    return msgspec.convert(said, Policy, from_attributes=True)


def members(
    declared: wire.Declare, generation_of: Callable[[str], int], *, same_as: Mapping[str, int], anew: Container[str]
) -> tuple[given.MemberDeclaration, ...]:
    return tuple(
        given.MemberDeclaration(
            name=name,
            generation=generation_of(name),
            same_as=same_as.get(name, 0),
            anew=name in anew,
            restart=wanted.declaration.restart,
            restarts_max=wanted.declaration.restarts_max,
            start_timeout_s=wanted.declaration.start_timeout_s,
            grace_s=wanted.declaration.grace_s,
            counts=wanted.minimum,
            hooks=wanted.hooks,
            portable=not wanted.declaration.bound_to_its_node,
            two_at_once=wanted.declaration.two_at_once,
        )
        for name, wanted in declared.members.items()
    )


def back(service: str, said: wire.Back) -> given.Back:
    return given.Back(service=service, member=said.member, incarnation=said.incarnation, error=said.error)


def way(service: str, said: wire.Way) -> Way:
    """An action of the service becomes the command that calls it."""
    words = ["upcall", "service", "do", service, said.action, *map(_argument, said.arguments.items())]
    return Way(does=said.does, command=shlex.join(words) if said.action else "", costs=said.costs)


def _argument(item: tuple[str, Any]) -> str:
    name, value = item
    return f"{name}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"
