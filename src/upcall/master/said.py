"""What a service says on the wire, in the ledger's words. Pure: the master and the test kits' master share it."""

import json
import shlex
from typing import Any

from upcall.operations import inputs as given
from upcall.operations.records import Epoch, Way
from upcall.protocol import service as wire
from upcall.protocol.errors import Invalid
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
