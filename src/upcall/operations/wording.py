"""What happened, in the words that a person reads: one place for all of them.

Each line can be read alone: not ``op-7: executing -> done``, but ``op-7: stop of log.broker-2.7 is done: exit code
143``. Its subject is said beside it.
"""

import re
from collections.abc import Callable
from typing import Final

from upcall.operations import news
from upcall.operations.records import THE_SYSTEM, Given, Operation, Verdict
from upcall.operations.table import State
from upcall.operations.words import span

ON_THE_WAY: Final = frozenset({"pending", "placed", "fetching", "starting", "running", "ending"})
"""States of a task that lead to another one by themselves."""

_VERBS: Final[dict[State, str]] = {
    "preparing": "begins",
    "executing": "begins",
    "done": "is done",
    "failed": "failed",
    "withdrawn": "is withdrawn",
}

_MENTIONED: Final = re.compile(r"\bop-[0-9]+\b(?! \()")

_NOUNS: Final[dict[Verdict, str]] = {"accept": "acceptance", "defer": "deferral", "decline": "refusal"}


def line(one: news.News, node: str = "") -> str:
    """``node``: where a task is, as far as is known."""
    match one:
        case news.OfOperation():
            return _of_operation(one)
        case news.OfTask():
            return _of_task(one, node)
        case news.EpochMoved():
            return f"epoch {one.epoch}: {one.why}"
        case news.ServiceDeclared():
            return "declared"
        case news.MemberDeclared(again=""):
            return "declared"
        case news.MemberDeclared(again=again):
            takes = {"with its volumes": "and takes its volumes back"}.get(again, again)
            return f"declared again, {takes}"
        case news.MemberWithdrawn(launched=launched):
            return "withdrawn, at its end" if launched else "withdrawn before it was launched"
        case news.MemberRetargeted():
            return "takes the newest declaration over with its next start; nothing restarts for it"
        case news.MemberReleased():
            return "released" + (f"; volumes are kept for {span(one.keep_volumes_s)}" if one.keep_volumes_s else "")
        case news.HostChanged():
            return "subscribed" if one.subscribed else "gone"
        case news.NodeChanged():
            return _because(one.state, one.reason)
        case news.Slept():
            return f"the master slept for {span(one.slept_s)}: every deadline starts anew"
    raise AssertionError(f"no words for {type(one).__name__}")


def _of_operation(one: news.OfOperation) -> str:
    operation = one.operation
    match one:
        case news.Proposed():
            how = "seen" if operation.seen else "proposed"
            why = operation.reason if operation.reason != operation.kind else ""  # It is said by what is proposed.
            return _because(f"{operation.class_} {operation.words()} {how} by {operation.asked_by}", why)
        case news.Moved():
            return f"{_moved(one, operation)}: {one.outcome or one.word}"
        case news.Overruled():
            return _because(f"{one.how} by {one.who}", one.why)
        case news.Answered():
            who = THE_SYSTEM if one.given.by_system else operation.target.service
            return f"{who} on {operation.words()}: {answer(one.given)}"
        case news.AnswerVoid(because="it ran out"):
            return f"the {_NOUNS.get(one.verdict, 'answer')} ran out"
        case news.AnswerVoid(because="it was taken back"):
            return f"{operation.target.service} took its answer back"
        case news.AnswerVoid(because="it counted on what is gone"):
            return f"the {_NOUNS.get(one.verdict, 'answer')} is void: it counted on what is gone"
        case news.AnswerVoid():
            return f"the {_NOUNS.get(one.verdict, 'answer')} is void: {one.why}"
    raise AssertionError(f"no words for {type(one).__name__}")


def _moved(one: news.Moved, operation: Operation) -> str:
    goes_on = one.before == "preparing" and operation.state == "executing"
    return f"{operation.words()} {'goes on' if goes_on else _VERBS.get(operation.state, '')}".rstrip()


def answer(given: Given) -> str:
    """``defer, ask again in 5 s: moving leaders``."""
    good_s = given.until_s - given.at_s
    words: dict[Verdict, str] = {
        "accept": f"accept, good for {span(good_s)}",
        "defer": f"defer, ask again in {span(good_s)}",
        "decline": "decline",
        "wait": "wait for it",
        "restart": "restart it here",
        "replace": "replace it elsewhere",
        "renew": "start it anew here, with empty volumes",
    }
    text = _because(words[given.verdict], given.reason)
    return text if given.waiting_helps else f"{text} (waiting does not help)"


def _of_task(one: news.OfTask, node: str) -> str:
    where = f" on {node}" if node else ""
    match one:
        case news.Launched():
            # At another place: where that is, is not known yet.
            text = f"launched{'' if one.place else where}" + (f", after {one.by}" if one.by else "")
            text += f", place {one.place}" if one.place else ""
            text += f"; {one.member_id}.{one.beside} ends when it is back" if one.beside else ""
            return text + (f", with volumes {one.takes} that were set aside" if one.takes else "")
        case news.TaskSeen(state="ready"):
            return f"ready{where}"
        case news.TaskSeen():
            return _because(one.state, one.reason)
        case news.TaskEnded():
            return f"ended{where}: {ended(one)}"
        case news.TaskUnknown():
            return f"{one.state}, but not on record"
        case news.TaskLeft():
            return f"seen {one.state}, but it was given up by {one.given_up_by}: ended"
        case news.OtherGeneration():
            return f"runs generation {one.runs}, on record is {one.on_record}: taken as it is"
        case news.AssumedDead():
            return one.how
        case news.MemberBack(error=""):
            return "is back: its after_ready has returned"
        case news.MemberBack():
            return f"does not count yet: its after_ready raised: {one.error}"
    raise AssertionError(f"no words for {type(one).__name__}")


def ended(one: news.TaskEnded) -> str:
    """How, and by or for which operation."""
    if one.by:
        return f"{one.how}, by {one.by}"
    return f"{one.how}, for {one.proof_for}" if one.proof_for else one.how


def named(text: str, words_of: Callable[[str], str]) -> str:
    """An operation that a line mentions is named by what it is, once: ``op-4 (stop of log.broker-2.7)``. ``words_of``
    gives the words of an id; none of one that nobody knows, or whose words the reader has already."""

    def name(found: re.Match[str]) -> str:
        words = words_of(found[0])
        return found[0] if not words or words in text else f"{found[0]} ({words})"

    return _MENTIONED.sub(name, text, count=1)


def _because(text: str, why: str) -> str:
    return f"{text}: {why}" if why else text
