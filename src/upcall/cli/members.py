"""Members by name, those that have left among them."""

from upcall.cli.output import nearest
from upcall.cli.session import Session
from upcall.protocol.errors import NotFound
from upcall.protocol.operator import TaskView


def find_task(tasks: list[TaskView], name: str) -> TaskView:
    for one in tasks:
        if name in (one.member, one.task):
            return one
    raise NotFound(f"no member or task {name!r}", where="tasks", expected=nearest(name, [one.member for one in tasks]))


def find_ended(session: Session, name: str) -> TaskView:
    """As :func:`find_task`, also one that has left."""
    try:
        return find_task(session.client.tasks(), name)
    except NotFound as missing:
        try:
            return session.client.task(name)
        except NotFound:
            raise missing from None
