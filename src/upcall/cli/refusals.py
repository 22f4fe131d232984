"""What would be refused, said before anything is begun: all of it at once, one reason a line."""

from collections.abc import Sequence
from dataclasses import dataclass

from upcall.protocol.errors import Conflict
from upcall.protocol.operator import ActionProblem


@dataclass(frozen=True)
class Refusal:
    """Of one thing, for one reason."""

    what: str
    """``topics orders of shop``."""
    reason: ActionProblem
    where: str
    """In the file, or on the command line."""

    def line(self) -> str:
        right = f"; expected {self.reason.expected}" if self.reason.expected else ""
        return f"  - {self.what}: {self.reason.message} (at {self.where}){right}"


def error(found: Sequence[Refusal], expected: str) -> Conflict:
    """``expected``: where the reason does not say what would be right."""
    first = found[0]
    reasons = [{"what": one.what, "where": one.where, **one.reason.model_dump(include={"code", "message", "expected"})}
               for one in found]  # fmt: skip
    if len(found) == 1:
        said, right = first.reason, first.reason.expected or expected
        return Conflict(f"{first.what} would be refused: {said.message}", where=first.where, expected=right,
                        reasons=reasons)  # fmt: skip
    lines = "\n".join(one.line() for one in found)
    return Conflict(f"{len(found)} things would be refused:\n{lines}", expected=expected, reasons=reasons)
