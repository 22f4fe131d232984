"""From a launch message to a running process, in the order in which things may fail.

Fetch (artifacts, blobs) -> names -> the incarnation before is dead -> sandbox and secrets -> files -> volumes -> is the
port free? -> volumes prepared, if they are fresh -> control groups -> start. All that can be wrong with a declaration
is found before the process exists, and each wrong thing is one sentence that ends up as the reason of the task's end.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from upcall.agent import ports, sandbox
from upcall.agent.checkpoint import TaskRecord
from upcall.agent.launching import Started
from upcall.agent.machine import Machine
from upcall.agent.render import names_of, render_all, render_map
from upcall.protocol import checks
from upcall.protocol.agent import Launch, Progress
from upcall.protocol.declaration import Declaration
from upcall.protocol.errors import Invalid, UpcallError

PATH = "/usr/local/bin:/usr/bin:/bin"
"""A task's search path, whatever the agent's own is: what runs should not depend on who started the agent."""


class PreparationFailed(UpcallError):
    """A command that prepares fresh volumes did not succeed."""

    code = "preparation_failed"


@dataclass(frozen=True)
class Fetched:
    artifacts: Mapping[str, tuple[str, Mapping[str, str]]]
    blobs: Mapping[str, bytes]


def member_id(task: str) -> str:
    return task.rsplit(".", 1)[0]


async def fetch(machine: Machine, launch: Launch) -> Fetched:
    def report(text: str, done_bytes: int, total_bytes: int) -> None:
        machine.progress(Progress(task=launch.task, text=text, done_bytes=done_bytes, total_bytes=total_bytes))

    declaration = launch.declaration
    checks.validate(launch.task, declaration)
    artifacts = await machine.artifacts.realise(declaration.artifacts, report)
    wanted = sorted({file.blob for file in declaration.files if file.blob})
    blobs = {digest: await machine.blobs.get(digest) for digest in wanted}
    return Fetched(artifacts, blobs)


async def start(machine: Machine, record: TaskRecord, secrets: Mapping[str, str], fetched: Fetched) -> Started:
    launch, declaration = record.launch, record.launch.declaration
    folder = machine.places.task(launch.task)
    missing = [secret.name for secret in declaration.secrets if secret.name not in secrets]
    if missing:
        raise Invalid(f"no value came for the secrets {', '.join(missing)}", where="secrets")
    wanted = {secret.name: secrets[secret.name] for secret in declaration.secrets}
    where = machine.places.sandbox(launch.task)
    member, volume_names = member_id(launch.task), [volume.name for volume in declaration.volumes]
    record.names = names_of(
        launch,
        node=machine.node,
        attributes=machine.attributes,
        sandbox=str(where),
        volumes=machine.volumes.paths(member, launch.fence, volume_names),
        artifacts=fetched.artifacts,
        secrets=sandbox.secret_paths(folder / "secrets", wanted),
    )
    record.env = environment(machine, launch, record.names)
    command = render_all(declaration.command, record.names, "command")
    if not command:
        raise Invalid("there is no command", where="command", expected="at least one word")
    await _alone(machine, launch.task)
    await asyncio.to_thread(sandbox.write_secrets, folder / "secrets", wanted)
    await asyncio.to_thread(_fill, launch, where, record.names, fetched)
    await asyncio.to_thread(
        machine.volumes.create, member, launch.fence, volume_names,
        adopt=launch.adopt_volumes, holding=holding_data(declaration),
    )  # fmt: skip
    await asyncio.to_thread(ports.check_free, launch.address, declaration.ports)
    await _prepare(machine, record, where)
    resources = declaration.resources
    record.memory_mib = resources.memory_mib
    record.groups = await asyncio.to_thread(
        machine.groups.create, launch.task, launch.address, resources.cpus, resources.memory_mib
    )
    box = await asyncio.to_thread(machine.boxes.around, launch, record.names, command[0])
    # From here on there may be a process: what this agent knows must be on disk before there is one.
    await machine.checkpoint.durable()
    return await machine.launching.start(
        folder, launch.task, command, record.env, where,
        task=launch.task, cgroups=machine.groups.procs(record.groups), box=box,
    )  # fmt: skip


def holding_data(declaration: Declaration) -> list[str]:
    """Names of its volumes without which it does not return."""
    return [volume.name for volume in declaration.volumes if volume.holds_data]


def environment(machine: Machine, launch: Launch, names: Mapping[str, str]) -> dict[str, str]:
    """What the task's processes see: nothing of the agent's own environment."""
    own = {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "HOME": names["sandbox"],
        "TMPDIR": f"{names['sandbox']}/tmp",
        "UPCALL_NODE": machine.node,
    }
    return own | render_map(launch.declaration.env, names, "env")


def _fill(launch: Launch, folder: Path, names: Mapping[str, str], fetched: Fetched) -> None:
    sandbox.empty(folder)
    for file in launch.declaration.files:
        sandbox.write_file(folder, file, names, fetched.blobs[file.blob] if file.blob else None)


async def _alone(machine: Machine, task: str) -> None:
    """Two incarnations of a member never run side by side, whatever the master thinks: they share volumes and ports."""
    for other, over in list(machine.over.items()):
        if other != task and member_id(other) == member_id(task):
            await over.wait()


async def _prepare(machine: Machine, record: TaskRecord, where: Path) -> None:
    """Once for each fresh set of volumes (:mod:`upcall.agent.volumes`); every time for a task that has none."""
    launch, declaration = record.launch, record.launch.declaration
    member, logs = member_id(launch.task), machine.places.logs(launch.task)
    if declaration.volumes and machine.volumes.prepared(member, launch.fence):
        return
    for number, command in enumerate(declaration.prepare):
        rendered = render_all(command, record.names, f"prepare[{number}]")
        box = await asyncio.to_thread(machine.boxes.around, launch, record.names, rendered[0])
        result = await machine.runs.run(
            launch.task, rendered, record.env, where, declaration.start_timeout_s, box=box, failed_to=logs
        )
        if trouble := result.trouble(declaration.fatal):
            what = f"preparation {number + 1} of {len(declaration.prepare)} {trouble}"
            raise PreparationFailed(what, lines=result.last_lines())
    if declaration.volumes:
        await asyncio.to_thread(machine.volumes.mark_prepared, member, launch.fence)
