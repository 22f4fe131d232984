"""A topic of a test, where the brokers did not hear of it at first, or their answer was lost."""

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from upcall.pytest.systems.kafka import created

NEW = NewTopic("test-1-orders", num_partitions=1, replication_factor=1)


class Answers:
    """In the place of a client: what the brokers say to each request."""

    def __init__(self, *codes: int | None) -> None:
        self.codes = list(codes)

    def create_topics(self, new: list[Any], request_timeout: float) -> dict[str, Future[None]]:
        answer: Future[None] = Future()
        code = self.codes.pop(0)
        if code is None:
            answer.set_result(None)
        else:
            answer.set_exception(KafkaException(KafkaError(code)))
        return {new[0].topic: answer}


@pytest.mark.parametrize(
    "codes",
    [
        (None,),
        (KafkaError._TIMED_OUT, None),
        (KafkaError.REQUEST_TIMED_OUT, KafkaError._TRANSPORT, None),
        (KafkaError._TIMED_OUT, KafkaError.TOPIC_ALREADY_EXISTS),
    ],
)
def test_what_was_not_heard_is_said_again(codes: tuple[int | None, ...]) -> None:
    answers = Answers(*codes)
    assert created(answers, NEW) == ""  # type: ignore[arg-type]
    assert answers.codes == []


@pytest.mark.parametrize(
    "codes",
    [
        (KafkaError.TOPIC_ALREADY_EXISTS,),
        (KafkaError.INVALID_REPLICATION_FACTOR,),
        (KafkaError._TIMED_OUT, KafkaError.INVALID_PARTITIONS),
    ],
)
def test_what_they_refuse_is_told(codes: tuple[int, ...]) -> None:
    answers = Answers(*codes)
    assert created(answers, NEW) == KafkaError(codes[-1]).str()  # type: ignore[arg-type]
    assert answers.codes == []
