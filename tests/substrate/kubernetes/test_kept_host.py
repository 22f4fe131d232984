"""The host of services of a control plane in a pod is ended where it does not turn, and started again: with real
processes, of which one keeps the interpreter for itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from upcall.keeper.turning import LOOKS
from upcall.kubernetes.control_plane.hosting import keep

EVERY_S = 0.25
LIMIT_S = 300.0
HOST = """
import asyncio, ctypes, os, sys, threading, time
from pathlib import Path
from upcall.service.turning import Turning

folder = Path(sys.argv[1])

def keeps():
    while not (folder / "go").exists():
        time.sleep(0.01)
    (folder / "go").unlink()
    ctypes.PyDLL(None).sleep(1000)

async def main():
    threading.Thread(target=keeps, daemon=True).start()
    (folder / f"turns-{os.getpid()}").write_text(str(turning.seen))
    await turning.say()

turning = Turning()
asyncio.run(main())
"""


@asynccontextmanager
async def kept(folder: Path) -> AsyncIterator[Path]:
    """With the file that says what was seen of one that stood still."""
    (folder / "host.py").write_text(HOST)
    seen = folder / "host.still.json"
    keeping = asyncio.create_task(keep((str(folder / "host.py"), str(folder)), seen, EVERY_S, again_s=0.01))
    try:
        yield seen
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def turning(folder: Path, count: int) -> list[int]:
    """Those that began, once there are so many."""
    async with asyncio.timeout(LIMIT_S):
        while len(found := _began(folder)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return [int(one.name.partition("-")[2]) for one in found]


def _began(folder: Path) -> list[Path]:
    return sorted(folder.glob("turns-*"), key=lambda one: one.stat().st_mtime_ns)


async def test_one_that_keeps_the_interpreter_is_ended_with_its_stacks_and_the_next_can_read_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(tmp_path) as seen:
        (first,) = await turning(tmp_path, 1)
        (tmp_path / "go").touch()
        numbers = await turning(tmp_path, 2)
        assert numbers[0] == first
        assert f'File "{tmp_path / "host.py"}"' in json.loads(seen.read_bytes())["stacks"]
        assert f"has not turned for {LOOKS * EVERY_S:g} s, and is ended" in caplog.text
        assert (tmp_path / f"turns-{numbers[1]}").read_text() == str(seen), "it is told where to look"
    assert not Path(f"/proc/{numbers[1]}").exists(), "it ends with who keeps it"


async def test_one_that_turns_is_left_alone(tmp_path: Path) -> None:
    async with kept(tmp_path):
        (first,) = await turning(tmp_path, 1)
        await asyncio.sleep(3 * LOOKS * EVERY_S)
        assert await turning(tmp_path, 1) == [first]
