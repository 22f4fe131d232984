"""The code that a revision brings, beside the code that runs: to be tried and asked before anything begins.

Of the same files it is the same object in another version. Other files (a service of one's own that was edited) are
loaded, and an object is made of them as a host would make it. What ``on_start`` teaches a service, the code that runs
has learned already; where the other one learns it in the same way, it is told so, for ``on_start`` itself may do more
than look and is not called here. Where it learns otherwise, or the code that runs has not started, nobody can say what
it would know: it is not tried, and whatever is wrong with it shows when it starts.

It may hang as any code may, and so may the code that runs, under other options: it is called in threads of its own,
with a deadline.
"""

import asyncio
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import CodeType
from typing import Any, Final, TypeVar

from upcall.protocol import service as wire
from upcall.protocol.errors import UpcallError
from upcall.service import faults
from upcall.service.comparing import NobodyKnows, with_code
from upcall.service.hanging import Hangs
from upcall.service.service import Service, overridden

R = TypeVar("R")

_PART: Final = 0.3
"""Of the deadline of the question that it belongs to, for each call of what is tried: it may hang, and the question is
to be answered in time all the same."""
OWN_PART: Final = 0.8
"""The same for what is called once: code that runs already, in another version or under other options; and the import
of what is tried."""


class Refused(UpcallError):
    """The change makes no sense here."""

    code = "refused"


@dataclass(frozen=True)
class Code:
    """Who answers for a revision."""

    service: Service
    within_s: float
    """How long one call of it may take."""
    other_files: bool = False
    """Nobody has agreed to it yet."""

    async def call(self, function: Callable[..., R], *args: Any) -> R:
        """Something that calls its code. What other files raise is a :class:`Refused`; and so is what hangs."""
        try:
            return await apart(self.service, self.within_s, function, *args)
        except (asyncio.CancelledError, NobodyKnows):
            raise
        except Hangs as hangs:
            what = "its code cannot say what it wants" if self.other_files else "with these options"
            raise Refused(f"{what}: {hangs.problem.message}") from hangs
        except BaseException as error:
            if not self.other_files:
                raise
            raise Refused(f"its code cannot say what it wants: {faults.words(error, type(self.service))}") from error


def of_the_same_files(service: Service) -> Code:
    """As the code that runs."""
    return Code(service, service.answer_timeout_s * OWN_PART)


async def code_of(service: Service, revision: wire.Revision) -> Code | None:
    """That of the version that would come. None: it cannot be tried here. Raises :class:`Refused` where it cannot even
    be loaded."""
    if not revision.other_code:
        return of_the_same_files(service)
    here = service._context.version or service.version
    if {revision.version, here} <= set(service.versions()):
        return of_the_same_files(with_code(service, type(service).at(revision.version)))
    try:
        code = await service._context.load(revision)
    except Hangs as hangs:
        raise Refused(f"its code cannot be loaded: {hangs.problem.message}") from hangs
    except (UpcallError, ConnectionError):
        raise  # The master is away; or its files are, which the host says in its log.
    except Exception as error:
        raise Refused(f"its code cannot be loaded: {faults.words(error, type(service))}") from error
    if code is None or not _learns_alike(service, code):
        return None
    learned = {name: value for name, value in vars(service).items() if name not in ("_context", "options")}
    trial = Code(service, service.answer_timeout_s * _PART, other_files=True)
    return replace(trial, service=await trial.call(_beside, service, code, revision, learned))


async def apart(service: Service, within_s: float, function: Callable[..., R], *args: Any) -> R:
    """In a thread of its own, for not too long: under other options any code may hang."""
    return await service._context.apart.call(function, *args, within_s=within_s, what="its code")


def _beside(service: Service, code: type[Service], revision: wire.Revision, learned: Mapping[str, Any]) -> Service:
    context = dataclasses.replace(service._context, version=revision.version, pods=None, built=None, made=None)
    other = code(context)
    if overridden(other, "on_start"):
        vars(other).update(learned)
    return other


def _learns_alike(service: Service, code: type[Service]) -> bool:
    """Whether what the code that runs has learned is what this one would know."""
    if code.on_start is Service.on_start:
        return True
    return service._context.started and _written(type(service), "on_start") == _written(code, "on_start")


def _written(owner: type, method: str) -> dict[str, Any]:
    """A method and its own that it calls, as they are written: the lines that they stand on do not matter."""
    found: dict[str, Any] = {}
    left = [method]
    while left:
        name = left.pop()
        code = getattr(inspect.unwrap(getattr(owner, name)), "__code__", None)
        if name in found or code is None:
            continue
        found[name] = tuple(_instructions(code))
        left += [each for each in _names(code) if inspect.isfunction(getattr(owner, each, None))]
    return found


def _instructions(code: CodeType) -> Iterator[Any]:
    yield code.co_code
    yield code.co_names
    for const in code.co_consts:
        yield tuple(_instructions(const)) if isinstance(const, CodeType) else const


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names(const)
