"""A responder of the owner's own: the upcall goes out as JSON, the answer comes back as JSON.

Both are small, and published as a JSON Schema (``docs/responder.schema.json``). The call is bounded in time and in
size. Whoever is away, answers something else, or says it with an error has not answered: that is told as what it is,
and is never taken for a yes.
"""

import asyncio
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, Literal

import aiohttp
import msgspec
from msgspec import Meta

import upcall.service as up

if TYPE_CHECKING:
    from upcall.catalog.workload.service import Workload

TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 64 << 10
AGAIN_S: Final = 5.0
"""A responder that did not answer is asked again after so long."""
REASON_CHARS_MAX: Final = 500
WHITE: Final = re.compile(r"\s+")


class NoAnswer(Exception):
    """In words: who did not answer, and what happened instead."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One member as it stands."""

    name: str
    """``member-2``: of a ``StatefulSet`` its pod's number."""
    ready: bool
    node: str
    address: str
    """Of its pod; empty while there is none."""


class Upcall(msgspec.Struct, frozen=True, kw_only=True):
    """May this member be taken away now?"""

    version: Literal[1] = 1
    """What is added later is added beside; unknown fields are to be ignored."""
    workload: str
    """``statefulset/web``."""
    operation: str
    """The same question has the same number, however often it comes."""
    kind: str
    """``evict``; ``stop``, ``vacate`` or ``restart`` where a person of ours asks for it."""
    reason: str
    asked_by: str
    member: Member
    members: tuple[Member, ...]
    """All of them, this one too."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    verdict: Literal["accept", "defer", "decline"]
    """``accept``: now, and it counts on all others that are ready. ``defer``: not now. ``decline``: no; it may be asked
    again all the same, where somebody evicts again."""
    reason: Annotated[str, Meta(max_length=REASON_CHARS_MAX)] = ""
    """In words: whoever waits reads them."""
    progress: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Defer: how far it is."""
    retry_after_s: Annotated[float, Meta(ge=1, le=600)] = 10.0
    """Defer: when it is asked again."""


def schemas() -> dict[str, object]:
    """Of both, as JSON Schema."""
    _, found = msgspec.json.schema_components((Upcall, Answer), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What a responder of a workload is asked, and what it answers",
        "$defs": found,
    }


def upcall(service: "Workload", member: up.Member, why: up.Operation) -> Upcall:
    return Upcall(
        workload=service.options.workload,
        operation=why.id,
        kind=why.kind,
        reason=why.reason,
        asked_by=why.asked_by,
        member=_of(member),
        members=tuple(_of(each) for each in service.members),
    )


def _of(member: up.Member) -> Member:
    return Member(name=member.name, ready=member.ready, node=member.node, address=member.address)


async def ask(url: str, question: Upcall) -> up.Verdict:
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            aiohttp.ClientSession() as session,
            session.post(
                url,
                data=msgspec.json.encode(question),
                headers={"content-type": "application/json"},
                allow_redirects=False,
            ) as response,
        ):
            said = await _bounded(response)
            status = response.status
    except TimeoutError:
        raise NoAnswer(f"its responder has not answered within {TIMEOUT_S:.0f} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NoAnswer(f"its responder cannot be asked ({error or type(error).__name__})") from None
    if status != 200:
        raise NoAnswer(f"its responder answered with status {status}")
    if said is None:
        raise NoAnswer(f"its responder answered with more than {ANSWER_BYTES_MAX >> 10} KiB")
    try:
        answer = msgspec.json.decode(said, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NoAnswer(f"its responder answered something that is no answer ({error})") from None
    return verdict(answer)


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """None: it is longer than any answer."""
    said = b""
    async for part in response.content.iter_any():
        said += part
        if len(said) > ANSWER_BYTES_MAX:
            return None
    return said


def verdict(answer: Answer) -> up.Verdict:
    reason = WHITE.sub(" ", answer.reason).strip()
    match answer.verdict:
        case "accept":
            return up.accept(reason)
        case "defer":
            return up.defer(
                reason or "its responder says not now", retry_after=answer.retry_after_s, progress=answer.progress
            )
        case "decline":
            return up.decline(reason or "its responder says no")


def with_reason(careful: up.Verdict, words: str) -> up.Verdict:
    said = f"{words}: {careful.reason}" if careful.reason else words
    return replace(careful, reason=said)


if __name__ == "__main__":  # what is published
    print(json.dumps(schemas(), indent=2))
