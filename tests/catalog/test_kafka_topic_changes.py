"""What a person changes of topics is waited for, and what Kafka does not say in time is told in words."""

import pytest
from confluent_kafka import KafkaError, KafkaException

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


def test_brokers_that_are_coming_are_no_failure_of_what_was_asked() -> None:
    with pytest.raises(KafkaException) as caught:
        admin.Admin(NOBODY).topics()
    assert admin.passes(caught.value, few=False)
    assert admin.passes(TimeoutError(), few=False) == "no broker answered within 0.2 s"
    few = KafkaException(KafkaError(KafkaError.INVALID_REPLICATION_FACTOR, "3 of 2"))
    assert admin.passes(few, few=True) == "3 of 2"
    assert not admin.passes(few, few=False), "all are there, and no waiting helps"
    assert not admin.passes(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)), few=True)
    assert not admin.passes(ValueError("no"), few=True)
