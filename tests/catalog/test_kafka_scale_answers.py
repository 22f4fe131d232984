"""What Kafka says of brokers that come and leave: who restarts, what is refused and with which numbers. Pure."""

from typing import ClassVar

from upcall.catalog.kafka.moves import Sizes
from upcall.catalog.kafka.partitions import Partition
from upcall.catalog.kafka.service import Kafka, node_id
from upcall.protocol import service as wire
from upcall.service import Member, OptionChange, Verdict
from upcall.service.context import Context
from upcall.testing import Scenario, operation

IDS = {"cluster-id": "b25lYnJva2VyZm9ydGVzdA"}
MIB = 1 << 20


class Asked(Kafka):
    """Kafka with replicas and sizes that a test gives."""

    package = "kafka"
    copies: ClassVar[tuple[tuple[int, ...], ...]] = ((1, 2, 3), (2, 3, 4))
    used: ClassVar[dict[int, dict[str, int]]] = {}

    async def partitions(self) -> list[Partition]:
        return [Partition("writes", number, each, each) for number, each in enumerate(self.copies)]


async def said(service: type[Asked], brokers: int, leaving: str, *more: str) -> Verdict:
    names = [f"broker-{number}" for number in range(brokers)]
    members = {name: wire.Member(name=name, state="ready", incarnation=1) for name in names}
    asked = service(Context(name="kafka", options={"brokers": brokers, "disk_mib": 256}, members=members))

    async def sizes(_brokers: object) -> Sizes:
        return service.used

    asked._moving.sizes = sizes  # type: ignore[method-assign, assignment]
    why = operation("scale_in", leaving, leaving=(leaving, *more))
    return await asked.may_scale_in(asked.members[leaving], why)


def of(**fields: object) -> type[Asked]:
    return type("Kafka", (Asked,), {"package": "kafka", **fields})


async def test_a_broker_may_leave_while_the_others_have_room_for_what_it_has() -> None:
    assert (await said(Asked, 4, "broker-3")).word == "accept"


async def test_replicas_without_a_broker_of_their_own_refuse_it_with_numbers() -> None:
    answer = await said(of(copies=((1, 2, 3, 4),)), 4, "broker-3")
    assert (answer.word, answer.reason) == ("decline", "writes has 4 replicas, and 3 brokers would be left")
    both = await said(of(copies=((1, 2, 3, 4),)), 5, "broker-4", "broker-3")
    assert both.reason == "writes has 4 replicas, and 3 brokers would be left", "all that leave are counted"


async def test_a_full_disk_refuses_it_with_numbers() -> None:
    used = {1: {"writes-0": 100 * MIB, "other-0": 90 * MIB}, 4: {"writes-1": 120 * MIB}}
    answer = await said(of(used=used), 4, "broker-3")
    assert (answer.word, answer.reason) == (
        "decline",
        "no room: with what broker-3 has, broker-0 310 MiB of 256 MiB of disk each",
    )


async def test_replicas_that_would_share_a_rack_refuse_it_with_numbers() -> None:
    apart = of(zones=lambda _kafka: {1: "a", 2: "b", 3: "b", 4: "c"}, copies=((1, 2, 4),))
    answer = await said(apart, 4, "broker-3")
    assert answer.word == "decline"
    assert answer.reason.startswith("writes-0 is in 3 racks, and would be in 2: 3 brokers would be left")
    assert (await said(apart, 4, "broker-2")).word == "accept"


async def test_too_few_controllers_refuse_it() -> None:
    assert "2 brokers would be left" in (await said(Asked, 3, "broker-2")).reason


def test_a_broker_more_changes_nothing_of_the_others() -> None:
    three, four, five = (Scenario(Asked, {"brokers": number}, memory=IDS).run() for number in (3, 4, 5))
    for name in ("broker-0", "broker-1", "broker-2"):
        assert three.task(name) == four.task(name) == five.task(name)
    assert "--no-initial-controllers" in four.task("broker-3").prepare[0]


def test_a_lone_broker_stays_one() -> None:
    service = Kafka(Context(name="kafka", options={}))
    for was, wanted, word in ((1, 3, "never"), (3, 1, "never"), (3, 4, "restart"), (5, 3, "restart")):
        assert service.how(OptionChange("brokers", "", was, wanted)).word == word


def test_who_leaves_and_is_in_no_pod_any_more_is_known_by_its_name() -> None:
    assert node_id(Member("broker-3")) == 4


async def test_a_broker_that_never_came_leaves_without_being_asked_what_it_has() -> None:
    names = {f"broker-{number}": "ready" for number in range(3)} | {"broker-3": "placed"}
    members = {name: wire.Member(name=name, state=state) for name, state in names.items()}
    kafka = Asked(Context(name="kafka", options={"brokers": 3}, members=members))
    done: list[str] = []

    async def carry_out(_plan: object, what: str) -> None:
        done.append(what)

    async def sizes(_brokers: object) -> Sizes:
        raise AssertionError("Kafka knows no such broker, and its tool ends with that")

    async def seat(*leaving: Member) -> None:
        done.append(f"{leaving[0]} has no vote")

    kafka._moving.carry_out, kafka._moving.sizes, kafka.seat = carry_out, sizes, seat  # type: ignore[method-assign, assignment]
    await kafka.leave(kafka.members["broker-3"], operation("scale_in", "broker-3", leaving=("broker-3",)))
    assert done == ["broker-3 leaves", "broker-3 has no vote"]
