"""What somebody is woken for, and the words."""

from typing import Any

import pytest

from upcall.alerts import notices
from upcall.protocol.operator import Event


def event(filed: str = "operation", /, *, number: int = 7, **data: Any) -> Event:
    return Event(sequence=number, cluster="c", at=1.0, kind=filed, subject="op-1", text="words", data=data)


def operation(data: dict[str, Any]) -> Event:
    return Event(sequence=7, cluster="c", at=1.0, kind="operation", subject="op-1", text="words", data=data)


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (event("alert", alert=True, service="kafka", operation="op-1"), "alert"),
        (event("alert", alert=False), None),  # It is over again.
        (event(how="forced", kind="stop"), "forced"),
        (event(how="paused", kind="update"), None),
        (operation({"kind": "lost", "class": "involuntary", "to": "open"}), "lost"),
        (operation({"kind": "lost", "from": "open", "to": "executing"}), None),
        (operation({"kind": "update", "from": "executing", "to": "failed"}), "given up"),
        (operation({"kind": "update", "from": "executing", "to": "done"}), None),
        (event("answer", verdict="defer"), None),
        (event("gap", missing=3), "missed"),
    ],
)
def test_what_a_person_must_know(found: Event, what: str | None) -> None:
    notice = notices.of(found)
    assert (notice.what if notice else None) == what


def test_its_id_is_the_same_whenever_it_is_read() -> None:
    first, again = notices.of(event("alert", alert=True)), notices.of(event("alert", alert=True))
    assert first == again
    assert first is not None
    assert first.id == "c-7-alert"


def test_many_are_one_message_with_the_newest_and_how_many_more() -> None:
    many = [
        one for number in range(30) if (one := notices.of(event("alert", number=number, alert=True, service="kafka")))
    ]
    text = notices.text(many, "c")
    assert text.count("alert: kafka: op-1: words") == notices.LINES_MAX
    assert "(10 older ones" in text
    document = notices.document(many, "c")
    assert [one["sequence"] for one in document["alerts"]] == list(range(30))
    assert document["text"] == text


def test_a_line_names_the_member() -> None:
    notice = notices.of(event(how="forced", kind="stop", service="kafka", member="kafka.broker-0"))
    assert notice is not None
    assert notice.line == "forced: kafka.broker-0: op-1: words"
