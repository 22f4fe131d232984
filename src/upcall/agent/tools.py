"""One-shot tools beside a running task: same artifacts, environment, volumes and address.

A tool sees exactly what the task sees: its templates are rendered with the names of the running incarnation, and its
working folder is the task's sandbox.
"""

import asyncio

from upcall.agent.machine import Machine
from upcall.agent.render import render_all, render_map
from upcall.agent.task import Task
from upcall.protocol.agent import Reply, Run
from upcall.protocol.errors import UpcallError

TIMEOUT_S_MAX = 3600.0


async def run(machine: Machine, task: Task | None, request: Run) -> Reply:
    """Always an answer; ``error`` is set when the tool did not run to its end."""
    if task is None or not task.runs or task.started is None:
        return Reply(request=request.request, error=f"{request.task} does not run on {machine.node}")
    names = task.record.names | task.record.launch.values
    timeout_s = min(request.timeout_s, TIMEOUT_S_MAX)
    try:
        command = render_all(request.command, names, "command")
        env = task.record.env | render_map(request.env, names, "env")
        sandbox = machine.places.sandbox(task.id)
        program = command[0] if command else ""
        box = await asyncio.to_thread(machine.boxes.around, task.record.launch, task.record.names, program)
        result = await machine.runs.run(task.id, command, env, sandbox, timeout_s, request.input, box)
    except (UpcallError, OSError) as error:
        return Reply(request=request.request, error=str(error))
    code = result.code if result.code is not None else -(result.signal or 0)
    # Both streams: a tool says on one what it found and on the other why it could not.
    output = result.output + result.errors
    return Reply(request=request.request, code=code, output=output, error=result.timed_out)
