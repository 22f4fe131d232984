"""Files of a member, carried by a tool beside it: as they are, for who knows the key, within its folder."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from upcall.protocol import service as wire
from upcall.protocol.errors import NotNow
from upcall.service.backup.carried import CutOff, files_of
from upcall.service.member import Member


def beside(root: Path) -> Member:
    """A member whose tools run here."""

    async def run(tool: wire.RunTool) -> wire.ToolResult:
        words = [
            word.replace("{{python}}", sys.executable).replace("{{volume.data}}", str(root)) for word in tool.command
        ]
        assert not any("{{" in word for word in words)
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, errors = await process.communicate(tool.input.encode())
        return wire.ToolResult(code=process.returncode or 0, output=output.decode(), error=errors.decode())

    return Member("node-0", seen=wire.Member(name="node-0", state="ready", address="127.0.0.1"), _runner=run)


async def test_what_is_there_is_listed_read_written_and_dropped(tmp_path: Path) -> None:
    large = os.urandom(3_000_001)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "large").write_bytes(large)
    (tmp_path / "a" / "empty").write_bytes(b"")
    async with files_of(beside(tmp_path), "{{volume.data}}") as files:
        found = await asyncio.to_thread(files.list, "a/**/*")
        assert [(each.name, each.size) for each in found] == [("a/b/large", len(large)), ("a/empty", 0)]
        assert await asyncio.to_thread(lambda: b"".join(files.get("a/b/large"))) == large
        assert await asyncio.to_thread(lambda: b"".join(files.get("a/empty"))) == b""
        await asyncio.to_thread(files.put, "in/new", len(large), [large[:5], large[5:]])
        assert (tmp_path / "in" / "new").read_bytes() == large
        await asyncio.to_thread(files.drop, "in")
        assert not (tmp_path / "in").exists()


async def test_nothing_outside_the_folder_is_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "secret").write_text("x")
    async with files_of(beside(tmp_path / "mine"), "{{volume.data}}") as files:
        with pytest.raises(CutOff, match="has ended"):
            await asyncio.to_thread(lambda: list(files.get("../secret")))


async def test_who_answers_without_the_key_is_not_believed(tmp_path: Path) -> None:
    async def never(tool: wire.RunTool) -> wire.ToolResult:
        import json

        given = json.loads(tool.input)
        with socket.create_server((given["address"], given["port"])) as server:
            line, _ = await asyncio.to_thread(server.accept)
            with line:
                line.sendall(b"0" * 32 + b"\n")
                await asyncio.to_thread(line.recv, 64)
                line.sendall(b"1" * 64)
                await asyncio.sleep(0)
        return wire.ToolResult(code=0)

    stranger = Member("node-0", seen=wire.Member(name="node-0", address="127.0.0.1"), _runner=never)
    with pytest.raises(NotNow, match="somebody else answers"):
        async with files_of(stranger, "{{volume.data}}"):
            pass


async def test_a_carrier_that_is_killed_while_it_carries_says_not_now(tmp_path: Path) -> None:
    """Its agent was: the file is there, and the same again would carry it."""
    (tmp_path / "large").write_bytes(bytes(40 << 20))
    tools: list[asyncio.subprocess.Process] = []

    async def run(tool: wire.RunTool) -> wire.ToolResult:
        words = [word.replace("{{python}}", sys.executable).replace("{{volume.data}}", str(tmp_path))
                 for word in tool.command]  # fmt: skip
        process = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE)
        tools.append(process)
        await process.communicate(tool.input.encode())
        return wire.ToolResult(code=process.returncode or 0)

    node = Member("node-0", seen=wire.Member(name="node-0", state="ready", address="127.0.0.1"), _runner=run)
    async with files_of(node, "{{volume.data}}") as files:
        pieces = files.get("large")
        await asyncio.to_thread(next, pieces)
        tools[0].kill()
        await tools[0].wait()
        with pytest.raises(CutOff, match="what carries the files"):
            await asyncio.to_thread(lambda: [len(piece) for piece in pieces])
