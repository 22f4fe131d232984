"""The master of Spark comes up at another address: each that was told the old one is started again, once."""

import asyncio
from typing import Any

import pytest

from upcall.catalog.spark import pages
from upcall.catalog.spark.options import Job
from upcall.catalog.spark.service import Spark
from upcall.protocol.service import Member
from upcall.testing import KINDS, Life, Scenario, live
from upcall.testing.simulated import SimulatedKind

BEFORE, NOW = "127.9.9.1", "127.9.9.2"
JOBS = {name: Job(program="# one", disk_mib=0).model_dump() for name in ("count", "other")}


@pytest.fixture(autouse=True)
def page(monkeypatch: pytest.MonkeyPatch) -> None:
    """No master serves its page here."""

    async def blocking(_service: Spark, function: Any, *given: Any, **more: Any) -> Any:
        return function(*given, **more)

    monkeypatch.setattr(Spark, "blocking", blocking)
    monkeypatch.setattr(pages, "read", lambda master: {"workers": [], "activeapps": []})


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_has_failed_holds_up_nobody_when_the_master_moves(kind: SimulatedKind) -> None:
    """A restart of it is refused, since it does not run. That held the master back for ever, and all that looks for
    it was started anew again and again."""

    async def script(life: Life) -> None:
        await life.until_deployed()
        for name in ("bad", "good"):
            said = await life.master.act("submit-job", name=name, program="# one", restart="never")
            assert said.ok, said.error
            await life.master.until_ready(f"job-{name}")
        life.master.crash("job-bad", reason="ValueError")
        await life.master.until(lambda: life.master.state("job-bad") == "failed")
        moved = life.master.propose("move", "master-0")
        await life.master.until(lambda: life.master.operations[moved].state == "done")
        await asyncio.sleep(600)
        assert life.master.members["master-0"].back
        restarts = [each.member for each in life.master.operations.values() if each.kind == "restart"]
        assert sorted(restarts) == ["job-good", "worker-0"], "each once"

    live(Spark, script, kind=kind)


def moved(memory: dict[str, Any], **members: Member) -> tuple[list[str], dict[str, Any]]:
    """Which restarts are proposed when the master is ready at its new address, and what is remembered then."""
    master = Member(name="master-0", state="ready", incarnation=2, starts=1, place=2, address=NOW, back=False)
    found: dict[str, str | Member] = {"job-count": "ready", "job-other": "ready", "master-0": master, **members}
    outcome = Scenario(Spark, {}, members=found, memory={"jobs": JOBS, **memory}).run()
    return sorted(proposal.member for proposal in outcome.proposals), dict(outcome.memory)


@pytest.mark.parametrize("state", ["ended", "failed", "finished", "held", "wanted"])
def test_who_does_not_run_looks_for_nobody(state: str) -> None:
    away = Member(name="job-count", state=state, incarnation=1, starts=1)
    assert moved({"master-at": BEFORE}, **{"job-count": away})[0] == ["job-other", "worker-0"]


def test_who_came_since_knows_where_it_is() -> None:
    """The host died, or one proposal was refused, before it was written down that all are told."""
    _, memory = moved({"master-at": BEFORE})
    again = Member(name="worker-0", state="ready", incarnation=2, starts=2)
    proposed, _ = moved({**memory, "master-at": BEFORE}, **{"worker-0": again})
    assert proposed == ["job-count", "job-other"]
