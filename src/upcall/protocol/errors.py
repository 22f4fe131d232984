"""Errors are part of the interface: what was wrong, where, and what would be right.

One small hierarchy; the same words appear at the API (as JSON), on the command line and on the page.
"""

from typing import Any, ClassVar

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error on the wire."""

    code: str
    message: str
    where: str = ""
    expected: str = ""
    details: dict[str, Any] = {}

    def __str__(self) -> str:
        parts = [self.message]
        if self.where:
            parts.append(f"at {self.where}")
        if self.expected:
            parts.append(f"expected {self.expected}")
        return "; ".join(parts)


class UpcallError(Exception):
    """Base of all errors that a caller may see."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, where: str = "", expected: str = "", **details: Any) -> None:
        super().__init__(message)
        self.problem = Problem(code=self.code, message=message, where=where, expected=expected, details=details)

    def __str__(self) -> str:
        return str(self.problem)


class Invalid(UpcallError):
    """The request itself is wrong."""

    code = "invalid"
    status = 422


class Malformed(Invalid):
    """What arrived cannot be text, JSON or HTTP at all: nothing could be kept of it."""

    code = "malformed"
    status = 400


class NotFound(UpcallError):
    code = "not_found"
    status = 404


class Conflict(UpcallError):
    """Right in itself, but something that stands forbids it."""

    code = "conflict"
    status = 409


class Stale(Conflict):
    """An answer, write or stream about an older world."""

    code = "stale"


class Unauthorised(UpcallError):
    code = "unauthorised"
    status = 401


class Forbidden(UpcallError):
    code = "forbidden"
    status = 403


class TooLarge(UpcallError):
    code = "too_large"
    status = 413


class DoesNotFit(Conflict):
    """A plan that cannot be placed; the message says what is missing and what would fit."""

    code = "does_not_fit"


class Closed(Conflict):
    """The system does it by itself in a maintenance window alone, and none is open."""

    code = "closed"


class NotNow(UpcallError):
    """The master cannot answer at present; asking again is right."""

    code = "not_now"
    status = 503


BY_CODE: dict[str, type[UpcallError]] = {
    kind.code: kind
    for kind in (
        Invalid,
        Malformed,
        NotFound,
        Conflict,
        Stale,
        Unauthorised,
        Forbidden,
        TooLarge,
        DoesNotFit,
        Closed,
        NotNow,
    )
}


def from_problem(problem: Problem) -> UpcallError:
    """The error that a client raises for what the server said."""
    error = BY_CODE.get(problem.code, UpcallError)(problem.message)
    error.problem = problem  # whole, with a code that this version may not know
    return error
