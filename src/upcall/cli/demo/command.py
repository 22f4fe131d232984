"""``upcall demo``: a composition like any other, watched until Ctrl-C, then put away.

Nothing here is private to the demo: the cluster is started as by ``up``, the composition installed as by
``apply -f``, and taken down as by ``down``. Which one it is, an installed distribution says: an entry point in the
group ``upcall.demos`` names a module whose package holds the composition (``demo.yaml``), and whose ``watch`` asks the
services that were installed for what is found in their data.
"""

import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol, cast

import typer

from upcall.cli import composition as compositions
from upcall.cli import down, footprint, keeping, machine, opening, system
from upcall.cli.apply import apply, resources
from upcall.cli.demo.measured import Ran, measure
from upcall.cli.demo.sizing import Nodes, nodes_for
from upcall.cli.fetch import fetch_all
from upcall.cli.output import duration, nearest
from upcall.cli.session import Session, command, commands
from upcall.client.blocking import Client
from upcall.protocol.errors import Conflict, Invalid, NotFound
from upcall.protocol.nearest import choice

if TYPE_CHECKING:
    from rich.console import RenderableType

demo_app = commands()
APPS = {"demo": demo_app}

GROUP: Final = "upcall.demos"
WHOLE: Final = "pip install 'upcall[all]', or `make demo`"
FOUND_SHOWN: Final = 12
LINE_EVERY_S: Final = 10.0
FIRST_ANOMALY_TIMEOUT_S: Final = 900.0
"""From when all is asked for: nothing that is still tried is given up before."""


class Seen(Protocol):
    """One look at the data, about once a second."""

    text: str
    """Flight, throughput, lag: one line."""
    found: Sequence[str]
    """Anomalies since the last look, in words."""
    matched: Mapping[str, Any] | None
    """The first anomaly that matches a labelled fault, once there is one (sensor, kind, seconds, seed ...)."""


class Watch(Protocol):
    def __call__(self, client: Client) -> Iterator[Seen]: ...


@command(demo_app, "demo")
def demo(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="DEMO", help="Where several are installed: which.")] = "",
    once: Annotated[
        bool,
        typer.Option("--once", help="Measure it: until the first anomaly, on an empty data folder; build/demo.json."),
    ] = False,
    on: Annotated[
        str, typer.Option("--on", metavar="WHERE", help="kubernetes: as `upcall up --on` has it, with its options.")
    ] = "",
    context: Annotated[str, typer.Option("--context", help="See `upcall up`.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", help="See `upcall up`.")] = "",
    image: Annotated[str, typer.Option("--image", help="With all packages of the demo in it.")] = "",
) -> None:
    """The whole platform at work on this machine, and what it finds in its data, until Ctrl-C; data is kept. On a
    cluster elsewhere it is installed, and runs on."""
    began = time.monotonic() - _made_for_s()
    composition, watch = _plugged(name)
    if not on and any((context, namespace, image)):
        raise Invalid("it is said where, and not on what", where="upcall demo", expected="--on kubernetes")
    if on or session.control_plane:
        if once:
            raise Invalid("what is measured is this machine", where="--once", expected="a data folder of this machine")
        _elsewhere(session, composition, on, (context, namespace, image))
        return
    if once:
        measure(session, began, lambda fresh, peak: _run(fresh, composition, watch, once=True, peak=peak))
        return
    ran = _run(session, composition, watch, once=False, peak=footprint.Peak())
    down.check_complete(session, ran.incomplete)
    words = f"down; data is kept in {session.folder.root}, `upcall demo` goes on"
    if not ran.ours:
        words = "the cluster was up before, and runs on with the demo in it; `upcall down` ends it"
    session.out.say({"data": str(session.folder.root), "down": ran.ours}, words)


def _run(
    session: Session, composition: compositions.Composition, watch: Watch, *, once: bool, peak: footprint.Peak
) -> Ran:
    """Everything up, watched, and what was started here down again."""
    if needs := composition.requires.words():
        session.out.note(f"the demo needs {needs}")
    # Without class archives the Java systems take three times as long to start: they are made here, once.
    packages = [one.package for one in composition.services]
    ran = Ran(sum(float(one["fetched_mib"]) for one in fetch_all(session, packages)))
    ours = ran.ours = not keeping.running(session.folder)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # a closed terminal leaves no more behind than Ctrl-C
    if ours:
        new = not session.folder.cluster_file.exists()
        nodes = nodes_for(composition, machine.memory_mib(), machine.cores()) if new else Nodes()
        system.start(session, nodes.count, nodes.memory_mib)
    try:
        with footprint.watched(session.folder.root, peak):
            size, _ = compositions.fitting(composition, resources(session, session.client.status()))
            ran.full = size.services == composition.services
            ran.options = {one.service: one.options for one in size.services}
            until = time.monotonic() + FIRST_ANOMALY_TIMEOUT_S
            apply(session, composition, quiet=True, tried_for_s=FIRST_ANOMALY_TIMEOUT_S if once else 0.0)
            session.out.note(opening.told_once(session))
            ran.matched = _watch(session, watch(session.client), until if once else None)
    except KeyboardInterrupt:
        if ours:
            session.out.note("\ntaking it down; the data is kept")
        if once:
            raise
    finally:
        ran.first_s = time.monotonic()
        if ours:
            ran.incomplete = down.stop(session).incomplete
    return ran


def _elsewhere(session: Session, composition: compositions.Composition, on: str, where: tuple[str, str, str]) -> None:
    """The composition on a cluster whose machines are not ours. Its store has names of that cluster alone, so what is
    found in the data is not looked for from here."""
    if on:
        from upcall.cli import elsewhere
        from upcall.cluster.control_plane import Wanted

        context, namespace, image = where
        elsewhere.start(session, on, Wanted(context=context, namespace=namespace, image=image))
    apply(session, composition, quiet=True)
    names = ", ".join(one.service for one in composition.services)
    session.out.say(
        session.client.services(),
        f"{names}: deployed on {session.control_plane}; `upcall open` shows the cluster,"
        " `upcall uninstall` of each, the last one first, takes it away",
    )


def _made_for_s() -> float:
    """Seconds since ``make demo`` began, where it was that which called: what was set up before counts too."""
    import psutil

    for ancestor in psutil.Process().parents():
        if ancestor.name() == "make" and "demo" in ancestor.cmdline():
            return max(0.0, time.time() - ancestor.create_time())
    return 0.0


def _plugged(name: str) -> tuple[compositions.Composition, Watch]:
    """The composition and the watch of the demo that is installed."""
    offered = _offered(name)
    try:
        module = offered.load()
        text = (files(module.__package__) / "demo.yaml").read_text()
        watch = cast(Watch, module.watch)
    except (ImportError, AttributeError, FileNotFoundError) as missing:
        raise NotFound(f"the demo is not installed whole: {missing}", where=offered.value, expected=WHOLE) from None
    return compositions.parse(text, "demo.yaml"), watch


def _offered(name: str) -> EntryPoint:
    found = {one.name: one for one in entry_points(group=GROUP)}
    if not found:
        raise NotFound("no demo is installed", where=GROUP, expected=WHOLE)
    if name and name not in found:
        raise NotFound(f"no demo {name!r}", where=GROUP, expected=nearest(name, found))
    if not name and len(found) > 1:
        raise Invalid(f"{len(found)} demos are installed", where="DEMO", expected=choice(sorted(found), ""))
    return found[name or next(iter(found))]


def _watch(session: Session, looks: Iterator[Seen], until: float | None) -> Mapping[str, Any] | None:
    """Show what is seen: until an anomaly matches, or that time is over; without one until Ctrl-C."""
    found: deque[str] = deque(maxlen=FOUND_SHOWN)
    began = said_at = time.monotonic()
    with session.out.progress() as progress:
        for seen in looks:
            if not keeping.running(session.folder):
                raise Conflict(
                    "the cluster went down meanwhile", where=str(session.folder.root), expected="`upcall demo` goes on"
                )
            found.extend(seen.found)
            now = time.monotonic()
            if progress.live:
                progress.show(lambda seen=seen, now=now: _picture(seen, found, now - began), ())  # type: ignore[misc]
            else:
                for line in seen.found:
                    session.out.note(line)
                if now - said_at >= LINE_EVERY_S:
                    said_at = now
                    session.out.note(seen.text)
            if until is not None and seen.matched is not None:
                return seen.matched
            if until is not None and now > until:
                return None
    return None


def _picture(seen: Seen, found: Sequence[str], seconds: float) -> "RenderableType":
    from rich.console import Group
    from rich.spinner import Spinner
    from rich.text import Text

    head = Spinner(
        "dots", text=Text.assemble((f" {seen.text}", "bold"), (f"  {duration(seconds)}", "dim")), style="green"
    )
    return Group(head, *(Text(f"  {line}", "yellow") for line in reversed(found)), Text("  Ctrl-C ends it", "dim"))
