"""What a person can do about an operation that waits, and what each of it costs.

Named where nothing else moves it: its service says that waiting does not help, its window is over and holds, the guard
holds it, or a person was told that it is stuck. First what the service itself knows to help, then what the system can
do: take it back, or go over the answer (and over the minimum, which is said).
"""

from upcall.operations import beside, ends, guard, looping, patience
from upcall.operations.book import Book
from upcall.operations.records import Given, Operation, Way
from upcall.operations.table import KINDS
from upcall.operations.waiting import Judgement
from upcall.operations.windows import window_over


def ways_out(book: Book, operation: Operation, judgement: Judgement) -> tuple[Way, ...]:
    if looping.loops(book, operation):
        return _out_of_a_loop(book, operation)
    if operation.begun and judgement.proof_of:
        return (_assume_dead(operation, judgement.proof_of),)
    if ends.held(book, operation) and _is_told(book, operation, judgement):
        return (_force(book, operation, None, "let its end come now, below its minimum"),)
    if operation.begun and ends.takes_nothing_yet(book, operation) and _is_told(book, operation, judgement):
        return (_force(book, operation, None, "end it now, before it is elsewhere"),)
    if beside.held(book, operation) and _is_told(book, operation, judgement):
        return (_force(book, operation, None, "end what is left now, whatever becomes of the new one"),)
    if operation.state != "open" or judgement.may or operation.paused is not None:
        return ()
    given = book.answer(operation)
    helpless = given is not None and not given.waiting_helps
    if not helpless and not _is_told(book, operation, judgement):
        return ()
    if judgement.proof_of:
        return (_assume_dead(operation, judgement.proof_of),)
    if operation.kind == "lost" and patience.is_given_up(book, operation):
        return (*(given.would_help if given is not None else ()), _give_up(book, operation))
    if not KINDS[operation.kind].asked or KINDS[operation.kind].shape == "foreign" or operation.kind == "lost":
        return given.would_help if given is not None else ()
    ways = list(given.would_help) if given is not None else []
    ways += filter(None, (_take_back(book, operation), _drain_anew(book, operation), _force(book, operation, given)))
    return tuple(ways)


def _is_told(book: Book, operation: Operation, judgement: Judgement) -> bool:
    return operation.alerted or (judgement.alert_s is not None and judgement.alert_s <= book.now_s)


def _take_back(book: Book, operation: Operation) -> Way | None:
    parent = book.operations.get(operation.parent)
    if parent is not None and parent.kind == "maintenance":
        return Way(
            does=f"take the {'removal' if parent.removes_node else 'drain'} back"
            + (f" for {operation.target.node}" if len(parent.nodes) > 1 else ""),
            command=f"upcall node undrain {operation.target.node}",
            costs=f"nothing: what it holds on {operation.target.node} comes back",
        )
    if operation.class_ == "cure" or not KINDS[operation.kind].by_people or parent is not None:
        return None
    return Way(
        does="take it back",
        command=f'upcall operation cancel {operation.id} --reason "..."',
        costs="nothing: all stays as it is",
    )


def _drain_anew(book: Book, operation: Operation) -> Way | None:
    """A window that ends with ``proceed`` goes over answers and not over the guard: of use where that would pass."""
    parent = book.operations.get(operation.parent)
    if parent is None or parent.kind != "maintenance" or operation.on_deadline not in (None, "hold"):
        return None
    if guard.objection(book, operation):
        return None
    node, verb = " ".join(parent.nodes), "remove" if parent.removes_node else "drain"
    return Way(
        does="ask again, with a window that ends",
        command=f"upcall node undrain {node} && upcall node {verb} {node} --window 60 --on-deadline proceed",
        costs="it goes over the answers of all services there, and not below their minimum",
    )


def _force(book: Book, operation: Operation, given: Given | None, does: str = "") -> Way:
    objection = guard.objection(book, operation)
    costs = [f"what {operation.target.service} said comes to pass: {given.reason}"] if given and given.reason else []
    if objection:
        costs.append(f"it goes below the minimum: {objection}")
    over = "its answer and its minimum" if objection else "its answer"
    return Way(
        does=does or f"let it begin over {over}",
        command=f'upcall operation force {operation.id} --reason "..."',
        costs="; ".join(costs) or "nobody was asked what it costs",
    )


def _out_of_a_loop(book: Book, operation: Operation) -> tuple[Way, ...]:
    """A member that ends again and again: nothing of it waits for what brings it back."""
    service, member = operation.target.service, operation.target.members[0]
    known = book.members.get(f"{service}.{member}")
    bound = known is None or not known.portable
    costs = "what is in its volumes is given up" if bound else "nothing: nothing binds it to its node"
    again = f"upcall task restart {service}.{member}"
    anew = f'upcall task replace {service}.{member} --force --reason "..."'
    away = f"upcall task stop {service}.{member}"
    return (
        Way(does="try it now, when its cause is mended", command=again, costs="nothing"),
        Way(does="start it anew in another place", command=anew, costs=costs),
        Way(does="keep it down until it is started again", command=away, costs="the service stays without it"),
    )


def _give_up(book: Book, operation: Operation) -> Way:
    given = patience.last_word(book, operation)
    said = f"; {operation.target.service} said: {given.reason}" if given is not None and given.reason else ""
    return Way(
        does="let it come up elsewhere",
        command=f'upcall operation force {operation.id} --reason "..."',
        costs=f"its data on {operation.target.node} is given up{said}",
    )


def _assume_dead(operation: Operation, node: str) -> Way:
    return Way(
        does=f"say that it is dead, where you know that {node} is off",
        command=f'upcall operation assume-dead {operation.id} --reason "..."',
        costs="if it runs after all, two of it write",
    )


def waits_for_a_person(book: Book, operation: Operation) -> bool:
    """Its service says that waiting does not help, and no end of a window decides either."""
    given = book.answer(operation)
    if given is None or given.waiting_helps:
        return False
    decides = operation.class_ == "windowed" and operation.on_deadline in ("proceed", "force")
    return not (decides and operation.deadline_wall_s is not None and not window_over(book, operation))
