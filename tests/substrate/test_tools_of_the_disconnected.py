"""A tool beside a task whose agent goes while it runs: whoever asked for it is told at once, and not after its time."""

import asyncio

import pytest

from upcall.protocol import agent as wire
from upcall.protocol.errors import NotNow
from upcall.protocol.service import RunTool, ToolResult
from upcall.substrate.connections import Agents, Connection

HOUR_S = 3600.0
TOOL = RunTool(member="node-0", command=("{{artifact.tools}}/bin/nodetool", "snapshot"), timeout_s=HOUR_S)


async def begun(agents: Agents) -> "tuple[Connection, asyncio.Task[ToolResult], wire.Run]":
    connection = agents.connect("node-1", "boot")
    running = asyncio.create_task(agents.run("a.node-0.1", "node-1", TOOL))
    asked = await connection.queue.get()
    assert isinstance(asked, wire.Run)
    return connection, running, asked


@pytest.mark.parametrize("how", ["it is disconnected", "another one takes its place"])
async def test_who_asked_for_a_tool_is_told_when_the_agent_goes(how: str) -> None:
    agents = Agents()
    connection, running, asked = await begun(agents)
    if how == "it is disconnected":
        agents.disconnect(connection)
    else:
        agents.connect("node-1", "another")
    with pytest.raises(NotNow, match="agent of node-1 was disconnected while nodetool ran: how it ended is not known"):
        await running
    agents.reply(wire.Reply(request=asked.request, code=0))  # Nobody waits for it any more.


async def test_what_was_answered_before_the_agent_went_counts() -> None:
    agents = Agents()
    connection, running, asked = await begun(agents)
    agents.reply(wire.Reply(request=asked.request, code=0, output="done"))
    agents.disconnect(connection)
    assert (await running).output == "done"


async def test_the_tools_of_other_nodes_run_on() -> None:
    agents = Agents()
    _, running, asked = await begun(agents)
    other = agents.connect("node-2", "boot")
    agents.disconnect(other)
    agents.reply(wire.Reply(request=asked.request, code=0, output="done"))
    assert (await running).output == "done"
