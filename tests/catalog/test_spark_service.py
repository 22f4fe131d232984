"""Spark as a service, as pure scenarios."""

import re
import socket
from typing import Any

import pytest

from upcall.catalog.spark import config, pages
from upcall.catalog.spark.options import Job
from upcall.catalog.spark.service import Spark
from upcall.catalog.spark.settings import facts
from upcall.protocol.errors import Conflict, Invalid, NotFound
from upcall.protocol.schema import check
from upcall.protocol.service import Member, Propose, Told
from upcall.service.actions import action_named
from upcall.service.context import Context
from upcall.testing import Scenario, operation

PROGRAM = "print('hello')\n"
JOBS = {"jobs": {"count": Job(program=PROGRAM).model_dump()}}


@pytest.fixture(autouse=True)
def page(monkeypatch: pytest.MonkeyPatch) -> None:
    """No master serves its page here."""
    monkeypatch.setattr(pages, "read", lambda master: {"workers": [], "activeapps": []})


async def started(**options: Any) -> Spark:
    service = Spark(Context(name="spark", options=options))
    await service.on_start()
    return service


@pytest.mark.parametrize(
    ("said", "ready"),
    [
        ("INFO Master I have been elected leader! New state: ALIVE", True),
        ("INFO Master I have been elected leader! New state: RECOVERING", False),
        ("INFO Master Recovery complete in 1441 ms - resuming operations!", True),
    ],
)
def test_a_master_that_knew_workers_before_is_ready_once_it_has_them_again(said: str, ready: bool) -> None:
    assert bool(re.search(config.MASTER_READY, said)) is ready


def test_a_fresh_one_starts_its_master_and_its_workers() -> None:
    outcome = Scenario(Spark, {"workers": 2}, fresh=True).run()
    assert outcome.declared is not None
    assert set(outcome.declared.members) == {"master-0", "worker-0", "worker-1"}
    assert outcome.started == ["master-0"], "workers have nobody to register with before"
    assert {each.name for each in outcome.endpoints} == {"master", "page"}


def test_every_artifact_that_is_declared_is_registered_as_a_blob() -> None:
    outcome = Scenario(Spark, {}, memory=JOBS, fresh=True).run()
    blobs = Spark.blobs()
    for name in ("master-0", "worker-0", "job-count"):
        assert all(artifact.lock in blobs for artifact in outcome.task(name).artifacts)


def test_a_job_is_a_member_that_does_not_count() -> None:
    outcome = Scenario(Spark, {}, memory=JOBS, fresh=True).run()
    assert outcome.declared is not None
    job = outcome.declared.members["job-count"]
    assert not job.minimum
    program = {file.path: file for file in job.declaration.files}["program.py"]
    assert (program.text, program.verbatim) == (PROGRAM, True), "braces in it are the person's own"
    assert job.declaration.volumes[0].name == "checkpoint"


def test_a_stop_of_the_only_worker_is_accepted_with_what_it_costs() -> None:
    answer = Scenario(Spark, {}, operations=[operation("stop", "worker-0")]).run().answer
    assert answer.verdict == "accept"
    assert "stand still" in answer.reason


def test_an_answer_about_a_worker_changes_nothing_because_its_stop_may_never_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connections: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda address, *_, **__: connections.append(address))
    members = {
        name: Member(name=name, state="ready", incarnation=1, starts=1, node=f"node-{number}",
                     address=f"127.9.9.{number}", ports={"page": 8080})
        for number, name in enumerate(("master-0", "worker-0", "worker-1"), 1)
    }  # fmt: skip
    outcome = Scenario(Spark, {"workers": 2}, members=members, operations=[operation("stop", "worker-1")]).run()
    assert outcome.answer.verdict == "accept"
    assert "decommissioned when its stop begins" in outcome.answer.reason
    assert connections == [], "it serves on until then"
    assert not outcome.tools


def test_a_worker_has_the_time_to_be_emptied_within_its_grace() -> None:
    worker = Scenario(Spark, {}, fresh=True).run().task("worker-0")
    (start,) = [word for word in worker.command if word.endswith("worker_start.py")]
    limit_s = float(worker.command[worker.command.index(start) + 1])
    assert 0 < limit_s <= worker.grace_s - 5
    assert "worker_start.py" in {file.path for file in worker.files}


def test_a_member_that_ended_starts_again_at_once() -> None:
    lost = Scenario(Spark, {}, members={"worker-0": "ended"}, operations=[operation("lost", "worker-0")])
    assert lost.run().answer.verdict == "restart"


def test_silence_lets_a_drain_pass_because_nothing_here_holds_data() -> None:
    outcome = Scenario(Spark, {}, memory=JOBS).run()
    assert outcome.declared is not None
    assert outcome.declared.policy.silence == "proceed"
    assert not outcome.declared.policy.holds_data


async def test_submit_keeps_the_job_and_a_second_one_of_the_name_is_refused() -> None:
    service = await started()
    submit = action_named(Spark, "submit-job")
    assert await submit.call(service, {"name": "count", "program": PROGRAM}) == {"job": "count", "member": "job-count"}
    assert "job-count" in service.pod("job").member_names
    assert (await service.state.get("jobs"))["count"]["program"] == PROGRAM
    with pytest.raises(Conflict, match="count"):
        await submit.call(service, {"name": "count", "program": PROGRAM})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "Not A Name", "program": PROGRAM}, "name"),
        ({"name": "x", "program": ""}, "program"),
        ({"name": "x", "program": PROGRAM, "cores": 0}, "cores"),
        ({"name": "x", "program": PROGRAM, "memory": 5}, "memory"),
        ({"name": "x"}, "program"),
    ],
)
async def test_a_job_that_is_none_is_refused_by_the_name_of_what_is_wrong(arguments: dict[str, Any], said: str) -> None:
    service = await started()
    with pytest.raises(Invalid, match=said):
        await action_named(Spark, "submit-job").call(service, arguments)
    assert service.jobs == {}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"arguments": ["ok", "{{volume.chekpoint}}"]}, r"volume\.chekpoint.*arguments.*volume\.checkpoint"),
        ({"arguments": ["{{volume.checkpoint}}"], "disk_mib": 0}, r"volume\.checkpoint"),
        ({"env": {"A": "{{secrets}}"}}, "secrets.*env"),
        ({"settings": {"spark.local.dir": "{{sandox}}"}}, "sandox.*settings.*sandbox"),
        ({"unchecked_settings": {"a": "{{address.worker-7}}"}}, r"worker-7.*address\.worker-0"),
        ({"arguments": ["{{artifact.kafka.home}}"]}, r"artifact\.pyspark"),
        ({"arguments": ["{{port.page}}"]}, r"port\.page"),
    ],
)
async def test_a_name_that_no_launch_of_a_job_will_know_is_refused_when_it_is_submitted_or_changed(
    more: dict[str, Any], said: str
) -> None:
    service = await started()
    submit, change = action_named(Spark, "submit-job"), action_named(Spark, "change-job")
    with pytest.raises(Invalid, match=f"(?s){said}"):
        await submit.call(service, {"name": "x", "program": PROGRAM, **more})
    assert service.jobs == {}
    if "disk_mib" not in more:
        await submit.call(service, {"name": "x", "program": PROGRAM})
        with pytest.raises(Invalid, match=f"(?s){said}"):
            await change.call(service, {"name": "x", **more})
        assert service.jobs["x"] == Job(program=PROGRAM)


async def test_names_that_may_come_to_be_known_are_taken_and_braces_that_are_none() -> None:
    service = await started()
    arguments = [
        "{{endpoint.kafka.client}}", "{{attribute.rack}}", "{{artifact.pyspark.python}}", "{{address.job-x}}",
        "{{volume.checkpoint}}", "{{secret.spark}}", "{{ sandbox }}", "{{brace}}{no.name}}", '{"a": {"b": {}}}',
    ]  # fmt: skip
    await action_named(Spark, "submit-job").call(service, {"name": "x", "program": PROGRAM, "arguments": arguments})
    assert service.jobs["x"].arguments == arguments


async def test_an_executor_that_fits_no_worker_is_refused_with_what_would_fit() -> None:
    service = await started(memory_mib=1200)
    with pytest.raises(Conflict, match="fits no worker") as caught:
        await action_named(Spark, "submit-job").call(
            service, {"name": "x", "program": PROGRAM, "executor_memory_mib": 4000}
        )
    assert "at most" in caught.value.problem.expected


@pytest.mark.parametrize(
    ("restart", "state", "over"),
    [
        ("never", "finished", True),
        ("on-failure", "finished", True),
        ("never", "failed", True),
        ("on-failure", "failed", False),
        ("always", "ready", False),
    ],
)
async def test_a_job_that_has_ended_for_good_says_so_and_is_not_exported(restart: str, state: str, over: bool) -> None:
    service = await started()
    await action_named(Spark, "submit-job").call(service, {"name": "x", "program": PROGRAM, "restart": restart})
    service._context.members = {"job-x": Member(name="job-x", state=state, incarnation=1)}
    (shown,) = await service.list_jobs()
    assert shown.get("over", False) == over


async def test_a_job_is_forgotten_when_its_member_has_left() -> None:
    context = Context(name="spark")
    seen = Member(name="job-count", state="ready", incarnation=1, node="node-1")
    context.members = {"job-count": seen}
    proposed: list[Propose] = []

    async def propose(proposal: Propose) -> str:
        proposed.append(proposal)
        return "op-1"

    context.propose = propose
    service = Spark(context)
    await service.on_start()
    await action_named(Spark, "submit-job").call(service, {"name": "count", "program": PROGRAM})
    assert (await service.stop_job("count"))["operation"] == "op-1"
    assert (proposed[0].kind, proposed[0].member) == ("scale_in", "job-count")
    await service.on_told(Told(what="begun", operation=operation("scale_in", "job-count")))
    assert [job["job"] for job in await service.list_jobs()] == ["count"], "it is still there"

    context.members = {}
    restarted = Spark(context)  # the news was missed: the host was away
    await restarted.on_start()
    assert await restarted.list_jobs() == []
    assert await restarted.state.get("jobs") == {}
    with pytest.raises(NotFound, match="count"):
        await restarted.stop_job("count")


def test_no_option_opens_again_what_would_end_tasks_outside_the_ledger() -> None:
    opened = dict.fromkeys(config.CLOSED, "true") | {"spark.master.ui.decommission.allow.mode": "ALLOW"}
    outcome = Scenario(Spark, {"unchecked_settings": opened}, memory=JOBS, fresh=True).run()
    for name, sign in (("master-0", "-D{}={}"), ("worker-0", "-D{}={}"), ("job-count", "{}={}")):
        command = outcome.task(name).command
        for setting, value in config.CLOSED.items():
            last = [word for word in command if word.startswith(sign.format(setting, ""))][-1]
            assert last == sign.format(setting, value)


def test_a_drain_may_bring_everything_up_elsewhere_but_a_job_with_a_checkpoint() -> None:
    jobs = {"jobs": {"count": Job(program=PROGRAM).model_dump(), "bare": Job(program=PROGRAM, disk_mib=0).model_dump()}}
    outcome = Scenario(Spark, {}, memory=jobs, fresh=True).run()
    bound = {name: outcome.task(name).bound_to_its_node for name in ("master-0", "worker-0", "job-bare", "job-count")}
    assert bound == {"master-0": False, "worker-0": False, "job-bare": False, "job-count": True}


@pytest.mark.parametrize(("member", "said"), [("master-0", "replace"), ("worker-0", "replace"), ("job-count", "wait")])
def test_what_holds_no_data_is_at_once_elsewhere_when_its_machine_is_away(member: str, said: str) -> None:
    lost = Scenario(Spark, {}, members={member: "lost"}, memory=JOBS, operations=[operation("lost", member)])
    assert lost.run().answer.verdict == said


def test_when_the_master_comes_up_at_another_address_all_that_look_for_it_are_started_again() -> None:
    def at(address: str, **memory: Any) -> list[str]:
        members: dict[str, str | Member] = {
            "job-count": "ready",
            "master-0": Member(
                name="master-0", state="ready", incarnation=2, starts=1, place=2, address=address, back=False
            ),
        }
        outcome = Scenario(Spark, {}, members=members, memory={**JOBS, **memory}).run()
        assert outcome.memory["master-at"] == address
        return sorted(proposal.member for proposal in outcome.proposals)

    assert at("127.9.9.2", **{"master-at": "127.9.9.1"}) == ["job-count", "worker-0"]
    assert at("127.9.9.2", **{"master-at": "127.9.9.2"}) == []
    assert at("127.9.9.2") == [], "nobody was told another one"


# -- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", Spark.versions())
def test_what_is_written_here_each_version_knows(version: str) -> None:
    known = facts(version)
    outcome = Scenario(Spark.at(version), {}, memory=JOBS, fresh=True).run()
    for name in ("master-0", "worker-0", "job-count"):
        for word in outcome.task(name).command:
            setting, equals, _ = word.removeprefix("-D").partition("=")
            assert not (equals and setting.startswith("spark.")) or setting in known, setting


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"spark.executor.memori": "1g"}, "did you mean 'spark.executor.memory'?"),
        ({"spark.executor.cores": "many"}, "'many' does not match"),
        ({"spark.sql.adaptive.enabled": "yes"}, "expected true or false"),
        ({"spark.ui.killEnabled": "true"}, "stays closed"),
    ],
)
async def test_a_setting_that_spark_does_not_know_so_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(Invalid, match=re.escape(said)):
        check(Spark.Options.model_json_schema(), {"settings": given}, noun="option", of="spark", where="options")
    with pytest.raises(Invalid, match=re.escape(said)):
        await action_named(Spark, "submit-job").call(
            await started(), {"name": "x", "program": PROGRAM, "settings": given}
        )
