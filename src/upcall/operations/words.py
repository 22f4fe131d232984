"""Times as people say them."""

from typing import Final

SECONDS_MAX: Final = 120
"""So long a time is said in seconds."""
MINUTE_S: Final = 60
HOUR_S: Final = 60 * MINUTE_S
DAY_S: Final = 24 * HOUR_S


def span(seconds: float) -> str:
    """``4 s``, ``4m 57s``, ``10m``, ``2h 05m``, ``1d``."""
    if seconds < SECONDS_MAX:
        return f"{max(0.0, seconds):.0f} s"
    whole = int(seconds)
    if whole < HOUR_S:
        return _both(whole // MINUTE_S, "m", whole % MINUTE_S, "s")
    if whole < DAY_S:
        return _both(whole // HOUR_S, "h", whole % HOUR_S // MINUTE_S, "m")
    return _both(whole // DAY_S, "d", whole % DAY_S // HOUR_S, "h")


def _both(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}" + (f" {small:02}{small_unit}" if small else "")
