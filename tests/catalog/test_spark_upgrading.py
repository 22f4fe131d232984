"""Spark goes to a newer version, back, and past the point of no return: who goes when, and what stands against it."""

from typing import Any

import pytest

from upcall.catalog.spark import pages
from upcall.catalog.spark.members import FORM, JOBS
from upcall.catalog.spark.options import Job, SparkOptions
from upcall.catalog.spark.releases import as_written_by
from upcall.catalog.spark.service import Spark
from upcall.catalog.spark.settings import facts
from upcall.service import Update
from upcall.service.comparing import with_code
from upcall.service.context import Context
from upcall.testing import KINDS, Life, live, operation

OLD, NEW = Spark.versions()[0], Spark.version
CHECKSUM = "spark.sql.streaming.checkpoint.fileChecksum.enabled"


def play_the_page(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that counts on each worker that is ready."""

    def read(_master: str) -> pages.Page:
        workers = [each for name, each in life.master.members.items() if name.startswith("worker") and each.address]
        return {
            "workers": [{"host": each.address, "state": "ALIVE", "coresfree": 0} for each in workers],
            "activeapps": [],
        }

    async def blocking(_service: Spark, function: Any, *given: Any) -> Any:
        """Threads take real time, of which the virtual clock knows nothing."""
        return function(*given)

    monkeypatch.setattr(Spark, "blocking", blocking)
    monkeypatch.setattr(pages, "read", read)


async def over(life: Life, name: str) -> str:
    await life.master.until(lambda: life.master.operations[name].state not in ("open", "executing"))
    return life.master.operations[name].state


def is_ready(life: Life, member: str) -> bool:
    return member in life.master.members and life.master.members[member].state == "ready"


def order(life: Life, since: int) -> list[str]:
    return [task.rpartition(".")[0] for task in life.master.launches[since:]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_master_goes_first_and_drivers_last_there_and_back(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(life: Life) -> None:
        play_the_page(life, monkeypatch)
        await life.until_deployed()
        assert (await life.master.act("submit-job", name="count", program="1")).ok
        await life.master.until(lambda: is_ready(life, "job-count"))
        for back in (False, True):
            before = len(life.master.launches)
            assert await over(life, life.master.rollback() if back else life.master.upgrade(NEW)) == "done"
            launched = order(life, before)
            assert launched[0] == "master-0"
            assert launched[-1] == "job-count"
            assert sorted(launched) == ["job-count", "master-0", "worker-0", "worker-1"], "each once"

    live(Spark, script, kind=kind, options={"workers": 2}, version=OLD)


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_keep_the_old_form_until_it_is_made_final(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(life: Life) -> None:
        play_the_page(life, monkeypatch)
        await life.until_deployed()
        assert (await life.master.act("submit-job", name="count", program="1")).ok
        await life.master.until(lambda: is_ready(life, "job-count"))

        def told() -> str:
            seen = life.master.members["job-count"]
            declared = life.master.known.members["job-count"][seen.generation].declaration
            return " ".join(declared.command)

        assert await over(life, life.master.upgrade(NEW)) == "done"
        assert f"{CHECKSUM}=false" in told()
        assert await over(life, life.master.finalize()) == "done"
        await life.master.until(lambda: CHECKSUM not in told())
        assert life.master.memory[FORM].value == NEW

    live(Spark, script, kind=kind, version=OLD)


async def asked(came_from: str, version: str, form: str, **job: Any) -> tuple[str, str]:
    """What the code of a version says to an upgrade to it."""
    service = Spark.at(came_from)(Context(name="spark", version=came_from))
    await service.state.set(JOBS, {"count": Job(program="1", **job).model_dump()})
    await service.state.set(FORM, form)
    await service.on_start()
    update = Update(2, version, upgrade=True, options=SparkOptions.model_validate({}), changes=(), came_from=came_from)
    said = await with_code(service, Spark.at(version)).may_update(update, operation("upgrade"))
    return said.word, said.reason


async def test_a_checkpoint_in_a_newer_form_is_not_given_to_an_older_version() -> None:
    word, reason = await asked(NEW, OLD, NEW)
    assert (word, "count may have a checkpoint as Spark 4.1.1 writes it" in reason) == ("decline", True)
    assert (await asked(NEW, OLD, OLD))[0] == "accept"
    assert (await asked(NEW, OLD, NEW, disk_mib=0))[0] == "accept", "it has none"


async def test_a_job_whose_setting_is_gone_is_named_before_anything_begins() -> None:
    gone = {"spark.blacklist.enabled": "true"}
    word, reason = await asked(OLD, NEW, OLD, settings=gone)
    assert word == "decline"
    assert "job count: " in reason
    assert "spark.blacklist.enabled" in reason


def test_what_a_version_adds_to_checkpoints_is_a_setting_of_its_own() -> None:
    assert as_written_by(OLD, NEW) == {CHECKSUM: "false"}
    assert as_written_by(NEW, NEW) == as_written_by(OLD, OLD) == {}
    assert CHECKSUM in facts(NEW)
    assert CHECKSUM not in facts(OLD)
