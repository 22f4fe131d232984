"""``upcall bundle``: packages as images in a folder that can be carried to where no network reaches."""

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from upcall.cli.fetch import artifacts_of, find, shown
from upcall.cli.image import HOST, MIB, Base, Platforms
from upcall.cli.session import Makes, Session, command, commands

if TYPE_CHECKING:
    from threading import Event

    from upcall.artifacts.progress import ProgressCallback
    from upcall.image.bundle import Bundle

bundle_app = commands("Images for where no network reaches: `bundle [make] PACKAGE --to`; verify, push.", group=Makes)
APPS = {"bundle": bundle_app}

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The bundle.")]
COLUMNS: Final = ("package", "version", "platforms", "digest", "name")


@command(bundle_app, "make")
def make(
    session: Session,
    packages: Annotated[list[str], typer.Argument(metavar="PACKAGE", help="Names (log, log@4.1), or paths.")],
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="A folder that is not there yet.")],
    platforms: Platforms = None,
    base: Base = "",
) -> None:
    """Make the images of packages, and a folder with all of them, the Helm chart and the sums of its files."""
    from upcall.artifacts.cache import Cache
    from upcall.cli import elsewhere
    from upcall.image import building, bundle, standing, target

    wanted = target.parse(platforms) if platforms else [target.this()]
    found = [find(name) for name in dict.fromkeys(packages)]

    def work(report: "ProgressCallback", stop: "Event") -> "Bundle":
        cache = Cache()
        stands = standing.standing(base, cache, report)
        images = {}
        with tempfile.TemporaryDirectory(dir=cache.root / "partial", prefix="bundle-") as scratch:
            for number, built in enumerate(found):
                name, version = built.package.name, built.package.version
                what = building.Package(name, version, artifacts_of(built), built.blobs, built.libraries)
                image = building.build([what], wanted, stands, cache, Path(scratch) / str(number), report)
                images[name, version] = (f"{HOST}/upcall/{name}:{version}", image)
            chart = elsewhere.on("kubernetes", session.folder).chart_files()
            return bundle.write(to, images, {f"chart/{name}": text for name, text in chart.items()})

    _show(session, to, shown(session, "bundle", work))


@command(bundle_app, "verify")
def verify(session: Session, folder: Folder) -> None:
    """Look at every file of a bundle. What was lost or changed on the way is said."""
    from upcall.image import bundle

    _show(session, folder, bundle.verify(folder))


@command(bundle_app, "push")
def push(
    session: Session,
    folder: Folder,
    registry: Annotated[str, typer.Argument(metavar="HOST/PATH", help="Where: each image is below it.")],
) -> None:
    """Send the images of a bundle to a registry that is reached from here, after looking at all of it."""
    from upcall.image import bundle, pushing

    told = bundle.verify(folder)
    images = bundle.images(folder, told.contents)
    rows = []
    for one in told.contents.images:
        to = bundle.target(registry, one)
        pushed = asyncio.run(pushing.push(images[one.name], to, "bundle push"))
        rows.append(
            {
                "name": str(to),
                "pushed": str(pushed.reference),
                "sent_mib": round(pushed.sent_bytes / MIB, 1),
                "skipped_mib": round(pushed.skipped_bytes / MIB, 1),
            }
        )
    session.out.show(rows, ("pushed", "sent_mib", "skipped_mib"), [list(row.values())[1:] for row in rows], empty="")


def _show(session: Session, folder: Path, bundle: "Bundle") -> None:
    import msgspec

    images: list[dict[str, Any]] = msgspec.to_builtins(bundle.contents.images)
    told = {
        "folder": str(folder),
        "files": bundle.files,
        "mib": round(bundle.size / MIB, 1),
        "upcall": bundle.contents.upcall,
        "images": images,
    }
    rows = [[one["package"], one["version"], ", ".join(one["platforms"]), one["digest"], one["name"]] for one in images]
    session.out.show(told, COLUMNS, rows, empty="")
    session.out.note(f"{folder}: {bundle.files} files, {told['mib']} MiB, all as their sums say")
