"""The worlds that are explored: two wishes or so, and what may happen beside them.

Each of :data:`SMALL` takes a second or so, and is walked by the ordinary tests; :data:`BIG` ones take minutes.
"""

from typing import Final

from upcall.operations import inputs as given
from upcall.operations.checking.small_changes import (
    BAD,
    FINALIZE,
    GROW,
    ROLLBACK,
    SCALE_OUT,
    SHRINK,
    UPDATE,
    UPDATE_INSTEAD,
)
from upcall.operations.checking.small_world import SERVICE, Budget
from upcall.operations.table import Kind, OnDeadline


def drain(node: str, on_deadline: OnDeadline = "hold", *, remove: bool = False) -> given.Input:
    return given.Propose(
        kind="maintenance", asked_by="ann", node=node, window_s=15, on_deadline=on_deadline, remove=remove
    )


def drain_together(*nodes: str, on_deadline: OnDeadline = "hold") -> given.Input:
    return given.Propose(kind="maintenance", asked_by="ann", nodes=nodes, window_s=15, on_deadline=on_deadline)


def member(kind: Kind, name: str) -> given.Input:
    return given.Propose(kind=kind, asked_by="ann", service=SERVICE, members=(name,))


UNINSTALL: Final = given.Propose(kind="uninstall", asked_by="ann", service=SERVICE)
SHUTDOWN: Final = given.Propose(kind="shutdown", asked_by="ann")
START: Final = given.StartMembers(service=SERVICE, members=("b2",))
RESTART: Final = member("restart", "b0")

SMALL: Final[dict[str, Budget]] = {
    "two restarts, a deferral, a death": Budget(wishes=(RESTART, member("restart", "b1"))),
    "a restart, a failing task, a death": Budget(wishes=(RESTART,), failures=1, deferrals=0),
    "a restart, declined, a death": Budget(wishes=(RESTART,), deferrals=0, declines=1),
    "two drains": Budget(wishes=(drain("n0"), drain("n1")), deaths=0, deferrals=0),
    "two drains, proceed": Budget(wishes=(drain("n0", "proceed"), drain("n1", "proceed")), deaths=0),
    "two drains, force": Budget(wishes=(drain("n0", "force"), drain("n1", "force")), deaths=0),
    "a drain of two nodes": Budget(wishes=(drain_together("n0", "n1"),), deaths=0),
    "a drain of two nodes, proceed, a death": Budget(
        wishes=(drain_together("n0", "n1", on_deadline="proceed"),), deferrals=0
    ),
    "a drain of two nodes, a restart": Budget(wishes=(drain_together("n0", "n1"), RESTART), deaths=0, deferrals=0),
    "two at once: a drain of two nodes": Budget(
        wishes=(drain_together("n0", "n1"),), twice=True, deaths=0, deferrals=0
    ),
    "a drain, proceed, declined, a death": Budget(wishes=(drain("n0", "proceed"),), deferrals=0, declines=1),
    "a drain, force, a failing task": Budget(wishes=(drain("n0", "force"),), deaths=0, deferrals=0, failures=1),
    "a restart whose hook must return, and a stop, a death": Budget(
        wishes=(RESTART, member("stop", "b1")), deferrals=0, hooks=True
    ),
    "a restart and a stop that hand over first, a death": Budget(
        wishes=(RESTART, member("stop", "b1")), deferrals=0, hands_over=True
    ),
    "a stop that hands over first, a failing task": Budget(
        wishes=(member("stop", "b0"),), deaths=0, deferrals=0, failures=1, hands_over=True
    ),
    "a replacement that hands over first, and a drain": Budget(
        wishes=(member("replace", "b0"), drain("n1")), deaths=0, deferrals=0, hands_over=True
    ),
    "a failing task whose hook must return, a restart": Budget(
        wishes=(RESTART,), failures=1, deaths=0, deferrals=0, hooks=True
    ),
    "a replacement, a death": Budget(wishes=(member("replace", "b0"),)),
    "a replacement and a drain": Budget(wishes=(member("replace", "b0"), drain("n1")), deaths=0, deferrals=0),
    "a replacement that moves data first, a death": Budget(wishes=(member("replace", "b0"),), leaves=True),
    "a scale-in that moves data first and is cancelled while it does, a death": Budget(
        wishes=(member("scale_in", "b0"),), leaves=True, cancels=1, deferrals=0
    ),
    "a scale-in that is cancelled while data moves, and a drain": Budget(
        wishes=(member("scale_in", "b0"), drain("n0")), leaves=True, cancels=1, deaths=0, deferrals=0
    ),
    "a scale-in that moves data first, a failing task": Budget(
        wishes=(member("scale_in", "b0"),), leaves=True, cancels=1, failures=1, deaths=0, deferrals=0
    ),
    "a scale-in, a death": Budget(wishes=(member("scale_in", "b0"),)),
    "a scale-in and a drain": Budget(wishes=(member("scale_in", "b0"), drain("n1")), deaths=0, deferrals=0),
    "a stop, a death": Budget(wishes=(member("stop", "b0"),)),
    "a stop and a drain of its node": Budget(wishes=(member("stop", "b0"), drain("n0")), deaths=0, deferrals=0),
    "a node is removed, a death": Budget(wishes=(drain("n0", remove=True),), deferrals=0),
    "a node is removed, a restart": Budget(wishes=(drain("n0", remove=True), RESTART), deaths=0, deferrals=0),
    "a silent node that returns or is proven dead, a death": Budget(silences=1, deferrals=0),
    "a silent node that never returns, a death": Budget(silences=1, returns=False, deferrals=0),
    "a silent node and a restart": Budget(wishes=(RESTART,), silences=1, deaths=0, deferrals=0),
    "as many members as nodes, one node away and back": Budget(silences=1, spare=False, deferrals=0),
    "as many members as nodes, a node is removed": Budget(
        wishes=(drain("n0", remove=True), RESTART), spare=False, deferrals=0
    ),
    "as many members as nodes, a replacement": Budget(wishes=(member("replace", "b0"),), spare=False, deferrals=0),
    "a drain, and a member that starts later": Budget(
        wishes=(drain("n2"), START), later="b2", spare=False, deferrals=0
    ),
    "a drain, a member that starts later, and room elsewhere": Budget(
        wishes=(drain("n2"), START), later="b2", deferrals=0
    ),
    "a drain that becomes a removal": Budget(wishes=(drain("n0"), drain("n0", remove=True)), deferrals=0),
    "uninstall and a drain": Budget(wishes=(UNINSTALL, drain("n0")), deaths=0, deferrals=0),
    "a node is removed and never heard again": Budget(
        wishes=(drain("n0", remove=True),), silences=1, falls="n0", returns=False, deaths=0, deferrals=0
    ),
    "a forced stop, a node that is never heard again": Budget(
        wishes=(member("stop", "b0"),), silences=1, falls="n0", returns=False, deaths=0, deferrals=0, forces=1
    ),
    "a replacement, a node that is never heard again": Budget(
        wishes=(member("replace", "b0"),), silences=1, falls="n0", returns=False, deaths=0, deferrals=0
    ),
    "uninstall, a silent node": Budget(wishes=(UNINSTALL,), silences=1, deaths=0, deferrals=0),
    "what is broken, and the cure of another": Budget(broken="b0", lasting=True, deaths=0, deferrals=0, failures=2),
    "what is broken, a death": Budget(broken="b0", deferrals=0, failures=1),
    "what is broken is replaced, a death": Budget(
        wishes=(member("replace", "b0"),), broken="b0", deferrals=0, failures=1
    ),
    "what is broken is drained": Budget(wishes=(drain("n0", "proceed"),), broken="b0", deaths=0, failures=1),
    "what is broken is restarted, forced": Budget(wishes=(RESTART,), broken="b0", deaths=0, failures=1, forces=1),
    "what is broken is stopped": Budget(wishes=(member("stop", "b0"),), broken="b0", deaths=0, deferrals=0, failures=1),
    "two at once: a replacement, a death": Budget(wishes=(member("replace", "b0"),), twice=True, deferrals=0),
    "two at once: a replacement, a failing task": Budget(
        wishes=(member("replace", "b0"),), twice=True, deaths=0, deferrals=0, failures=1
    ),
    "two at once: a replacement, a stop of the new one": Budget(
        wishes=(member("replace", "b0"), member("stop", "b0")), twice=True, deaths=0, deferrals=0
    ),
    "two at once: two drains": Budget(wishes=(drain("n0"), drain("n1")), twice=True, deaths=0, deferrals=0),
    "two at once: a node is removed, a hook must return, a death": Budget(
        wishes=(drain("n0", remove=True),), twice=True, hooks=True, deferrals=0
    ),
    "two at once: a replacement, a silent node": Budget(
        wishes=(member("replace", "b0"),), twice=True, silences=1, deaths=0, deferrals=0
    ),
    "two at once: a replacement that moves data first, a death": Budget(
        wishes=(member("replace", "b0"),), twice=True, leaves=True, deferrals=0
    ),
    "two at once: uninstall and a drain, a death": Budget(wishes=(UNINSTALL, drain("n0")), twice=True, deferrals=0),
    "two at once: shutdown and a replacement": Budget(
        wishes=(SHUTDOWN, member("replace", "b0")), twice=True, deaths=0, deferrals=0
    ),
    "an update, a death": Budget(wishes=(UPDATE,), deferrals=0),
    "an update and another instead of it": Budget(wishes=(UPDATE, ROLLBACK), deaths=0, deferrals=0),
    "an update whose canary never becomes ready, a rollback": Budget(
        wishes=(UPDATE, ROLLBACK), bad=BAD, deaths=0, deferrals=0
    ),
    "members get more, and less instead of it": Budget(wishes=(GROW, SHRINK), deaths=0, deferrals=0),
    "members come, a death": Budget(wishes=(SCALE_OUT,), deferrals=0),
    "the point of no return, and an update instead of it": Budget(
        wishes=(FINALIZE, UPDATE_INSTEAD), deaths=0, deferrals=0
    ),
    "the point of no return, a restart, a death": Budget(wishes=(FINALIZE, RESTART), deferrals=0),
    "shutdown and a restart, forced": Budget(wishes=(SHUTDOWN, RESTART), deaths=0, deferrals=0, forces=1),
}
BIG: Final[dict[str, Budget]] = {
    "a restart and a drain of its node, a deferral, a death": Budget(wishes=(RESTART, drain("n0"))),
    "a drain, force, that hands over first, a failing task": Budget(
        wishes=(drain("n0", "force"),), deaths=0, deferrals=0, failures=1, hands_over=True
    ),
    "an update, a failing task": Budget(wishes=(UPDATE,), deaths=0, deferrals=0, failures=1),
    "an update and a drain": Budget(wishes=(UPDATE, drain("n1")), deaths=0, deferrals=0),
    "an update whose canary ends again and again, a rollback": Budget(
        wishes=(UPDATE, ROLLBACK), bad=BAD, deaths=0, deferrals=0, failures=1
    ),
    "an update, and its service goes": Budget(wishes=(UPDATE, UNINSTALL), deferrals=0),
    "two drains, a deferral, a death": Budget(wishes=(drain("n0"), drain("n1"))),
    "two drains, force, a death": Budget(wishes=(drain("n0", "force"), drain("n1", "force")), deferrals=0),
    "a drain of two nodes, force, a failing task": Budget(
        wishes=(drain_together("n0", "n1", on_deadline="force"),), deaths=0, failures=1, deferrals=0
    ),
    "uninstall and a drain, a deferral, a death": Budget(wishes=(UNINSTALL, drain("n0"))),
    "shutdown and a restart, a death": Budget(wishes=(SHUTDOWN, RESTART), deferrals=0),
    "a drain, a failing task, a death": Budget(wishes=(drain("n0"),), failures=1, deferrals=0),
    "a restart and a drain, a failing task, a deferral": Budget(wishes=(RESTART, drain("n1")), deaths=0, failures=1),
    "uninstall, a node that is never heard again, a death": Budget(
        wishes=(UNINSTALL,), silences=1, falls="n0", returns=False, deferrals=0
    ),
    "a node is removed and never heard again, a death": Budget(
        wishes=(drain("n0", remove=True),), silences=1, falls="n0", returns=False, deferrals=0
    ),
    "a silent node and a drain, a deferral": Budget(wishes=(drain("n1"),), silences=1, deaths=0),
    "a silent node and a drain of it": Budget(wishes=(drain("n0"),), silences=1, deaths=0, deferrals=0),
    "what is broken, twice, a death": Budget(broken="b0", deferrals=0, failures=2),
    "what is broken is drained, a deferral, a death": Budget(wishes=(drain("n0"),), broken="b0", failures=1),
    "what is broken is replaced, another falls sick": Budget(
        wishes=(member("replace", "b0"),), broken="b0", lasting=True, deaths=0, deferrals=0, failures=2
    ),
    "a stop and a drain that hand over first, a failing task": Budget(
        wishes=(member("stop", "b0"), drain("n1")), deaths=0, deferrals=0, failures=1, hands_over=True
    ),
    "a restart that hands over first, uninstall, a lasting failure": Budget(
        wishes=(RESTART, UNINSTALL), deaths=0, deferrals=0, failures=1, lasting=True, hands_over=True
    ),
    "two at once: two drains, a death": Budget(wishes=(drain("n0"), drain("n1")), twice=True, deferrals=0),
    "two at once: a drain, force, a failing task, a death": Budget(
        wishes=(drain("n0", "force"),), twice=True, failures=1, deferrals=0
    ),
    "two at once: a replacement, a failing task that is replaced by force": Budget(
        wishes=(member("replace", "b0"), member("replace", "b0")),
        twice=True,
        deaths=0,
        deferrals=0,
        failures=1,
        forces=1,
    ),
    "two restarts, a slow start, a failing task": Budget(
        wishes=(RESTART, member("restart", "b1")), deaths=0, failures=1, slow=1
    ),
}
