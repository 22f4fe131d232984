"""What a person changes of topics is waited for, and what Kafka does not say in time is told in words."""

import pytest

from upcall.catalog.kafka import admin
from upcall.protocol.errors import NotNow

NOBODY = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "CHANGE_S", 0.2)
    monkeypatch.setattr(admin, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(admin, "PATIENT", {"request_timeout": 0.2, "operation_timeout": 0.2})


def test_what_kafka_does_not_say_in_time_may_be_done_all_the_same() -> None:
    with pytest.raises(NotNow, match=r"Kafka did not say within 0\.2 s that it is done; it may be all the same"):
        admin.Admin(NOBODY).delete_topic("orders")
