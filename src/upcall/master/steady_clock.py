"""The master's wall clock, when the machine's jumps.

Graces, windows and deadlines on record are instants of the wall clock. Somebody sets it, a machine starts with a wrong
one and is put right: then a week's grace of kept volumes would be over in a moment, and what lies there be gone; a
drain would be forced because its window ended in no time. So it is followed only as far as it may have drifted. What
is more, is a jump: it is told, and followed by a tenth at most, so nothing that was to last an hour is over before 54
minutes of it have passed. Time in which the machine slept has passed, and is no jump.

What is between the two is remembered while the machine runs, or the next start of the master would jump. A machine that
starts anew has the clock that it has.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from upcall.keeper.identity import boot_id

log = logging.getLogger(__name__)

DRIFT_S: Final = 2.0
"""At once: clocks drift and are slewed."""
FOLLOWS: Final = 0.1
"""Of the time that passes."""
FILE: Final = "clock.json"


since_boot: Final = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
"""Goes on while the machine sleeps, and is set by nobody."""


class SteadyClock:
    """Seconds since 1970, as far as that is believed."""

    def __init__(
        self,
        remembered: Path | None = None,
        *,
        machine: Callable[[], float] = time.time,
        passed: Callable[[], float] = since_boot,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        """``remembered``: the file in which a jump is kept."""
        self._machine, self._passed, self._boot, self._file = machine, passed, boot, remembered
        self._read_s = passed()
        self._offset_s = self._remembered(machine() - self._read_s)
        self._jumped_s = 0.0
        """As it was told last; 0: the machine's clock is believed."""
        self._untold: list[str] = []

    def __call__(self) -> float:
        now_s = self._passed()
        since_s, self._read_s = now_s - self._read_s, now_s
        off_s = self._machine() - now_s - self._offset_s
        if abs(off_s) <= DRIFT_S:
            self._offset_s += off_s
            if self._jumped_s:
                self._note(0.0)
        else:
            most_s = since_s * FOLLOWS
            self._offset_s += max(-most_s, min(off_s, most_s))
            self._note(off_s)
        return now_s + self._offset_s

    def news(self) -> list[str]:
        """What has not been told yet."""
        self()
        news, self._untold = self._untold, []
        return news

    def _note(self, off_s: float) -> None:
        """A jump, another one on top of it, and its end; not each second of the way."""
        if (
            off_s
            and abs(off_s - self._jumped_s) > max(DRIFT_S, abs(self._jumped_s) * FOLLOWS)
            and (not self._jumped_s or abs(off_s) > abs(self._jumped_s) or off_s * self._jumped_s < 0)
        ):
            way = "forward" if off_s > 0 else "back"
            self._untold.append(
                f"the machine's clock jumped {way} by {abs(off_s):,.0f} s: what is to last goes on by the time that "
                "has passed, and the clock is followed by a tenth of that"
            )
            self._jumped_s = off_s
            self._remember()
        elif not off_s and self._jumped_s:
            self._untold.append("the machine's clock is believed again")
            self._jumped_s = 0.0
            self._remember()

    def _remembered(self, now: float) -> float:
        if self._file is None:
            return now
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(self._file.read_text())
            if known["boot"] == self._boot():
                return float(known["offset_s"])
        return now

    def _remember(self) -> None:
        if self._file is None:
            return
        try:
            if self._jumped_s:
                self._file.write_text(json.dumps({"boot": self._boot(), "offset_s": self._offset_s}))
            else:
                self._file.unlink(missing_ok=True)
        except OSError as error:  # Told it is all the same.
            log.warning("that the clock jumped cannot be kept: %s", error)
