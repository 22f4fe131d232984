"""The user's own folders, as the XDG convention has them: for data, and for what can be fetched again."""

import os
from pathlib import Path

from upcall.protocol.errors import Invalid


def data() -> Path:
    """Ours below ``XDG_DATA_HOME``. A relative one is ignored, as the convention wants it; an older upcall took it
    nevertheless, and a cluster that was made there is found there."""
    if (given := os.environ.get("XDG_DATA_HOME", "")) and not Path(given).is_absolute():
        before = Path(given, "upcall")
        if (before / "cluster.json").exists():
            return before
    return _base("XDG_DATA_HOME", ".local", "share") / "upcall"


def cache() -> Path:
    """Ours below ``XDG_CACHE_HOME``."""
    return _base("XDG_CACHE_HOME", ".cache") / "upcall"


def _base(variable: str, *usual: str) -> Path:
    given = Path(os.environ.get(variable, ""))
    if given.is_absolute():
        return given
    try:
        return Path.home().joinpath(*usual)
    except RuntimeError:
        raise Invalid(
            "this user has no home folder", where="HOME", expected=f"HOME or {variable} to name a folder"
        ) from None
