"""Settings that change while a broker runs. Pure.

A broker takes another value as an *override*, which wins over its ``server.properties``, also at its next start. So one
is kept only while the file that the broker was started with says something else than what is asked: a broker that was
started with the value has no override, and no later change of the file is hidden by one that was forgotten.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

MINIMUM: Final = "min.insync.replicas"
"""Has its value in the whole cluster, where it stays: Kafka takes none of a broker's own, and no file's."""
_COUNTS_THREADS: Final = re.compile(r"threads(\.|$)|fetchers$|pool\.size$")
"""A broker takes at most twice as many as it has, and at least half."""
_NAME: Final = re.compile(r"[a-z][a-z0-9.]*[a-z0-9]")


def overrides(
    names: Iterable[str], wanted: Mapping[str, str], file: Mapping[str, str], usual: Mapping[str, str | None]
) -> dict[str, str | None]:
    """What a broker that was started with ``file`` is told of these; None: its file says it. ``usual``: values of what
    stands nowhere."""
    found: dict[str, str | None] = {}
    for name in names:
        value, started = (each.get(name, usual.get(name)) for each in (wanted, file))
        found[name] = None if value == started else value
    return found


def forgotten(
    present: Mapping[str, str], wanted: Mapping[str, str], file: Mapping[str, str], usual: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Of the overrides that a broker has at its start: those that its file stands for again. One that says what is
    asked while the file does not yet came meanwhile, and stays."""
    kept = overrides(present, wanted, file, usual)
    return {name: None for name, value in present.items() if kept[name] is None or not same(kept[name], value)}


def between(name: str, now: str, to: str) -> Iterator[str]:
    """The values on the way, of what a broker takes only in steps."""
    if _COUNTS_THREADS.search(name) and now.isdigit() and to.isdigit() and int(now) > 0:
        value = int(now)
        while value * 2 < int(to) or (value + 1) // 2 > int(to) > 0:
            value = value * 2 if value < int(to) else (value + 1) // 2
            yield str(value)


def rounds(
    given: Mapping[str, str | None], now: Mapping[str, str | None], without: Mapping[str, str | None]
) -> Iterator[dict[str, str | None]]:
    """What a broker is told, one round after the other: it judges settings by each other (what is kept on its own disk
    is at most what is kept in all), so it hears of all of them at once, and takes all or none. Only what it takes in
    steps comes to its value later. ``now``: what it works with; ``without``: what it has where nobody tells it (None).
    """
    ways = {
        name: (*between(name, now.get(name) or "", (without[name] if value is None else value) or ""), value)
        for name, value in given.items()
    }
    for number in range(max(map(len, ways.values()), default=0)):
        yield {name: way[number] for name, way in ways.items() if number < len(way)}


def blamed(names: Iterable[str], said: str) -> list[str]:
    """Of what a broker was told at once, what it names in its refusal; all, where it names none."""
    words = set(_NAME.findall(said))
    return [name for name in names if name in words] or list(names)


def same(one: str | None, other: str | None) -> bool:
    """Kafka says ``0.8`` of what it was told as ``0.80``."""
    try:
        return one == other or float(one or "") == float(other or "")
    except ValueError:
        return False
