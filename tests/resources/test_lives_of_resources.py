"""What becomes of a resource: an install, updates, an uninstall that is asked for, and words about each."""

from collections.abc import Callable
from typing import Any

import pytest
from played import NAMESPACE, STORE, Fate, Played, accepts

from upcall.kubernetes.resources.calls import Call
from upcall.kubernetes.resources.kinds import OTHER
from upcall.kubernetes.resources.reading import ADOPT, FINALIZER
from upcall.master import keeping, revisions, services
from upcall.operations import inputs as given
from upcall.operations.views import PendingSet
from upcall.protocol.errors import Conflict
from upcall.protocol.operator import Install, Update

MEMBERS = ("replica-0", "replica-1")


def defers(pending: PendingSet) -> dict[str, given.Answer]:
    return {
        one.operation.id: given.Answer(verdict="defer", reason="2 shards have one copy")
        for one in pending.operations
        if not one.operation.begun
    }


def declines(pending: PendingSet) -> dict[str, given.Answer]:
    return {
        one.operation.id: given.Answer(verdict="decline", reason="no such label")
        for one in pending.operations
        if not one.operation.begun
    }


def test_what_is_made_is_installed_and_its_status_says_how_it_is(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    meta = played.resource("shop")["metadata"]
    assert meta["finalizers"] == [FINALIZER], "before anything was installed"
    record = played.world.state.services["shop"].record
    assert (record.package, record.version, record.options) == ("store", "2", {"count": 2})
    assert played.calls[:2] == ["merge Store shop", "POST /v1/services"]
    assert played.condition("shop", "Progressing")[:2] == ("True", "Deploying")
    assert played.condition("shop", "Ready")[0] == "False"
    played.runs("shop", *MEMBERS)
    played.pass_by(5)
    status = played.status("shop")
    assert (status["ready"], status["revision"], status["version"]) == ("2/2", 1, "2")
    assert status["observedGeneration"] == 1


def test_a_change_is_an_update_that_its_service_is_asked_about(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    played.runs("shop", *MEMBERS, says=defers)
    played.apply("shop", options={"count": 2, "label": "b"})
    played.pass_by(5)
    (operation,) = [one for one in played.world.ledger.operations() if one.kind == "update"]
    status = played.status("shop")
    assert status["operation"] == operation.id
    assert played.condition("shop", "Progressing") == ("True", "Updating", "deferred by shop: 2 shards have one copy")
    assert played.condition("shop", "Ready")[0] == "False", "it is not yet as the newest spec says"
    assert (status["observedGeneration"], status["revision"]) == (2, 1)
    keeper = played.world.state.services["shop"].record.keeper
    assert keeper is not None
    assert (keeper.generation, keeper.revision) == (2, 2)

    # The newest version counts: what is under way gives way to it, and what stands said again ends it.
    played.apply("shop", options={"count": 2})
    played.pass_by(5)
    assert played.world.ledger.operation(operation.id).state == "withdrawn"  # type: ignore[union-attr]
    assert played.condition("shop", "Progressing")[:2] != ("True", "Updating")
    assert played.status("shop")["observedGeneration"] == 3


def test_what_was_carried_out_stands(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    played.runs("shop", *MEMBERS)
    played.apply("shop", options={"count": 2, "label": "b"})
    (operation,) = [one for one in played.world.ledger.operations() if one.kind == "update"]
    played.world.answer()
    played.confirm(operation.id)
    played.pass_by(5)
    assert played.world.state.services["shop"].record.options == {"count": 2, "label": "b"}
    assert played.status("shop")["revision"] == 2
    assert played.condition("shop", "Stalled")[0] == "False"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            {"options": {"cuont": 3}},
            "unknown option 'cuont' of package store, did you mean 'count'?; at options.cuont; expected count or label",
        ),
        ({"options": {"count": 90}}, "options.count"),
        ({"version": "7"}, "package store has no version '7'"),
    ],
)
def test_a_refusal_is_the_sentence_of_the_command_line_and_nothing_is_half_done(
    played: Played, spec: dict[str, Any], says: str
) -> None:
    played.apply("shop", **spec)
    assert "shop" not in played.world.state.services
    status, reason, message = played.condition("shop", "Stalled")
    assert (status, reason) == ("True", "Refused")
    assert says in message
    assert played.status("shop")["health"] == "refused"
    assert played.condition("shop", "Ready")[0] == "False"
    played.apply("shop", options={"count": 1}, version="1")
    played.pass_by(5)
    assert played.world.state.services["shop"].record.version == "1"
    assert played.condition("shop", "Stalled")[0] == "False"


def test_a_change_that_is_refused_leaves_what_stands(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    played.runs("shop", *MEMBERS)
    played.apply("shop", options={"count": 90})
    played.pass_by(5)
    assert played.world.state.services["shop"].record.options == {"count": 2}
    assert played.condition("shop", "Stalled")[:2] == ("True", "Refused")
    assert played.status("shop")["ready"] == "2/2"
    assert not played.world.ledger.operations()


def test_a_change_that_its_service_declines_says_why(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    played.runs("shop", *MEMBERS, says=declines)
    played.apply("shop", options={"count": 2, "label": "b"})
    played.pass_by(5)
    status, reason, message = played.condition("shop", "Stalled")
    assert (status, reason) == ("True", "Declined")
    assert "no such label" in message
    assert played.world.state.services["shop"].record.options == {"count": 2}


def test_its_deletion_asks_and_the_reason_stands_in_the_status(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    busy = [True]
    played.runs("shop", *MEMBERS, says=lambda pending: defers(pending) if busy[0] else accepts(pending))
    played.delete("shop")
    played.pass_by(30)
    assert played.resource("shop")["metadata"]["deletionTimestamp"]
    assert played.condition("shop", "Progressing")[:2] == ("True", "Uninstalling")
    assert "deferred by shop: 2 shards have one copy" in played.status("shop")["conditions"][1]["message"]
    assert [one.kind for one in played.world.ledger.operations() if one.live and not one.parent] == ["uninstall"]
    busy[0] = False
    played.pass_by(120)
    assert played.resource("shop") is None
    assert "shop" not in played.world.state.services


def test_an_uninstall_that_was_cancelled_is_asked_for_again(played: Played) -> None:
    """A deletion cannot be taken back; nobody is asked without end either."""
    played.apply("shop", options={"count": 2})
    played.runs("shop", *MEMBERS, says=defers)
    played.delete("shop")
    (first,) = [one.id for one in played.world.ledger.operations() if one.kind == "uninstall"]
    played.world.send(given.Cancel(operation=first, who="ann", why="not now"))
    played.pass_by(5)
    assert [one.id for one in played.world.ledger.operations() if one.kind == "uninstall"] == [first]
    assert played.condition("shop", "Stalled")[:2] == ("True", "NotLetGo")
    played.pass_by(120)
    assert len([one for one in played.world.ledger.operations() if one.kind == "uninstall"]) == 2


def test_a_resource_that_was_never_taken_up_goes_at_once(played: Played) -> None:
    played.apply("shop", options={"cuont": 3})
    played.delete("shop")
    played.pass_by(5)
    assert played.resource("shop") is None


def test_a_kept_service_is_changed_by_its_resource_alone(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    with pytest.raises(Conflict) as refused:
        keeping.must_change(played.world.state.services["shop"])
    assert str(refused.value) == (
        f"shop is what store/shop in namespace {NAMESPACE} says, and is changed there alone; at shop;"
        f" expected `kubectl -n {NAMESPACE} edit stores.upcall.dev shop`"
    )


def install(played: Played, name: str) -> None:
    played.world.run(lambda tx: services.install(tx, Install(package="store", name=name), "ann"))
    played.settle()


def test_what_was_installed_otherwise_is_left_alone_until_it_is_to_be_adopted(played: Played) -> None:
    install(played, "shop")
    played.apply("shop", options={"count": 3})
    assert played.condition("shop", "Stalled")[:2] == ("True", "NotOurs")
    assert f"{ADOPT}=true` takes it over" in played.condition("shop", "Stalled")[2]
    assert played.world.state.services["shop"].record.keeper is None
    assert played.status("shop")["ready"] == "", "nothing of it is shown as its own"
    played.apply("shop", annotations={ADOPT: "true"}, options={"count": 3})
    record = played.world.state.services["shop"].record
    assert record.keeper is not None
    played.pass_by(5)
    assert played.condition("shop", "Stalled")[0] == "False"


def test_one_that_was_never_adopted_is_not_uninstalled_with_the_resource(played: Played) -> None:
    install(played, "shop")
    played.apply("shop", options={"count": 3})
    played.delete("shop")
    played.pass_by(5)
    assert played.resource("shop") is None
    assert "shop" in played.world.state.services
    assert not played.world.ledger.operations()


def test_a_service_whose_resource_was_torn_away_stays_and_is_anybodys(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    played.away = True
    played.server.merge(STORE.name, "shop", {"metadata": {"finalizers": None}})  # type: ignore[arg-type]
    played.server.delete(STORE.name, "shop")  # type: ignore[arg-type]
    played.away = False
    played.settle()
    assert played.world.state.services["shop"].record.keeper is None
    assert not played.world.ledger.operations()


def test_two_of_different_kinds_do_not_share_a_name(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    played.apply("shop", kind=OTHER, package="hello")
    assert played.world.state.services["shop"].record.package == "store"
    assert "is store/shop" in played.resource("shop", OTHER)["status"]["reason"]


def test_what_it_needs_may_come_after_it(played: Played) -> None:
    played.register("reader", "1", needs=("store",))
    played.apply("reader", kind=OTHER, package="reader", bindings={"store": "shop"})
    assert "no service 'shop' is installed" in played.resource("reader", OTHER)["status"]["reason"]
    played.apply("shop", options={"count": 2})
    assert played.world.state.services["reader"].record.bindings == {"store": "shop"}


def test_an_edit_while_nobody_leads_is_taken_up_by_who_leads_next(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    played.runs("shop", *MEMBERS)
    played.away = True
    for label in ("a", "b", "c"):
        played.apply("shop", options={"count": 2, "label": label})
    played._lead()
    played.away = False
    played.pass_by(5)
    (operation,) = [one for one in played.world.ledger.operations() if one.kind == "update"]
    assert played.world.state.services["shop"].revisions[operation.revision].options["label"] == "c"


def test_a_size_that_the_service_chose_by_itself_stays_until_the_resource_says_something_new(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    played.runs("shop", *MEMBERS)
    played.world.run(lambda tx: revisions.update(tx, "shop", Update(set={"count": 3}), "shop"))
    (operation,) = played.world.ledger.operations()
    played.world.answer()
    played.confirm(operation.id)
    played.pass_by(600)
    assert played.world.state.services["shop"].record.options == {"count": 3}
    assert played.condition("shop", "Stalled")[0] == "False"
    assert len(played.world.ledger.operations()) == 1
    played.apply("shop", options={"count": 2, "label": "b"})
    played.world.answer()
    newest = max(played.world.state.services["shop"].revisions.items())[1]
    assert newest.options == {"count": 2, "label": "b"}


def test_nothing_is_written_or_asked_while_nothing_happens(played: Played) -> None:
    played.apply("shop", options={"count": 2})
    played.apply("bad", options={"cuont": 2})
    played.runs("shop", *MEMBERS)
    played.pass_by(60)
    before = list(played.calls)
    played.pass_by(3600)
    assert set(played.calls[len(before) :]) <= {"POST /v1/services"}, "what was refused may be right later"
    assert len(played.calls) - len(before) <= 12


def course(played: Played) -> None:
    """A life of one resource; anything may happen to its calls."""
    played.apply("shop", options={"count": 2})
    played.pass_by(700)
    played.runs("shop", *MEMBERS)
    played.pass_by(700)
    played.apply("shop", options={"count": 2, "label": "b"})
    played.pass_by(700)
    for one in played.world.ledger.operations():
        if one.kind == "update" and one.live:
            played.confirm(one.id)
    played.pass_by(700)
    played.delete("shop")
    played.pass_by(1500)


def outcome(played: Played) -> tuple[object, ...]:
    kinds = [one.kind for one in played.world.ledger.operations() if not one.parent]
    return played.resource("shop"), "shop" in played.world.state.services, kinds


def once(number: int, fate: Fate) -> Callable[[Call], Fate]:
    calls = iter(range(1_000_000))
    return lambda call: fate if next(calls) == number else ""


@pytest.mark.parametrize("fate", ["lost", "unanswered", "refused", "leader before", "leader after"])
def test_whatever_happens_to_a_call_the_end_is_the_same(fate: Fate) -> None:
    undisturbed = Played()
    course(undisturbed)
    assert outcome(undisturbed) == (None, False, ["update", "uninstall"])
    for number in range(len(undisturbed.calls)):
        played = Played()
        played.fate = once(number, fate)
        course(played)
        assert outcome(played) == outcome(undisturbed), f"{fate} at call {number}"


@pytest.mark.parametrize("says", [accepts, defers])
def test_a_master_that_dies_at_any_write_of_it_takes_a_change_up_once(says: Any) -> None:
    died = 0
    for number in range(25):
        played = Played()
        played.apply("shop", options={"count": 2})
        played.runs("shop", *MEMBERS, says=says)
        played.pass_by(60)
        played.world.die_after = number
        played.apply("shop", options={"count": 2, "label": "b"})
        played.pass_by(700)
        died += played.world.deaths
        service = played.world.state.services["shop"]
        keeper = service.record.keeper
        assert keeper is not None
        assert keeper.generation == 2, f"died at {number}"
        assert service.revisions[keeper.revision].options == {"count": 2, "label": "b"}, f"died at {number}"
        kept = [one.revision for one in played.world.ledger.operations() if one.state not in ("withdrawn", "declined")]
        assert kept == [keeper.revision], f"died at {number}"
    assert died > 3
