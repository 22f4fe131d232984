"""``upcall image build``: a package as an image for a cluster that runs containers; needs no cluster, daemon or
root."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from upcall.cli.fetch import artifacts_of, find, shown
from upcall.cli.session import Session, command, commands
from upcall.protocol.errors import Invalid

if TYPE_CHECKING:
    from threading import Event

    from upcall.artifacts.progress import ProgressCallback
    from upcall.image.building import Image

image_app = commands("Packages as images for a cluster that runs containers.")
APPS = {"image": image_app}

MIB: Final = 1 << 20
HOST: Final = "localhost"
"""Where an image is said to be that was not pushed: nobody is asked for it there."""

Platforms = Annotated[
    list[str] | None,
    typer.Option(
        "--platform", help="linux/amd64, linux/arm64; several for an image of both. [default: this machine's]"
    ),
]
Base = Annotated[
    str,
    typer.Option(
        help="What it stands on, with glibc and Python: HOST/PATH@sha256:..., a folder with an image, or a lock of "
        "packages. [default: packages of a distribution]"
    ),
]


@command(image_app, "build")
def build(
    session: Session,
    packages: Annotated[
        list[str], typer.Argument(metavar="PACKAGE", help="A name (log, log@4.1), or a path; several for one image.")
    ],
    platforms: Platforms = None,
    base: Base = "",
    push: Annotated[str, typer.Option(help="Send it to a registry: HOST/PATH:TAG.")] = "",
    layout: Annotated[Path | None, typer.Option(help="Write it as a folder (OCI layout).")] = None,
    archive: Annotated[Path | None, typer.Option(help="Write it as an archive that runtimes load.")] = None,
    name: Annotated[str, typer.Option(help="What it is called in a folder or an archive: HOST/PATH:TAG.")] = "",
) -> None:
    """Build the image of a package, or one of several: the same locks give the same digest. Without --push, --layout
    or --archive it is only said which one that is."""
    from upcall.artifacts.cache import Cache
    from upcall.image import building, layers, references, standing, target
    from upcall.image.layout import write_archive, write_folder

    wanted = target.parse(platforms) if platforms else [target.this()]
    to = references.parse(push, where="--push") if push else None
    if to is not None and to.digest:
        raise Invalid(
            f"{push} names a digest, which only the image itself has", where="--push", expected="HOST/PATH:TAG"
        )
    found = sorted((find(one) for one in dict.fromkeys(packages)), key=lambda built: built.package.name)
    what = [
        building.Package(built.package.name, built.package.version, artifacts_of(built), built.blobs, built.libraries)
        for built in found
    ]
    usual = f"{HOST}/upcall/{'-'.join(one.name for one in what)}:{'-'.join(one.version for one in what)}"
    called = str(references.parse(name or usual, where="--name"))

    def work(report: "ProgressCallback", stop: "Event") -> dict[str, Any]:
        cache = Cache()
        with tempfile.TemporaryDirectory(dir=cache.root / "partial", prefix="image-") as scratch:
            image = building.build(what, wanted, standing.standing(base, cache, report), cache, Path(scratch), report)
            told = _told(image, called)
            if layout is not None:
                write_folder(image, called, layout)
                told["layout"] = str(layout)
            if archive is not None:
                write_archive(image, called, archive)
                told["archive"] = str(archive)
            if to is not None:
                told |= _push(image, to, report)
        return told

    told = shown(session, what[0].name if len(what) == 1 else "image", work)
    if not layers.usual():
        session.out.note("this Python compresses in its own way: elsewhere the same locks give another digest")
    session.out.show(told, ("image", "what"), [[key, str(value)] for key, value in _lines(told)], empty="")


def _told(image: "Image", called: str) -> dict[str, Any]:
    return {
        "name": called,
        "digest": image.digest,
        "platforms": [
            {
                "platform": f"linux/{one.architecture}",
                "digest": one.manifest.digest,
                "mib": round(one.size / MIB, 1),
                "layers": [
                    {"digest": layer.digest, "mib": round(layer.size / MIB, 1), "what": layer.words or "base"}
                    for layer in one.layers
                ],
            }
            for one in image.images
        ],
    }


def _push(image: "Image", to: Any, report: "ProgressCallback") -> dict[str, Any]:
    import asyncio

    from upcall.artifacts.progress import Meter
    from upcall.image.pushing import push

    meter = Meter("push", report)
    meter.begin(f"sending to {to.host}", sum(layer.size for layer in image.layers.values()))
    pushed = asyncio.run(push(image, to, "--push", meter.add))
    meter.finish()
    return {
        "name": str(to),
        "pushed": str(pushed.reference),
        "sent_mib": round(pushed.sent_bytes / MIB, 1),
        "skipped_mib": round(pushed.skipped_bytes / MIB, 1),
    }


def _lines(told: dict[str, Any]) -> "list[tuple[str, Any]]":
    """For people: one line a layer."""
    lines: list[tuple[str, Any]] = []
    for key, value in told.items():
        if key != "platforms":
            lines.append((key.replace("_", " "), value))
    for one in told["platforms"]:
        lines.append((one["platform"], f"{one['digest']}, {one['mib']} MiB"))
        lines += [("", f"{layer['mib']:>7} MiB  {layer['what']}") for layer in one["layers"]]
    return lines
