"""A broker that is away is told by us: the client's own lines, one a second, would bury ours in the host's log."""

import time

import pytest

from upcall.catalog.kafka.admin import Admin


def test_the_client_writes_nothing_while_no_broker_is_there(capfd: pytest.CaptureFixture[str]) -> None:
    admin = Admin("127.0.0.1:1")
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        admin.client.poll(0.1)
    assert capfd.readouterr().err == ""
