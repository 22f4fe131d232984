"""Answers the kubelet's question whether the task is ready: ``GET /ready``, 200 or 503 with the reason.

Whoever reaches the pod's address may ask. So a question is small and soon over, and the answer says nothing that the
pod's status would not.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

BYTES_MAX: Final = 8192
QUESTION_S: Final = 5.0
AT_ONCE_MAX: Final = 32


@contextlib.asynccontextmanager
async def answering(address: str, port: int, why_not: Callable[[], str]) -> AsyncIterator[None]:
    """``why_not``: empty while the task is ready."""
    under_way = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way
        under_way += 1
        try:
            if under_way <= AT_ONCE_MAX:
                async with asyncio.timeout(QUESTION_S):
                    question = await reader.readuntil(b"\r\n\r\n")
                    writer.write(_answer(question, why_not()))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            under_way -= 1
            writer.close()

    server = await asyncio.start_server(answer, address, port, limit=BYTES_MAX)
    try:
        yield
    finally:
        server.close()


def _answer(question: bytes, why_not: str) -> bytes:
    words = question.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or words[0] != b"GET" or words[1] != b"/ready":
        status, text = "404 Not Found", "GET /ready is all that there is"
    elif why_not:
        status, text = "503 Service Unavailable", why_not
    else:
        status, text = "200 OK", "ready"
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body
