"""Services end in their order before what runs them ends, and start again with it: on this machine as elsewhere."""

from collections.abc import Callable, Sequence
from typing import Final

from upcall.cli.session import Session
from upcall.cli.waiting import wait_for
from upcall.protocol.operator import Ask, ServiceView

SHUTDOWN_TIMEOUT_S: Final = 300.0
"""For all services, in their order."""
ANSWER_TIMEOUT_S: Final = 120.0
"""Until a master has taken the shutdown in: longer than another one needs to be started, or to lead."""

SHUT_DOWN: Final = "shut_down"


def shut_down(
    session: Session, services: Sequence[ServiceView], left_s: Callable[[float], float] = lambda of_s: of_s
) -> None:
    """Until all of them have ended. ``left_s``: what is left of so many seconds. A master that goes in the middle of
    it is asked again, or the next one is: asked twice it is the same shutdown."""
    if not services:
        return
    session.out.note(f"shutting down {', '.join(one.name for one in services)}")
    client, ask = session.client, Ask(reason="upcall down")
    operation = client.patient(lambda: client.operation_of("/v1/shutdown", ask), left_s(ANSWER_TIMEOUT_S))
    wait_for(session, operation, timeout_s=left_s(SHUTDOWN_TIMEOUT_S))


def start_up(session: Session, services: Sequence[ServiceView]) -> None:
    """Those that were shut down. Asked twice it is the same."""
    if any(one.desired == SHUT_DOWN for one in services):
        session.out.note("services that were shut down start again")
        session.client.patient(lambda: session.client.post("/v1/startup", Ask(reason="upcall up")), ANSWER_TIMEOUT_S)
