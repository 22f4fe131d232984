"""When whoever follows a service on its way gives it up."""

from typing import Any

import pytest

from upcall.cli.deploy import Watched, look
from upcall.protocol.operator import ServiceView, TaskView


def member(name: str, state: str, reason: str = "") -> TaskView:
    return TaskView(
        member=f"jobs.{name}",
        service="jobs",
        name=name,
        incarnation=1,
        task=f"jobs.{name}.1",
        state=state,
        reason=reason,
    )


def shown(*members: TaskView) -> ServiceView:
    ready = sum(each.state in ("ready", "finished") for each in members)
    plan: dict[str, Any] = {"name": "deploy", "state": "done", "phases": []}
    return ServiceView(
        name="jobs",
        package="jobs",
        version="1",
        revision=1,
        desired="running",
        state="running" if ready == len(members) else "degraded",
        ready=ready,
        wanted=len(members),
        members=list(members),
        plans=[plan],
    )


def test_a_job_that_failed_is_not_waited_for() -> None:
    one = Watched("jobs", 0.0)
    look(one, shown(member("a", "ready"), member("b", "failed", "KeyError: 'x'; restart=never")), 1.0)
    assert one.problem == "b failed: KeyError: 'x'; restart=never"


@pytest.mark.parametrize("state", ["fetching", "starting", "running", "ended"])
def test_while_another_is_on_its_way_nothing_is_given_up(state: str) -> None:
    one = Watched("jobs", 0.0)
    look(one, shown(member("a", state), member("b", "failed", "no luck")), 1.0)
    assert not one.ended


def test_what_finished_is_there() -> None:
    one = Watched("jobs", 0.0)
    look(one, shown(member("a", "ready"), member("b", "finished")), 1.0)
    assert (one.problem, one.took_s) == ("", 1.0)
