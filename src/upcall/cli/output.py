"""How results look: tables for a person, plain aligned lines without a terminal, JSON for a program.

Results go to standard output; errors, notes and progress to standard error. Colours mean the same everywhere: green
is as wanted, yellow waits or is on its way, red needs somebody. What is printed goes through
:mod:`upcall.cli.printing`.
"""

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace
from pydantic import BaseModel

from upcall.cli.printing import COLOUR, aside, folded, result, visible
from upcall.protocol.errors import Problem
from upcall.protocol.nearest import LISTED_MAX, choice

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

GOOD: Final = frozenset({"up", "running", "ready", "done", "finished"})
BAD: Final = frozenset(
    {"failed", "lost", "gone", "silent", "blocked", "degraded", "recovering", "no host", "ended", "declined"}
)
STYLES: Final = {True: "green", False: "red", None: "yellow"}

SPARED: Final = ("cpu", "used", "memory", "zone", "version", "address", "description")
"""Columns that a narrow terminal can do without, in this order."""
WORD_MAX: Final = 32
GAP: Final = 2

SECONDS: Final = re.compile(r"\b\d+ s\b")
"""What counts up or down in a line while nothing has changed."""

MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400


LONG_WORD: Final = re.compile(r"\S{400,}")
"""What nobody types: a name that was pasted by mistake, with which an error would fill the screen."""
SHOWN_OF_IT: Final = 60


class Output:
    """Writes to a person or to a program; never both."""

    def __init__(self, *, as_json: bool = False, as_yaml: bool = False) -> None:
        self.as_json = as_json or as_yaml
        """A program reads."""
        self.as_yaml = as_yaml
        """And in YAML: the same values, each of many a document of its own."""

    @property
    def rich(self) -> bool:
        """A person looks at standard output."""
        return not self.as_json and sys.stdout.isatty()

    def console(self, *, progress: bool = False) -> "Console":
        from upcall.cli.terminal import VisibleConsole

        return VisibleConsole(stderr=progress, highlight=False)

    # -- results ----------------------------------------------------------------------------------------------------

    def json(self, value: Any) -> None:
        result(_yaml(value) if self.as_yaml else json.dumps(plain(value), indent=2, default=str))

    def json_line(self, value: Any) -> None:
        """One of many, a line each, as it comes."""
        result(f"---\n{_yaml(value)}" if self.as_yaml else json.dumps(plain(value), default=str), flush=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str, title: str = "") -> None:
        """Rows under their heads; ``empty`` says what it means that there are none."""
        cells = [[visible(_text(cell)) for cell in row] for row in rows]
        if self.rich:
            console = self.console()
            console.print()
            console.print(rich_table(columns, cells, title, console.width) if cells else f"[dim]{empty}[/dim]")
            return
        if title:
            self.line(f"{title}:")
        if not cells:
            self.line(empty)
            return
        widths = [max(len(row[at]) for row in [list(columns), *cells]) for at in range(len(columns))]
        for row in [[column.upper() for column in columns], *cells]:
            self.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def show(self, value: Any, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
        """The same facts in the form that was asked for."""
        if self.as_json:
            self.json(value)
        else:
            self.table(columns, rows, empty=empty)

    def say(self, value: Any, words: str) -> None:
        """One result in words, or as JSON."""
        if self.as_json:
            self.json(value)
        else:
            self.line(words)

    def line(self, words: str, *, flush: bool = False) -> None:
        """Words of ours, in which others' may stand; between words to a terminal's width."""
        result(folded(visible(words), sys.stdout), flush=flush)

    def text(self, words: str) -> None:
        """A text whose lines mean something as they are."""
        result(visible(words))

    def output(self, line: str, *, flush: bool = False, before: str = "") -> None:
        """A line of what a task printed: as it is for a program or a file; a terminal is told nothing by it.
        ``before``: words of ours, which may have a colour."""
        result(before + (visible(COLOUR.sub("", line)) if sys.stdout.isatty() else line), flush=flush)

    # -- beside the results -----------------------------------------------------------------------------------------

    def note(self, words: str) -> None:
        aside(words)

    def problem(self, problem: Problem) -> None:
        """An error in the words of the API: what was wrong, where, and what would be right."""
        if self.as_json:
            shown = {key: getattr(problem, key) for key in ("code", "message", "where", "expected", "details")}
            said = {"error": {key: value for key, value in shown.items() if value}}
            print(_yaml(said) if self.as_yaml else json.dumps(said, default=str), file=sys.stderr)
            return
        problem = replace(problem, message=_shortened(problem.message), where=_shortened(problem.where))
        lines = [problem.message]
        if problem.where:
            lines.append(f"  where:    {problem.where}")
        if problem.expected:
            lines.append(f"  expected: {problem.expected}")
        if sys.stderr.isatty():
            from rich.text import Text

            first, *more = folded("error: " + "\n".join(map(visible, lines)), sys.stderr).split("\n")
            head = Text.assemble(("error: ", "bold red"), (first.removeprefix("error: "), "bold"))
            self.console(progress=True).print(Text("\n").join([head, *map(Text, more)]))
        else:
            aside("error: " + "\n".join(lines))

    def progress(self) -> "Progress":
        return Progress(self)


class Progress:
    """What goes on, while it goes on: a live picture on a terminal, else one plain line for each change.

    ``show`` is given both; it is cheap to call often. Used as a context manager.
    """

    def __init__(self, out: Output) -> None:
        self._live: Any = None
        self._out = out
        self._said: set[str] = set()

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty() and not self._out.as_json:
            from rich.live import Live

            self._live = Live(console=self._out.console(progress=True), refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            with contextlib.suppress(OSError):  # its terminal is gone; what goes on does not end with it
                self._live.stop()

    @property
    def live(self) -> bool:
        return self._live is not None

    def show(self, picture: Callable[[], "RenderableType"], lines: Iterable[str]) -> None:
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.update(picture())
        elif not self._out.as_json:
            for line in lines:
                self.line(line)

    def line(self, words: str) -> None:
        """A line that stays; the same one is said once, however many seconds it has been so."""
        said = SECONDS.sub("", words)
        if said in self._said:
            return
        self._said.add(said)
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.console.print(words, markup=False)
        elif not self._out.as_json:
            aside(words)


# -- words ----------------------------------------------------------------------------------------------------------


def short(value: Any) -> str:
    """A value in a cell or a line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def plain(value: Any) -> Any:
    """What JSON can hold of it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def _yaml(value: Any) -> str:
    import yaml

    # By way of JSON: what is no plain value is the same word in both.
    found = json.loads(json.dumps(plain(value), default=str))
    return (
        str(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=1000)).rstrip("\n").removesuffix("\n...")
    )


def rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "", width: int = 80) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = [list(row) for row in rows]
    widths = fitted(columns, cells, width)
    shown = [at for at, wide in enumerate(widths) if wide]
    told = (at for at, wide in enumerate(widths) if not wide and any(row[at] for row in cells))
    left_out = ", ".join(columns[at] for at in told)
    table = Table(
        box=box.SIMPLE_HEAD, header_style="bold dim", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0),
        title=title or None, title_justify="left", caption_justify="left",
        caption=f"no room for: {left_out}" if left_out else None,
    )  # fmt: skip
    for at in shown:
        table.add_column(columns[at], overflow="fold", width=widths[at])
    for row in cells:
        table.add_row(*(Text(row[at], style_of(row[at]) if columns[at] == "state" else "") for at in shown))
    return table


def fitted(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """How wide each column is, 0 for one that is left out: words stay whole, and what is spared most easily goes first
    when there is no room for that."""
    texts = [[columns[at], *(row[at] for row in rows)] for at in range(len(columns))]
    widths = [max(map(len, column)) for column in texts]
    least = [min(WORD_MAX, max(len(word) for text in column for word in text.split() or [""])) for column in texts]

    def excess(of: list[int]) -> int:
        return sum(of) + GAP * (sum(map(bool, of)) - 1) - width

    for at, column in enumerate(texts):
        if excess(least) > 0 and not any(column[1:]):
            least[at] = widths[at] = 0  # Nobody misses what is empty.
    for spared in SPARED:
        if excess(least) > 0 and spared in columns:
            least[columns.index(spared)] = widths[columns.index(spared)] = 0
    while (over := excess(widths)) > 0:
        at = max(range(len(widths)), key=lambda at: (widths[at] > least[at], widths[at]))
        if widths[at] <= least[at]:
            break
        others = [wide for one, wide in enumerate(widths) if one != at and wide > least[one]]
        widths[at] = max(least[at], min(max(others, default=0), widths[at] - 1), widths[at] - over)
    return widths


def style_of(state: str) -> str:
    if state in GOOD:
        return STYLES[True]
    if state in BAD:
        return STYLES[False]
    return STYLES[None] if state else ""


def ago(at: float, now: float | None = None) -> str:
    """``12s``, ``4m``, ``3h``, ``2d``; empty for a time that never was."""
    return duration((time.time() if now is None else now) - at) if at else ""


def duration(seconds: float) -> str:
    seconds = max(0, int(seconds))
    if seconds < MINUTE_S:
        return f"{seconds}s"
    if seconds < HOUR_S:
        return f"{seconds // MINUTE_S}m {seconds % MINUTE_S:02}s"
    if seconds < DAY_S:
        return f"{seconds // HOUR_S}h {seconds % HOUR_S // MINUTE_S:02}m"
    return f"{seconds // DAY_S}d {seconds % DAY_S // HOUR_S}h"


def mib(value: float) -> str:
    return f"{value:.0f} MiB" if value < 10_240 else f"{value / 1024:.1f} GiB"


def nearest(word: str, known: Iterable[str]) -> str:
    """The one or two that were probably meant, else all that are known: for an error's ``expected``. Where those are
    too many to be named, the nearest come first."""
    from difflib import get_close_matches

    names = sorted(set(known))
    near = get_close_matches(word, names, n=2)
    if not near and len(names) > LISTED_MAX:
        names = get_close_matches(word, names, n=len(names), cutoff=0.0)
    return choice(near or names, "nothing is known here yet")


def _shortened(words: str) -> str:
    return LONG_WORD.sub(lambda found: f"{found[0][:SHOWN_OF_IT]}... ({len(found[0])} characters)", words)


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    return f"{cell:g}" if isinstance(cell, float) else str(cell)
