"""What a workload of somebody else's asks for becomes a service, follows it, and goes with it."""

from typing import Any, Final

import msgspec
import pytest

from upcall.catalog.workload.service import Workload
from upcall.master import guests, services
from upcall.operations import inputs as given
from upcall.service.package import build_installed
from upcall.substrate.interface import Guest, Output
from upcall.testing.world import World

WEB: Final = Guest(service="statefulset-web", workload="statefulset/web", members=3)


@pytest.fixture
def world() -> World:
    made = World("kubernetes")
    made.after_turn += [services.finish_uninstalls, guests.follow]
    return made


def register(world: World) -> None:
    built = build_installed(f"{Workload.__module__}:{Workload.__name__}").package

    def put(tx: Any) -> None:
        world.state.packages.put(built)
        tx.changed.assignments = True

    world.run(put)


def tell(world: World, **more: Any) -> None:
    world.observe(Output(up=[msgspec.structs.replace(WEB, **more)]))


def options(world: World) -> dict[str, Any]:
    return world.state.services[WEB.service].record.options


def operations(world: World) -> list[tuple[str, str]]:
    return [(one.kind, one.state) for one in world.ledger.operations()]


def test_it_waits_for_the_package_and_is_installed_once(world: World) -> None:
    tell(world)
    assert WEB.service not in world.state.services
    register(world)
    assert options(world) == {"workload": "statefulset/web", "members": 3, "away": "hold"}
    assert world.state.services[WEB.service].record.asked_by == "statefulset/web"
    tell(world)
    assert (world.guests, operations(world)) == ({}, [])


def test_another_size_or_another_wish_is_an_update_of_what_stands(world: World) -> None:
    register(world)
    tell(world)
    tell(world, members=5, responder="http://web.example/upcall", minimum=2, away="careful")
    tell(world, members=5, responder="http://web.example/upcall", minimum=2, away="careful")
    (operation,) = world.ledger.operations()
    assert (operation.kind, operation.asked_by) == ("update", "statefulset/web"), "once, however often it is told"
    assert world.state.services[WEB.service].revisions[operation.revision].options == {
        "workload": "statefulset/web",
        "members": 5,
        "away": "careful",
        "responder": "http://web.example/upcall",
        "minimum": 2,
    }


def test_who_asks_no_more_is_uninstalled_and_may_ask_again(world: World) -> None:
    register(world)
    tell(world)
    tell(world, members=0, gone=True)
    (operation,) = world.ledger.operations()
    assert (operation.kind, operation.asked_by) == ("uninstall", "statefulset/web")
    tell(world)
    assert world.guests.keys() == {WEB.service}, "it waits for the end of the uninstall"
    world.send(given.Force(operation=operation.id, who="ann", why="now"))
    world.advance(5)
    assert operations(world)[0] == ("uninstall", "done")
    assert options(world)["members"] == 3
    assert world.guests == {}


def test_what_cannot_be_understood_is_told(world: World) -> None:
    register(world)
    tell(world, problem="upcall.dev/ask is 'boldly', and neither `careful` nor an address")
    alerts = [one.text for one in world.journal.newest(50) if one.data.get("alert")]
    assert alerts == ["upcall.dev/ask is 'boldly', and neither `careful` nor an address; the careful rule holds"]


def test_a_service_of_that_name_that_is_somebody_elses_is_left_alone(world: World) -> None:
    register(world)
    tell(world)
    record = world.state.services[WEB.service].record
    world.state.services[WEB.service].record = msgspec.structs.replace(record, package="other")
    tell(world, members=0, gone=True)
    assert operations(world) == []
