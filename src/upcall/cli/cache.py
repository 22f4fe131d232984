"""``upcall cache``: what was fetched and made once for all clusters of this user: how much it is, and what may go."""

import hashlib
import importlib.util
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from upcall.cli.asking import Yes, confirm
from upcall.cli.output import ago
from upcall.cli.session import Session, command, commands
from upcall.cli.values import seconds
from upcall.protocol.errors import Invalid
from upcall.protocol.numbers import counted

if TYPE_CHECKING:
    from upcall.artifacts.cleaning import Entry

cache_app = commands("What was fetched and made for all clusters: size, clean.")
APPS = {"cache": cache_app}

MIB: Final = 1 << 20
UNUSED: Final = "30d"
LOCKS: Final = "*/**/lock/*.json"


@command(cache_app, "size")
def size(session: Session) -> None:
    """What takes how much, by kind and package, and what of it is used now."""
    from upcall.artifacts import cleaning
    from upcall.artifacts.cache import Cache
    from upcall.cli.cache_use import use_of

    cache = Cache()
    use, of = use_of(cache.root), packages()
    rows: dict[tuple[str, str], list[Any]] = {}
    for one in cleaning.entries(cache):
        row = rows.setdefault((one.kind, package_of(one, of)), [0, 0, 0, 0.0])
        row[0] += 1
        row[1] += one.size_bytes
        row[2] += one.size_bytes if use.of(one) else 0
        row[3] = max(row[3], one.looked_at)
    for name, taken in cleaning.others(cache).items():
        rows[f"other: {name}", ""] = [1, taken, 0, 0.0]
    ordered = sorted(rows.items(), key=lambda row: -row[1][1])
    total, used = (sum(row[at] for _, row in ordered) for at in (1, 2))
    if session.out.as_json:
        keys = ("number", "bytes", "used_bytes", "looked_at")
        found = [
            {"kind": kind, "package": package, **dict(zip(keys, row, strict=True))} for (kind, package), row in ordered
        ]
        session.out.json({"folder": str(cache.root), "bytes": total, "used_bytes": used, "entries": found})
        return
    session.out.table(
        ("kind", "package", "number", "size", "used now", "looked at"),
        [
            (kind, package, number, _mib(taken), _mib(in_use) if in_use else "", ago(looked_at))
            for (kind, package), (number, taken, in_use, looked_at) in ordered
        ],
        empty="nothing was fetched yet",
    )
    session.out.line(f"{cache.root}: {_mib(total)}, of which {_mib(used)} may be in use")


@command(cache_app, "clean")
def clean(
    session: Session,
    unused: Annotated[
        bool,
        typer.Option("--unused", help=f"What nobody has looked at for {UNUSED} (or --older). This is the default."),
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="All that nobody uses now, however new it is.")] = False,
    older: Annotated[
        str, typer.Option("--older", metavar="AGE", help="With --unused: not looked at for so long.")
    ] = UNUSED,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    yes: Yes = False,
) -> None:
    """Drop what nobody uses. What a running cluster of this user uses stays, and what somebody is fetching; the rest is
    fetched again when it is needed."""
    from upcall.artifacts import cleaning
    from upcall.artifacts.cache import Cache
    from upcall.cli.cache_use import use_of

    if unused and everything:
        raise Invalid("--unused and --all are two answers", where="cache clean", expected="one of them")
    before = time.time() - seconds(older, "--older")
    cache = Cache()
    use, of = use_of(cache.root), packages()
    found = cleaning.entries(cache)

    def meant(one: "Entry") -> bool:
        begun = one.kind == cleaning.LEFT and not one.key.endswith(".part")  # Nobody goes on with it.
        return everything or begun or one.looked_at < before

    going = [one for one in found if meant(one) and not use.of(one) and not cleaning.would_stay(cache, one)]
    if kept := [one for one in found if meant(one) and use.of(one)]:
        session.out.note(f"kept, since it may be in use: {counted(len(kept), 'part')}, {_mib(_sum(kept))}")
    if dry_run or not going:
        _say(session, going, of, done=False)
        return
    confirm(session, f"{counted(len(going), 'part')} of the cache, {_mib(_sum(going))}, "
            f"{'goes' if len(going) == 1 else 'go'}; what is needed is fetched again, which needs the network",
            "upcall cache clean", yes=yes)  # fmt: skip
    # Clusters may have come while a person thought.
    use = use_of(cache.root)
    gone: list[Entry] = []

    def told(one: "Entry", why: str) -> None:
        if why:
            session.out.note(f"{one.key} stays: {why}")
        else:
            gone.append(one)

    cleaning.clean(cache, lambda one: meant(one) and not use.of(one), told)
    _say(session, gone, of, done=True)


def _say(session: Session, found: "list[Entry]", of: dict[str, str], *, done: bool) -> None:
    if session.out.as_json:
        parts = [
            {"kind": one.kind, "package": package_of(one, of), "key": one.key, "bytes": one.size_bytes} for one in found
        ]
        session.out.json({"dropped" if done else "would_drop": parts, "bytes": _sum(found)})
    elif not found:
        session.out.line("nothing to drop")
    elif done:
        session.out.line(f"dropped {counted(len(found), 'part')}, {_mib(_sum(found))}")
    else:
        sums: dict[tuple[str, str], list[int]] = {}
        for one in found:
            row = sums.setdefault((one.kind, package_of(one, of)), [0, 0])
            row[0] += 1
            row[1] += one.size_bytes
        rows = [
            (*what, number, _mib(taken)) for what, (number, taken) in sorted(sums.items(), key=lambda row: -row[1][1])
        ]
        session.out.table(("kind", "package", "number", "size"), rows, empty="")
        session.out.line(f"{_mib(_sum(found))} would be freed")


def packages() -> dict[str, str]:
    """Digest of a lock file -> the packages of this installation that have it."""
    found: dict[str, set[str]] = {}
    for path in _locks():
        name = path.parent.parent
        name = name.parent.parent if name.parent.name == "versions" else name
        found.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), set()).add(name.name)
    return {digest: ", ".join(sorted(names)) for digest, names in found.items()}


def _locks() -> Iterable[Path]:
    spec = importlib.util.find_spec("upcall")
    for folder in spec.submodule_search_locations or () if spec else ():
        yield from Path(folder).glob(LOCKS)


def package_of(one: "Entry", of: dict[str, str]) -> str:
    return ", ".join(sorted({of[digest] for digest in one.digests if digest in of}))


def _sum(found: "Iterable[Entry]") -> int:
    return sum(one.size_bytes for one in found)


def _mib(size: float) -> str:
    return f"{size / MIB:.1f} MiB" if size < 1024 * MIB else f"{size / MIB / 1024:.1f} GiB"
