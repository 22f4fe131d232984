"""Whether one node answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from upcall.catalog.cassandra.native import OPTIONS, answers

HOST = "127.0.0.1"
SUPPORTED = bytes.fromhex("84 00 0000 06 00000000")


@contextmanager
def listening(says: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Who is asked one question; without an answer he keeps the connection, as a process that stands still does."""
    asked: list[bytes] = []
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(len(OPTIONS)))
                connection.sendall(says)
                with suppress(ConnectionResetError):  # who has his answer reads no more of it
                    connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], asked
        thread.join()


def test_a_node_that_says_what_it_supports_answers() -> None:
    with listening(SUPPORTED) as (port, asked):
        assert answers(HOST, port, 60.0)
    assert asked == [OPTIONS]


def test_one_that_takes_the_connection_and_says_nothing_does_not() -> None:
    with listening(b"") as (port, _):
        assert not answers(HOST, port, 0.2)


def test_nobody_there_does_not() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
    assert not answers(HOST, port, 60.0)
