"""What a check must be, said in one sentence before anything runs.

A check that can never pass would be found out at the worst moment: on a machine, as a member that is restarted for
ever. So it is looked at where it is declared (by the SDK, and by the master for everybody else), and once more where
it runs. One error names the member, the check, what is wrong with it and what would be right.
"""

from typing import Final

from upcall.protocol import patterns
from upcall.protocol.declaration import DAY_S, Check, Declaration
from upcall.protocol.errors import Invalid
from upcall.protocol.nearest import choice

TARGETS: Final = ("tcp", "http", "exec", "log")
INTERVAL_S_MIN: Final = 0.05
"""Between two questions, and for one answer: less would be a load, not a check."""


def validate(member: str, declaration: Declaration, where: str = "declaration") -> None:
    """``Invalid`` for a check that cannot be carried out."""
    _expressions(member, declaration, where)
    for name, check in (("ready", declaration.ready), ("health", declaration.health)):
        fault = None if check is None else _fault(check, declaration, readiness=name == "ready")
        if fault is not None:
            wrong, right = fault
            raise Invalid(f"the {name} check of {member} {wrong}", where=f"{where}.{name}", expected=right)


EXPRESSIONS_MAX: Final = 20
"""Of fatal lines, and of lines that tell progress, in one declaration."""


def _expressions(member: str, declaration: Declaration, where: str) -> None:
    for name, found in (("fatal", declaration.fatal), ("progress", declaration.progress)):
        if len(found) > EXPRESSIONS_MAX:
            wrong = f"{member} has {len(found)} expressions"
            raise Invalid(wrong, where=f"{where}.{name}", expected=f"at most {EXPRESSIONS_MAX}")
        for number, pattern in enumerate(found):
            patterns.compiled(pattern, f"{where}.{name}[{number}]")


def _fault(check: Check, declaration: Declaration, *, readiness: bool) -> tuple[str, str] | None:
    """What is wrong, and what would be right."""
    targets = [target for target in TARGETS if getattr(check, target)]
    if len(targets) != 1:
        named = f"has {len(targets)} targets ({', '.join(targets)})" if targets else "has no target"
        return named, f"exactly one of {', '.join(TARGETS)}"
    return _target_fault(check, declaration) or _time_fault(check, declaration, readiness=readiness)


def _target_fault(check: Check, declaration: Declaration) -> tuple[str, str] | None:
    if check.tcp or check.http:
        port = check.tcp or check.http.partition("/")[0]
        known = [declared.name for declared in declaration.ports]
        if port not in known:
            return f"names an unknown port {port!r}", choice(known, "a declared port (none is)")
    if check.exec and not check.exec[0]:
        return "runs an empty command", "a program and its arguments"
    if check.log and (wrong := patterns.fault(check.log)):
        return f"has a pattern that {wrong[0]}", wrong[1]
    return None


def _time_fault(check: Check, declaration: Declaration, *, readiness: bool) -> tuple[str, str] | None:
    if check.log:
        return None  # Told, never asked: the times mean nothing to it.
    for name in ("interval_s", "timeout_s"):
        value = getattr(check, name)
        if not INTERVAL_S_MIN <= value <= DAY_S:  # Also of what is no number at all.
            return f"has {name}={value:g}", f"between {INTERVAL_S_MIN:g} and {DAY_S:g} seconds"
    if not 0 <= check.delay_s <= DAY_S:
        return f"has delay_s={check.delay_s:g}", f"between 0 and {DAY_S:g} seconds"
    if readiness and check.delay_s and check.delay_s >= declaration.start_timeout_s:
        return (
            f"asks after {check.delay_s:g} s for the first time, which is too late",
            f"a delay_s below start_timeout_s ({declaration.start_timeout_s:g})",
        )
    if not readiness and check.failures < 1:
        return f"has failures={check.failures}", "at least 1"
    return None
