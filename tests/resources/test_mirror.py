"""Operations as objects: what is live, and what ended for a while, in few writes."""

from played import Played
from test_lives_of_resources import MEMBERS, defers

from upcall.kubernetes.resources import mirror
from upcall.operations import inputs as given


def test_an_operation_is_shown_with_its_reason_and_goes_some_time_after_its_end(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    played.runs("shop", *MEMBERS, says=defers)
    played.apply("shop", options={"count": 2, "label": "b"})
    played.pass_by(30)
    (operation,) = [one.id for one in played.world.ledger.operations() if one.kind == "update"]
    shown = played.operations()[operation]
    assert (shown["spec"]["kind"], shown["spec"]["service"]) == ("update", "shop")
    assert shown["status"]["waitsFor"] == "deferred by shop: 2 shards have one copy"
    assert shown["metadata"]["labels"]["upcall.dev/service"] == "shop"

    played.world.send(given.Cancel(operation=operation, who="ann", why="not now"))
    played.pass_by(30)
    ended = played.operations()[operation]["status"]
    assert ended["state"] == "withdrawn"
    assert "waitsFor" not in ended
    assert ended["endedAt"]
    played.pass_by(mirror.ENDED_S)
    assert operation not in played.operations()


def test_one_that_ends_right_after_it_was_written_is_not_forgotten(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    played.runs("shop", *MEMBERS, says=defers)
    played.apply("shop", options={"count": 2, "label": "b"})
    (operation,) = [one.id for one in played.world.ledger.operations() if one.kind == "update"]
    assert operation in played.operations()
    played.world.send(given.Cancel(operation=operation, who="ann", why="not now"))
    played.settle()
    assert played.operations()[operation]["status"]["state"] == "open"
    played.pass_by(mirror.WRITTEN_AGAIN_S + 1)
    assert played.operations()[operation]["status"]["state"] == "withdrawn"


def test_another_leader_goes_on_with_what_is_there(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    played.runs("shop", *MEMBERS, says=defers)
    played.apply("shop", options={"count": 2, "label": "b"})
    played.pass_by(30)
    (operation,) = [one.id for one in played.world.ledger.operations() if one.kind == "update"]
    played.away = True
    played.world.send(given.Cancel(operation=operation, who="ann", why="not now"))
    played._lead()
    played.away = False
    before = len(played.calls)
    played.pass_by(30)
    assert played.operations()[operation]["status"]["state"] == "withdrawn"
    assert [one for one in played.calls[before:] if "Operation" in one or "operations" in one] == [
        f"GET /v1/operations/{operation}",
        f"merge Operation {operation}",
    ]
    played.pass_by(2 * mirror.ENDED_S)
    assert operation not in played.operations()


def test_no_more_are_shown_than_anybody_reads(played: Played, monkeypatch: object) -> None:
    played.apply("shop", options={"count": 2})
    played.runs("shop", *(f"replica-{number}" for number in range(6)), says=defers)
    mirror_max = mirror.LIVE_MAX
    try:
        mirror.LIVE_MAX = 3  # type: ignore[misc]
        for number in range(6):
            played.world.send(
                given.Propose(
                    kind="restart", asked_by="ann", reason="a look", service="shop", members=(f"replica-{number}",)
                )
            )
        played.pass_by(60)
        assert len(played.operations()) == 3
    finally:
        mirror.LIVE_MAX = mirror_max  # type: ignore[misc]
