"""For how long what cannot be done now is tried again.

A service may say "not now" to what it is asked: nobody of it is ready yet, it has no majority for a moment. That passes
by itself, so a command tries again, says why it waits, and gives up after a time that a person can set. Who tries again
is the service's own host, so that a command that is interrupted leaves one action behind, which can be looked at and
cancelled.
"""

import time
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import typer

from upcall.cli.output import duration
from upcall.cli.session import Session
from upcall.cli.values import seconds
from upcall.client.blocking import RETRY_S, Unreachable
from upcall.protocol.errors import Conflict, Invalid, NotNow
from upcall.protocol.operator import ActionView

T = TypeVar("T")

USUAL: Final = "10m"
"""Longer than it takes whatever passes by itself on a busy machine; a person who waits has long seen the reason."""
Patience = Annotated[
    str,
    typer.Option(
        "--patience", metavar="TIME", help="For so long what its service cannot do now is tried again; 0: not at all."
    ),
]


def patience_of(text: str) -> float:
    """``30s``, ``10m``, ``2h``; ``0`` for none."""
    if text == "0":
        return 0.0
    try:
        return seconds(text, "--patience")
    except Invalid as error:
        raise Invalid(error.problem.message, where="--patience", expected="30s, 10m, 2h ..., or 0") from None


PATIENCE_S: Final = patience_of(USUAL)
"""Where nobody said how long."""


def patiently(session: Session, attempt: Callable[[], T], what: str, patience_s: float, *, twice: bool) -> T:
    """What ``attempt`` answers, tried again while that is "not now"; each reason is said once. ``twice``: it may be
    carried out twice, so it is tried again also where nobody knows whether it was heard."""
    until_s, said = time.monotonic() + patience_s, set[str]()
    while True:
        try:
            return attempt()
        except NotNow as error:
            away = isinstance(error, Unreachable)
            if time.monotonic() >= until_s or (away and (not twice or session.client.gone())):
                raise
            if (words := error.problem.message) not in said:
                said.add(words)
                session.out.note(f"{what}: not now: {words}; tried again for up to {duration(patience_s)}")
            time.sleep(RETRY_S)


def failure(found: ActionView) -> Conflict:
    """Why an action is not done, in its service's words; where that passes by itself, how long it was tried."""
    problem, of = found.problem, f"{found.service} {found.name}"
    if problem is None:
        return Conflict(found.error or f"it has {found.state}", where=of)
    where = problem.where if problem.where not in ("", found.service) else of
    if not found.waiting_helps:
        return Conflict(problem.message, where=where, expected=problem.expected)
    if not found.patience_s:
        again = "the same in a moment: it passes by itself (`--patience 10m` tries again until then)"
        return Conflict(f"not now: {problem.message}", where=where, expected=again)
    # One that goes on waits longer than whoever asked has patience.
    tried_s = max(found.patience_s, found.ended_at - found.began_at)
    return Conflict(
        f"tried for {duration(tried_s)}, and it cannot be done: {problem.message}",
        where=where,
        expected=f"what helps {found.service} (`upcall why {found.service}`), then the same again; or a longer"
        " `--patience`",
    )
