"""Jobs of Spark are changed, backed up and restored: on the master's own code, with volumes that are folders here."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from upcall.catalog.spark import backup, pages, trial
from upcall.catalog.spark.backup import without_secrets
from upcall.catalog.spark.options import Job
from upcall.catalog.spark.service import Spark
from upcall.protocol import service as wire
from upcall.service.backup.carried import CutOff, Found
from upcall.service.backup.carrier import listed
from upcall.testing import KINDS, Life, live
from upcall.testing.simulated import SimulatedKind

NEW = Spark.version
BATCHES = 4


class Folder:
    """A volume, in place of what carries its files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self, pattern: str) -> list[Found]:
        return [Found(*each) for each in listed(self.root, pattern)]

    def get(self, name: str) -> Iterator[bytes]:
        yield (self.root / name).read_bytes()

    def put(self, name: str, size: int, pieces: Iterable[bytes]) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(pieces))
        assert path.stat().st_size == size

    def drop(self, name: str) -> None:
        shutil.rmtree(self.root / name, ignore_errors=True)


@pytest.fixture(autouse=True)
def volumes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    root = tmp_path / "volumes"
    root.mkdir()

    @contextlib.asynccontextmanager
    async def files_of(member: Any, where: str) -> AsyncIterator[Folder]:
        assert where == ("{{sandbox}}" if member.pod == "worker" else "{{volume.checkpoint}}")
        (root / member.name).mkdir(exist_ok=True)
        yield Folder(root / member.name)

    async def blocking(_service: Spark, function: Any, *given: Any, **more: Any) -> Any:
        """Threads take real time, of which the virtual clock knows nothing."""
        return function(*given, **more)

    monkeypatch.setattr(Spark, "blocking", blocking)
    monkeypatch.setattr(backup, "files_of", files_of)
    monkeypatch.setattr(trial, "files_of", files_of)
    monkeypatch.setattr(pages, "read", lambda master: {"workers": [], "activeapps": []})
    return root


def lived(script: Any, kind: Any, **more: Any) -> None:
    def play(tool: wire.RunTool) -> wire.ToolResult:
        """A task that is held says by what; one that is not has no such file."""
        life: Life = played[0]
        seen = life.master.members[tool.member]
        declared = life.master.known.members[tool.member][seen.generation].declaration
        held = next((file.text for file in declared.files if file.path == "held"), "")
        return wire.ToolResult(code=0 if held else 1, output=held if tool.command[0] == "cat" else "")

    played: list[Life] = []

    async def with_life(life: Life) -> None:
        played.append(life)
        await life.until_deployed()
        await script(life)

    live(Spark, with_life, kind=kind, tool=play, **more)


def is_ready(life: Life, member: str) -> bool:
    return member in life.master.members and life.master.members[member].state == "ready"


def runs(life: Life, job: str) -> str:
    """What its driver was started with: ``held``, or its program."""
    seen = life.master.members[f"job-{job}"]
    declared = life.master.known.members[f"job-{job}"][seen.generation].declaration
    files = {file.path: file.text for file in declared.files}
    return "held" if "held" in files else str(files["program.py"])


async def done(life: Life, what: str, /, **arguments: Any) -> Any:
    reply = await life.master.act(what, **arguments)
    assert reply.ok, reply.error
    return reply.result


async def submitted(life: Life, name: str, **more: Any) -> None:
    await done(life, "submit-job", name=name, **{"program": f"# {name}", **more})
    await life.master.until(lambda: is_ready(life, f"job-{name}"))


def batch(checkpoint: Path, number: int, *, committed: bool) -> None:
    """As Spark leaves it: offsets first, then the state, then the commit; each with its checksum beside it."""
    names = [f"offsets/{number}", f"state/0/0/{number + 1}.delta", *([f"commits/{number}"] if committed else [])]
    for name in names:
        path = checkpoint / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} as of {number}")
        path.with_name(f".{path.name}.crc").write_text("checksum")


def texts(folder: Path) -> dict[str, str]:
    return {one.relative_to(folder).as_posix(): one.read_text() for one in folder.rglob("*") if one.is_file()}


# -- change ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_is_changed_starts_anew_in_its_place(kind: SimulatedKind) -> None:
    async def script(life: Life) -> None:
        await submitted(life, "count", settings={"spark.executor.cores": "1"}, env={"A": "1"})
        before = life.master.members["job-count"]
        said = await done(life, "change-job", name="count", program="# other", env={"B": "2"})
        assert said == {"job": "count", "changed": True}
        await life.master.until(lambda: is_ready(life, "job-count") and runs(life, "count") == "# other")
        after = life.master.members["job-count"]
        assert after.incarnation > before.incarnation
        assert after.place == before.place, "its volume, and what is in it, is the same"
        kept = life.master.memory["jobs"].value["count"]
        assert (kept["settings"], kept["env"]) == ({"spark.executor.cores": "1"}, {"A": "1", "B": "2"})
        assert await done(life, "change-job", name="count", program="# other") == {"job": "count", "changed": False}
        assert life.master.members["job-count"].incarnation == after.incarnation

    lived(script, kind)


async def refused(life: Life, what: str, /, **arguments: Any) -> str:
    reply = await life.master.act(what, **arguments)
    assert not reply.ok, reply.result
    return str(reply.error)


def test_what_a_job_cannot_become_is_refused_with_what_to_do_instead() -> None:
    async def script(life: Life) -> None:
        await submitted(life, "count")
        said = await refused(life, "change-job", name="count", disk_mib=0)
        assert "has 256 MiB for its checkpoint, not 0: that is never changed" in said
        assert "fits no worker" in await refused(life, "change-job", name="count", executor_memory_mib=9000)
        assert "no job 'other'" in await refused(life, "change-job", name="other", cores=2)
        known = await refused(life, "change-job", name="count", settings={"spark.executor.memori": "1g"})
        assert "did you mean 'spark.executor.memory'" in known

    lived(script, "kernel")


# -- backup ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_is_restored_as_a_death_in_its_last_batch_would_leave_it(
    kind: SimulatedKind, volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(life: Life) -> None:
        await submitted(life, "count")
        checkpoint = volumes / "job-count" / "totals"
        for number in range(BATCHES):
            batch(checkpoint, number, committed=number < BATCHES - 1)
        (checkpoint / "offsets" / f".{BATCHES}.0a1b.tmp").write_text("being written")

        class GoesOn(Folder):
            """Batches go on while it is copied."""

            def list(self, pattern: str) -> list[Found]:
                found = super().list(pattern)
                if pattern == "**/offsets/*":
                    for number in (BATCHES - 1, BATCHES):
                        batch(checkpoint, number, committed=True)
                return found

        with monkeypatch.context() as going:

            @contextlib.asynccontextmanager
            async def files_of(member: Any, where: str) -> AsyncIterator[Folder]:
                yield GoesOn(volumes / member.name)

            going.setattr(backup, "files_of", files_of)
            made = await done(life, "backup", to=str(tmp_path / "kept"))
        assert "as a death of its driver in its last batch would leave it" in made["promise"]
        assert "spark has count already" in await refused(life, "restore", backup=made["backup"])

        batch(checkpoint, 77, committed=True)
        await done(life, "change-job", name="count", program="# a mistake")
        await done(life, "restore", backup=made["backup"], over=["count"])
        await life.master.until(lambda: is_ready(life, "job-count") and runs(life, "count") == "# count")
        there = texts(volumes / "job-count")
        assert not [name for name in there if ".crc" in name or ".tmp" in name]
        numbers = {of: sorted(int(name.rpartition("/")[2]) for name in there if f"/{of}/" in name)
                   for of in ("offsets", "commits")}  # fmt: skip
        assert numbers == {"offsets": list(range(BATCHES)), "commits": list(range(BATCHES))}
        assert there[f"totals/state/0/0/{BATCHES}.delta"]

    lived(script, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_job_waits_for_its_secrets_and_then_starts(
    kind: SimulatedKind, volumes: Path, tmp_path: Path
) -> None:
    secret = {"spark.hadoop.fs.s3a.secret.key": "hidden"}

    async def script(life: Life) -> None:
        await submitted(life, "count", env={"PASSWORD": "hidden"}, unchecked_settings=secret)
        batch(volumes / "job-count", 0, committed=True)
        made = await done(life, "backup", to=str(tmp_path / "kept"))
        assert not [one for one in (tmp_path / "kept").rglob("*") if one.is_file() and b"hidden" in one.read_bytes()]
        await done(life, "stop-job", name="count")
        await life.master.until(lambda: not life.master.memory["jobs"].value)
        shutil.rmtree(volumes / "job-count")

        await done(life, "restore", backup=made["backup"])
        assert sorted(texts(volumes / "job-count")) == ["commits/0", "offsets/0", "state/0/0/1.delta"]
        await life.master.until(lambda: is_ready(life, "job-count"))
        assert runs(life, "count") == "held"
        waits = ["env.PASSWORD", "unchecked_settings.spark.hadoop.fs.s3a.secret.key"]
        (shown,) = await done(life, "list-jobs")
        assert list(shown["waits_for"]) == waits
        await done(life, "change-job", name="count", env={"PASSWORD": "hidden"})
        assert runs(life, "count") == "held"
        await done(life, "change-job", name="count", unchecked_settings=secret)
        await life.master.until(lambda: is_ready(life, "job-count") and runs(life, "count") == "# count")

    lived(script, kind)


# -- a trial --------------------------------------------------------------------------------------------------------


def query(checkpoint: Path, offsets: Iterable[int], commits: Iterable[int]) -> None:
    """The two logs of a query as Spark writes them, and a file of its own."""
    for of, numbers, lines in (("offsets", offsets, ("{}", '{"topic":{"0":7}}', "-")), ("commits", commits, ("{}",))):
        for number in numbers:
            path = checkpoint / of / str(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(("v1", *lines)))
    (checkpoint / "metadata").write_text('{"id":"1"}')


@pytest.mark.parametrize("kind", KINDS)
def test_a_trial_reads_each_checkpoint_as_spark_would_and_leaves_nothing(
    kind: SimulatedKind, volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "BYTES_MAX", 40)  # Several times the sandbox is filled and emptied.

    async def script(life: Life) -> None:
        await submitted(life, "count")
        await submitted(life, "other", disk_mib=0)
        checkpoint = volumes / "job-count"
        query(checkpoint / "totals", range(2, 5), range(2, 4))
        query(checkpoint, range(1), range(1))
        there = texts(volumes)
        made = await done(life, "backup", to=str(tmp_path / "kept"))
        found = await done(life, "verify-backup", backup=made["backup"], trial=True)
        assert found["trial"] == (
            "2 jobs fit, 9 files of checkpoints laid into the sandbox of worker-0, read back, compared, and deleted; of"
            " their queries, none of which was started, 2 can go on: count from batch 1, count totals from batch 4"
        )
        assert texts(volumes) == there
        assert (await done(life, "try-backup"))["trial"] == found["trial"], "what a schedule runs"

    lived(script, kind)


@pytest.mark.parametrize(
    ("offsets", "commits", "spoilt", "says"),
    [
        ([0, 2], [0], {}, "has the offsets of batch 2 and not of 1"),
        ([0, 1], [0], {"offsets/0": 'v1\n{}\n{"topic'}, "offsets/0 cannot be read"),
        ([0, 1], [0], {"commits/0": ""}, "commits/0 cannot be read: begins with b''"),
    ],
)
def test_a_trial_finds_what_a_query_would_not_come_up_with(
    volumes: Path, tmp_path: Path, offsets: list[int], commits: list[int], spoilt: dict[str, str], says: str
) -> None:
    async def script(life: Life) -> None:
        await submitted(life, "count")
        query(volumes / "job-count", offsets, commits)
        for name, text in spoilt.items():
            (volumes / "job-count" / name).write_text(text)
        made = await done(life, "backup", to=str(tmp_path / "kept"))
        assert made["verified"], "its checksums are those of what is spoilt"
        assert says in await refused(life, "verify-backup", backup=made["backup"], trial=True)
        assert not (volumes / "worker-0" / trial.WITHIN).exists()

    lived(script, "kernel")


def test_a_trial_finds_a_disk_that_gives_back_something_else(
    volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Worn(Folder):
        def get(self, name: str) -> Iterator[bytes]:
            for piece in super().get(name):
                yield piece[:-1] + b"?"

    @contextlib.asynccontextmanager
    async def files_of(member: Any, where: str) -> AsyncIterator[Folder]:
        yield Worn(volumes / member.name)

    monkeypatch.setattr(trial, "files_of", files_of)

    async def script(life: Life) -> None:
        await submitted(life, "count")
        query(volumes / "job-count", range(2), range(2))
        made = await done(life, "backup", to=str(tmp_path / "kept"))
        assert "is not what was written" in await refused(life, "verify-backup", backup=made["backup"], trial=True)

    lived(script, "kernel")


def test_what_a_trial_left_in_a_sandbox_whose_worker_was_cut_off_is_taken_away(
    volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop, cut_off = Folder.drop, True

    def drops(self: Folder, name: str) -> None:
        if cut_off and (self.root / name).exists():
            raise CutOff("what carries the files has ended")
        drop(self, name)

    monkeypatch.setattr(Folder, "drop", drops)

    async def script(life: Life) -> None:
        nonlocal cut_off
        await submitted(life, "count")
        query(volumes / "job-count", range(2), range(2))
        made = await done(life, "backup", to=str(tmp_path / "kept"))
        asked = asyncio.ensure_future(life.master.act("verify-backup", backup=made["backup"], trial=True))
        left = volumes / "worker-0" / trial.WITHIN
        await life.master.until(lambda: any("not now" in said.text for said in life.master.progress))
        assert left.exists()
        await life.kill_host()
        life.master.cancel("verify-backup")
        await asked
        cut_off = False
        life.start_host()
        await life.master.until(lambda: not left.exists())

    lived(script, "kernel")


def test_a_checkpoint_that_cannot_be_read_is_not_left_out_in_silence(volumes: Path, tmp_path: Path) -> None:
    async def script(life: Life) -> None:
        await submitted(life, "count")
        life.master.crash("job-count")
        said = await refused(life, "backup", to=str(tmp_path / "kept"))
        assert "the driver of count does not run: its checkpoint cannot be read" in said

    lived(script, "kernel")


def test_a_backup_of_a_newer_form_is_not_restored_into_an_older_version(volumes: Path, tmp_path: Path) -> None:
    to = tmp_path / "kept"

    async def newer(life: Life) -> None:
        await submitted(life, "count")
        await done(life, "backup", to=str(to))

    async def older(life: Life) -> None:
        (kept,) = (to / "spark" / "backups").iterdir()
        said = await refused(life, "restore", backup=f"{to}/spark/{kept.name}")
        assert f"its checkpoints are as Spark {NEW} writes them" in said

    lived(newer, "kernel")
    lived(older, "kernel", version=Spark.versions()[0])


def test_a_job_that_would_fit_no_worker_is_refused_before_anything_is_restored(volumes: Path, tmp_path: Path) -> None:
    to = tmp_path / "kept"

    async def large(life: Life) -> None:
        await submitted(life, "count", executor_memory_mib=900)
        await done(life, "backup", to=str(to))
        smaller = life.master.change(memory_mib=1200)
        await life.master.until(lambda: life.master.operations[smaller].state not in ("open", "executing"))
        assert life.master.operations[smaller].state == "declined"
        assert "job count: an executor of 900 MiB fits no worker" in life.master.answers[-1].reason

    async def small(life: Life) -> None:
        (kept,) = (to / "spark" / "backups").iterdir()
        said = await refused(life, "restore", backup=f"{to}/spark/{kept.name}")
        assert "an executor of 900 MiB fits no worker" in said
        assert await done(life, "list-jobs") == []

    lived(large, "kernel", options={"memory_mib": 2000})
    lived(small, "kernel")


def test_no_value_that_is_a_secret_is_in_what_is_kept() -> None:
    given = {
        "program": "1",
        "env": {"A": "1"},
        "settings": {"spark.ssl.keyPassword": "x", "spark.executor.cores": "1"},
        "unchecked_settings": {"my.api.TOKEN": "x", "my.place": "here"},
    }
    job, left_out = without_secrets(Job.model_validate(given))
    assert (job.env, job.settings, job.unchecked_settings) == ({}, {"spark.executor.cores": "1"}, {"my.place": "here"})
    assert left_out == ["env.A", "settings.spark.ssl.keyPassword", "unchecked_settings.my.api.TOKEN"]
