"""``upcall fetch``: what packages run, downloaded before it is needed; afterwards they start with no network at all."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
import typer

from upcall.cli import composition as compositions
from upcall.cli.output import Progress, duration, nearest
from upcall.cli.session import Session, command, commands
from upcall.protocol import releases
from upcall.protocol.declaration import Artifact
from upcall.protocol.errors import Invalid, NotFound, UpcallError
from upcall.protocol.nearest import choice
from upcall.protocol.numbers import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from upcall.artifacts.progress import Progress as Moment
    from upcall.artifacts.progress import ProgressCallback
    from upcall.service.package import Built

fetch_app = commands()
APPS = {"fetch": fetch_app}

MIB: Final = 1 << 20
DRAW_S: Final = 0.15

Result = TypeVar("Result")


@command(fetch_app, "fetch")
def fetch(
    session: Session,
    packages: Annotated[
        list[str] | None, typer.Argument(metavar="PACKAGE", help="Names (log, log@4.1), or paths.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="All packages of a platform file.")] = None,
) -> None:
    """Download what packages run, verified by hash, so that they start with no network; needs no cluster."""
    names = list(packages or [])
    if file is not None:
        names += [f"{one.package}@{one.version}".rstrip("@") for one in compositions.load(file).services]
    if not names:
        raise Invalid("no package is named", where="fetch", expected="packages, paths, or -f FILE")
    results = fetch_all(session, names)
    session.out.show(
        results, ("package", "artifacts", "fetched_mib"), [list(one.values()) for one in results], empty=""
    )


def fetch_all(session: Session, names: Iterable[str]) -> list[dict[str, Any]]:
    """What these packages run, class archives made too; what is there already costs a look."""
    results = []
    for built in [find(name) for name in dict.fromkeys(names)]:
        began = time.monotonic()
        artifacts = artifacts_of(built)
        fetched_mib = _fetch(session, built, artifacts) if artifacts else 0.0
        results.append(
            {
                "package": f"{built.package.name} {built.package.version}",
                "artifacts": len(artifacts),
                "fetched_mib": round(fetched_mib, 1),
            }
        )
        if artifacts:
            took = duration(time.monotonic() - began)
            session.out.note(f"{built.package.name}: {counted(len(artifacts), 'artifact')} ready after {took}")
    return results


def find(named: str) -> "Built":
    """The package of that name (``log@4.1``: in that version) among those installed here, or of a path."""
    from upcall.service import package

    if named.endswith(".py") or "/" in named:
        return package.build(Path(named))
    name, version = releases.split(named)
    known = []
    # The likely ones first: each that is looked at has to be imported.
    for entry in sorted(package.installed(), key=lambda entry: name.replace("-", "_") not in entry):
        try:
            code = package.load(entry)
        except ImportError:
            continue  # a client library of that package is not installed; another package is wanted perhaps
        if code.package != name:
            known.append(code.package)
        elif found := releases.newest(code.versions(), version):
            return package.build_installed(entry, found)
        else:
            there = choice(code.versions(), "")
            raise NotFound(f"package {name} has no version {version!r}", where="here", expected=there)
    raise NotFound(f"unknown package {name!r}", where="packages installed here", expected=nearest(name, known))


class _Head(msgspec.Struct):
    kind: str
    name: str


def artifacts_of(built: "Built") -> list[Artifact]:
    """Everything that the package's locks describe; other blobs of it are files of its own."""
    found = []
    for digest, data in built.blobs.items():
        try:
            head = msgspec.json.decode(data, type=_Head)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        found.append(Artifact(name=head.name, kind=head.kind, lock=digest))
    return found


def _fetch(session: Session, built: "Built", artifacts: list[Artifact]) -> float:
    """Realise them in this process, with progress; MiB that were fetched."""
    from upcall.artifacts.cache import Cache
    from upcall.artifacts.fetch import fetch as realise

    cache = Cache()
    blobs = built.blobs.__getitem__
    fetched: dict[str, int] = {}

    def work(report: "ProgressCallback", stop: threading.Event) -> None:
        def told(moment: "Moment") -> None:
            fetched[moment.artifact] = moment.fetched_bytes
            report(moment)

        realise(artifacts, cache, blobs, told, train=True, stop=stop)

    shown(session, built.package.name, work)
    return sum(fetched.values()) / MIB


def shown(session: Session, package: str, work: "Callable[[ProgressCallback, threading.Event], Result]") -> "Result":
    """What ``work`` gives. Its progress is shown meanwhile, and when it is to stop, its next report stops it."""
    moments: dict[str, Moment] = {}
    stop, over = threading.Event(), threading.Event()
    done: list[Result] = []
    failed: list[BaseException] = []

    def report(moment: "Moment") -> None:
        if stop.is_set():
            from upcall.artifacts.errors import Cancelled

            raise Cancelled("stopped", where=package)
        moments[moment.artifact] = moment  # atomic; the drawing thread copies it

    def run() -> None:
        try:
            done.append(work(report, stop))
        except BaseException as error:
            failed.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=run)
    try:
        thread.start()
        with session.out.progress() as progress:
            while not over.wait(DRAW_S):
                _show(progress, package, list(moments.values()))
            _show(progress, package, list(moments.values()))
    except KeyboardInterrupt:
        stop.set()
        thread.join()
        session.out.note("stopped; what came so far stays in the cache")
        raise
    thread.join()
    if failed:
        error = failed[0]
        raise error if isinstance(error, UpcallError) else Invalid(f"{type(error).__name__}: {error}", where=package)
    return done[0]


def _show(progress: Progress, package: str, moments: "list[Moment]") -> None:
    progress.show(lambda: _picture(moments), _lines(package, moments))


def _lines(package: str, moments: "list[Moment]") -> Iterator[str]:
    """One for each stage of each artifact: figures that change would be lines without end."""
    for one in moments:
        if one.text:
            yield f"{package}: {one.artifact}: {one.text}"


def _picture(moments: "list[Moment]") -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for one in moments:
        done, total = one.done_bytes / MIB, one.total_bytes / MIB
        bar = ProgressBar(total=max(total, 0.001), completed=done, width=28, pulse=not total and not one.finished)
        rate = "" if one.finished or not one.rate_bytes_s else f"{one.rate_bytes_s / MIB:.1f} MiB/s"
        size = f"{done:.0f}/{total:.0f} MiB" if total else ""
        table.add_row(
            Text(one.artifact, "bold"), bar, size, Text(rate, "dim"), Text("ready" if one.finished else one.text, "dim")
        )
    return table
