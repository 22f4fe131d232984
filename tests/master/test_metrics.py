"""What a Prometheus reads."""

from types import SimpleNamespace

from upcall.master.metrics import exposition
from upcall.protocol.operator import ScheduleView, ServiceView


def test_what_is_done_again_and_again_can_be_watched_from_outside() -> None:
    schedules = [
        ScheduleView(
            service="ring", name="repair", every="7 days", next=2000.0, done=1000.0, late=True, outcome="failed"
        ),
        ScheduleView(service="ring", name="sweep", every="1 day", next=1500.0, done=1400.0, outcome="done"),
    ]
    service = ServiceView(name="ring", package="ring", version="1", revision=1, schedules=schedules)
    known = {"nodes": list, "tasks": list, "operations": list, "waiting": list, "services": lambda: [service]}
    said = exposition(SimpleNamespace(**known, stuck=lambda: 2)).decode()  # type: ignore[arg-type]
    for words in (
        'upcall_schedule_next_timestamp_seconds{schedule="sweep",service="ring"} 1500.0',
        'upcall_schedule_done_timestamp_seconds{schedule="repair",service="ring"} 1000.0',
        'upcall_schedule_late{schedule="repair",service="ring"} 1.0',
        'upcall_schedule_late{schedule="sweep",service="ring"} 0.0',
        'upcall_schedule_failed{schedule="repair",service="ring"} 1.0',
        "upcall_operations_stuck 2.0",
    ):
        assert words in said
