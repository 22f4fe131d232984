"""Who is at the other end of a loopback connection."""

import os
import socket
from pathlib import Path

import pytest

from upcall.transport import peer


def test_the_user_of_a_connection_is_known_and_of_none_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            assert peer.user_of(client.getsockname(), listener.getsockname()) == os.geteuid()
        with pytest.raises(peer.Unknown):
            peer.user_of(("127.0.0.1", 1), listener.getsockname())


def test_a_line_that_one_look_at_the_kernels_table_misses_is_found_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        looks = 0

        def read_text(self) -> str:
            self.looks += 1
            lines = Path("/proc/net/tcp").read_text().splitlines()
            return "\n".join(lines[:1] if self.looks == 1 else lines)

    table = Missing()
    monkeypatch.setattr(peer, "TABLES", (table,))
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        assert peer.user_of(client.getsockname(), listener.getsockname()) == os.geteuid()
    assert table.looks == 2
