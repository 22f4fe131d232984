"""When whoever follows a service on its way gives it up."""

from typing import Any

import pytest

from upcall.cli.deploy import DEGRADED_GRACE_S, RECOVERING_GRACE_S, Watched, changes, cure_of, look
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


def recovering(*members: TaskView) -> ServiceView:
    return shown(*members).model_copy(update={"state": "recovering", "reason": "driver ended 2 times"})


def watched(*looks: tuple[ServiceView, float], tried_for_s: float = 0.0) -> Watched:
    one = Watched("jobs", 0.0)
    for view, now in looks:
        look(one, view, now, tried_for_s)
    return one


@pytest.mark.parametrize("state", ["placed", "fetching", "starting", "running"])
def test_who_ends_again_and_again_is_given_up_between_two_tries_and_not_in_one(state: str) -> None:
    now = recovering(member("a", "ready"), member("driver", state))
    over = recovering(member("a", "ready"), member("driver", "ended"))
    late = 1.0 + RECOVERING_GRACE_S
    assert watched((over, 1.0), (over, late)).problem == "driver ended 2 times"
    assert not watched((over, 1.0), (now, late)).ended
    assert watched((over, 1.0), (now, late), (over, late + 20.0)).problem
    assert watched((over, 1.0), (now, 1.0 + DEGRADED_GRACE_S)).problem


def test_who_has_time_gives_nobody_up_who_is_started_again() -> None:
    over = recovering(member("driver", "ended"))
    assert not watched((over, 1.0), (over, 899.0), tried_for_s=900.0).ended
    assert watched((over, 1.0), (over, 901.0), tried_for_s=900.0).problem
    failed = shown(member("driver", "failed", "restart=never"))
    assert watched((failed, 1.0), tried_for_s=900.0).problem, "nobody starts it again"


def test_hints_name_members_that_there_are() -> None:
    looping = watched((recovering(member("a", "ready"), member("driver", "ended")), 1.0))
    assert (
        cure_of(looping) == "a cure (`upcall logs jobs.driver`), then it goes on by itself; or `upcall uninstall jobs`"
    )
    failed = watched((shown(member("a", "ready"), member("b", "failed", "KeyError")), 1.0))
    assert (
        cure_of(failed) == "a cure (`upcall logs jobs.b`), then `upcall task start jobs.b`; or `upcall uninstall jobs`"
    )
    assert "`upcall logs --host jobs`" in cure_of(watched((shown(), 1.0))), "its code alone can say"


def on_the_way(state: str, reason: str, *steps: tuple[str, str]) -> ServiceView:
    listed = [{"name": name, "state": "waiting", "reason": why} for name, why in steps]
    plan = {"name": "deploy", "state": "waiting", "phases": [{"name": "web", "steps": listed}]}
    return shown().model_copy(update={"state": state, "reason": reason, "plans": [plan]})


def test_each_thing_is_said_once_and_members_that_wait_for_the_same_on_one_line() -> None:
    one, rest = Watched("jobs", 0.0), "waits for its place, with the others"
    waiting = [(f"web-{number}", rest) for number in range(1, 6)]
    one.view = on_the_way("blocked", "needs 6 nodes", ("web-0", "needs 6 nodes"), *waiting)
    assert changes(one) == [
        "jobs: web/web-0 waiting (needs 6 nodes)",
        "jobs: web/web-1, web-2, web-3 and 2 more waiting (waits for its place, with the others)",
    ]
    assert changes(one) == []
    one.view = on_the_way("blocked", "no host is connected", ("web-0", "needs 6 nodes"), *waiting)
    assert changes(one) == ["jobs: blocked: no host is connected"]


def test_what_counts_up_is_nothing_new_and_a_page_is_no_line() -> None:
    one = Watched("jobs", 0.0)
    one.view = on_the_way("deploying", "", ("web-0", "asked 3 s ago"), ("web-1", "asked 3 s ago"))
    assert len(changes(one)) == 1
    one.view = on_the_way("deploying", "", ("web-0", "asked 9 s ago"), ("web-1", "asked 4 s ago"))
    assert changes(one) == []
    one.view = on_the_way("recovering", "x" * 400)
    (line,) = changes(one)
    assert len(line) < 240
    assert line.endswith("... (`upcall why` says it whole)")


def test_of_one_that_ends_again_and_again_in_the_same_way_a_line_is_said_once() -> None:
    one = Watched("jobs", 0.0)

    def said(times: int, how: str) -> list[str]:
        driver = member("driver", "ended").model_copy(update={"exit_reason": how})
        words = f"driver ended {times} times, last: {how}; next try in {times} s"
        one.view = recovering(driver).model_copy(update={"reason": words})
        return changes(one)

    assert len(said(1, "exit code 1")) == 1
    assert [said(times, "exit code 1") for times in (2, 3)] == [[], []]
    assert len(said(4, "killed by SIGKILL")) == 1
