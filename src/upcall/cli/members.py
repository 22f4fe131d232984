"""Members by name, those that have left among them."""

from upcall.cli.output import ago, nearest
from upcall.cli.session import Session
from upcall.protocol.errors import NotFound
from upcall.protocol.operator import TaskView


def find_task(tasks: list[TaskView], name: str) -> TaskView:
    for one in tasks:
        if name in (one.member, one.task):
            return one
    raise NotFound(f"no member or task {name!r}", where="tasks", expected=nearest(name, [one.member for one in tasks]))


def last_end_words(one: TaskView) -> str:
    """``hello.web-1.3 ended 12m 4s ago with exit code 1: out of memory``: which incarnation, when and how. Empty: none
    has."""
    if one.exit_code is None and not one.exit_reason and not one.ended:
        return ""
    who = f"{one.member}.{one.ended}" if one.ended else "it"
    when = f" {ago(one.ended_at)} ago" if one.ended_at else ""
    code = f" with exit code {one.exit_code}" if one.exit_code is not None else ""
    return f"{who} ended{when}{code}" + (f": {one.exit_reason}" if one.exit_reason else "")


def find_ended(session: Session, name: str) -> TaskView:
    """As :func:`find_task`, also one that has left."""
    try:
        return find_task(session.client.tasks(), name)
    except NotFound as missing:
        try:
            return session.client.task(name)
        except NotFound:
            raise missing from None
