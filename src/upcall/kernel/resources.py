"""Amounts of what a node has: exact, so that what was taken and given back sums to what was there.

Scalars (``cpus``, ``memory_mib``, ``disk_mib``) are whole numbers of thousandths; binary fractions never enter an
account. Ranges are for things that are numbered (ports), sets for things that are named (devices). Subtraction of
scalars may go below zero: a node that comes back smaller than what is held on it *is* short, and says by how much.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Final

Ranges = tuple[tuple[int, int], ...]
"""Inclusive, sorted, neither overlapping nor touching."""

_MILLI: Final = Decimal("0.001")
SCALAR_MAX: Final = 10**15
"""Thousandths. Above this an amount is a mistake, not a machine."""


@lru_cache(maxsize=1024, typed=True)
def milli(value: float | int | str | Decimal) -> int:
    """``value`` in thousandths, rounded half to even; what ``str`` shows is what counts, so 0.1 is exactly 100."""
    exact = Decimal(str(value))
    if not exact.is_finite():
        raise ValueError(f"{value} is not an amount; expected a finite number")
    thousandths = int((exact / _MILLI).to_integral_value(ROUND_HALF_EVEN))
    if not 0 <= thousandths <= SCALAR_MAX:
        raise ValueError(f"{value} is out of range; expected 0 to {SCALAR_MAX // 1000}")
    return thousandths


def ranges(pairs: Iterable[tuple[int, int]]) -> Ranges:
    """The normal form of any list of inclusive pairs."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if low > high:
            raise ValueError(f"the range {low}-{high} is empty; expected the lower number first")
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _without(have: Ranges, taken: Ranges) -> Ranges:
    left: list[tuple[int, int]] = []
    for start, end in have:
        low = start
        for taken_low, taken_high in taken:
            if taken_high < low or taken_low > end:
                continue
            if taken_low > low:
                left.append((low, taken_low - 1))
            low = taken_high + 1
        if low <= end:
            left.append((low, end))
    return tuple(left)


@dataclass(frozen=True)
class Resources:
    """An amount. What is absent is zero, and zero is never written, so equal amounts are equal values."""

    scalars: Mapping[str, int] = field(default_factory=dict)
    ranges: Mapping[str, Ranges] = field(default_factory=dict)
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "scalars", {name: n for name, n in sorted(self.scalars.items()) if n})
        put(self, "ranges", {name: ranges(pairs) for name, pairs in sorted(self.ranges.items()) if pairs})
        put(self, "sets", {name: tuple(sorted(set(items))) for name, items in sorted(self.sets.items()) if items})

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(
            {name: self.scalar(name) + other.scalar(name) for name in self.scalars.keys() | other.scalars.keys()},
            {name: self.ranges.get(name, ()) + other.ranges.get(name, ()) for name in {*self.ranges, *other.ranges}},
            {name: self.sets.get(name, ()) + other.sets.get(name, ()) for name in {*self.sets, *other.sets}},
        )

    def __sub__(self, other: "Resources") -> "Resources":
        return Resources(
            {name: self.scalar(name) - other.scalar(name) for name in self.scalars.keys() | other.scalars.keys()},
            {name: _without(pairs, other.ranges.get(name, ())) for name, pairs in self.ranges.items()},
            {name: tuple(set(items).difference(other.sets.get(name, ()))) for name, items in self.sets.items()},
        )

    def scalar(self, name: str) -> int:
        return self.scalars.get(name, 0)

    def fits(self, free: "Resources") -> bool:
        """All of it is in ``free``."""
        return (
            all(amount <= free.scalar(name) for name, amount in self.scalars.items())
            and all(not _without(pairs, free.ranges.get(name, ())) for name, pairs in self.ranges.items())
            and all(set(items) <= set(free.sets.get(name, ())) for name, items in self.sets.items())
        )

    def overlaps(self, other: "Resources") -> bool:
        """They name the same port or device; scalars have no identity."""
        return any(_without(pairs, other.ranges.get(name, ())) != pairs for name, pairs in self.ranges.items()) or any(
            set(items) & set(other.sets.get(name, ())) for name, items in self.sets.items()
        )

    def lacking(self, free: "Resources") -> Iterator[str]:
        """Names of what ``free`` has too little of."""
        yield from (name for name, amount in self.scalars.items() if amount > free.scalar(name))
        yield from (name for name, pairs in self.ranges.items() if _without(pairs, free.ranges.get(name, ())))
        yield from (name for name, items in self.sets.items() if set(items) - set(free.sets.get(name, ())))

    def names(self) -> tuple[str, ...]:
        return (*self.scalars, *self.ranges, *self.sets)

    def say(self, name: str) -> str:
        """One of its amounts in words: ``1.2 GiB memory``, ``0.5 cpus``, ``ports 31000-31005``."""
        if name in self.ranges:
            return f"{name} {', '.join(f'{low}-{high}' for low, high in self.ranges[name])}"
        if name in self.sets:
            return f"{name} {', '.join(self.sets[name])}"
        return say(name, self.scalar(name))

    def __str__(self) -> str:
        return ", ".join(self.say(name) for name in self.names()) or "nothing"


def say(name: str, thousandths: int) -> str:
    """A scalar in words. Rounds down, so "1.2 GiB free" is never more than there is."""
    if not name.endswith("_mib"):
        return f"{Decimal(thousandths) * _MILLI:f}".rstrip("0").rstrip(".") + f" {name}"
    kind = name.removesuffix("_mib")
    if abs(thousandths) < 1024_000:
        return f"{thousandths // 1000} MiB {kind}"
    return f"{thousandths * 10 // 1024_000 / 10:g} GiB {kind}"


NOTHING: Final = Resources()
