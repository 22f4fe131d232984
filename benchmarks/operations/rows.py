"""The rows that are played alike on every system: asked for until it is over and whole again, and what has to be so."""

from collections.abc import Callable

from benchmarks import harm
from benchmarks.cells import say
from benchmarks.cluster import Broken
from benchmarks.driven import Driven
from upcall.operations.table import CHANGES


def same(holds: bool, words: str) -> None:
    """What has to be so after a row, or it is not what it says."""
    if not holds:
        raise Broken(f"not so: {words}")
    say(f"  {words.partition(':')[0]}")


def rolling_restart(system: Driven) -> None:
    """A restart of each member is asked for at once; the system's own code says who goes when."""
    before = system.incarnations()
    asked = [str(system.cluster.ask("task", "restart", member, "--no-wait")["id"]) for member in before]
    system.until_done(asked)
    system.until_whole()
    now = system.incarnations()
    same(all(now[member] > number for member, number in before.items()), "each member was restarted")


def changed(*options: str) -> Callable[[Driven], None]:
    """``options``: NAME=VALUE, some that change live and some that need restarts."""

    def play(system: Driven) -> None:
        system.upcall("update", system.service, *(word for each in options for word in ("--set", each)))
        system.until_whole()

    return play


def bad_then_good(bad: str, says: str, good: str) -> Callable[[Driven], None]:
    """No member starts with the first value; the second is good."""

    def play(system: Driven) -> None:
        before = system.incarnations()
        said = system.refused("update", system.service, "--set", bad)
        same(says in said, f"the update failed with its first member: {said}")
        now = system.incarnations()
        touched = [member for member, number in before.items() if now[member] > number]
        same(len(touched) <= 1, f"no other was touched: {touched}")
        system.upcall("update", system.service, "--set", good)
        system.until_whole()

    return play


def drain_node(system: Driven) -> None:
    node = system.member(0).node
    system.upcall("node", "drain", node, "--reason", "new memory")
    same(system.member(0).state == "held", "its member is held")
    system.upcall("node", "undrain", node)
    system.until_whole()


def drain_zone(system: Driven) -> None:
    """All members of a zone go together."""
    zones = {node.name: node.zone for node in system.cluster.client.nodes()}
    zone = zones[system.member(0).node]
    there = {task.member for task in system.members() if zones[task.node] == zone}
    system.upcall("node", "drain", "--zone", zone, "--reason", "the rack moves")
    held = {task.member for task in system.members() if task.state == "held"}
    same(held == there and len(there) == 2, f"both members of the zone are held: {sorted(held)}")
    system.upcall("node", "undrain", "--zone", zone)
    system.until_whole()


def upgrade(to: str) -> Callable[[Driven], None]:
    def play(system: Driven) -> None:
        system.upcall("upgrade", system.service, "--to", to)
        system.until_whole()
        same(system.version == to, "it runs the new version")

    return play


def rollback(to: str) -> Callable[[Driven], None]:
    def play(system: Driven) -> None:
        system.upcall("rollback", system.service)
        system.until_whole()
        same(system.version == to, "it runs the old version")

    return play


def finalize(system: Driven) -> None:
    system.upcall("finalize", system.service)
    system.until_whole()
    same("was finalized" in system.refused("rollback", system.service), "nothing older comes back")


def volume_lost(system: Driven) -> None:
    before = system.member(0)
    harm.empty_volume(system.cluster, before)
    harm.kill(system.cluster, before)
    system.until_next(before)


def node_lost(system: Driven) -> None:
    before = system.member(1)
    harm.lose_node(system.cluster, before)
    system.until_next(before)
    same(system.member(1).node != before.node, "it is elsewhere")


def scales_itself(system: Driven, most: int, more: Callable[[], None], less: Callable[[], None]) -> None:
    """One more comes when there is ``more``, and leaves when there is ``less``; nobody asks for either."""
    few = len(system.members())
    bounds = {"min": few, "max": most, "hold_s": 5, "hold_in_s": 5, "cool_down_s": 0}
    words = [word for name, value in bounds.items() for word in ("--set", f"autoscale.{name}={value}")]
    system.upcall("update", system.service, *words)
    known = {each.id for each in system.cluster.client.operations(ended=True)}

    def changes() -> list[str]:
        """Their states, of those that nobody asked for."""
        found = system.cluster.client.operations(ended=True)
        return [each.state for each in found if each.kind in CHANGES and each.id not in known]

    more()
    system.until("one more is ready", lambda: len(system.members()) > few and changes()[-1:] == ["done"])
    system.until_whole()
    less()
    system.until("it left", lambda: len(system.members()) == few and set(changes()) == {"done"})
    system.until_whole()
    same(len(changes()) >= 2, "it asked for both by itself")
    system.upcall("scale", system.service, "--by-hand")
