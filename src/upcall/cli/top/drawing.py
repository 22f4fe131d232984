"""A board as rows of text, exactly as wide and high as the terminal."""

import time
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.text import Text

from upcall.cli.output import GAP, fitted, style_of
from upcall.cli.printing import visible
from upcall.cli.top.board import COLUMNS, TABS, Board, Row

HELP: Final = "1-4 Tab view  ↑↓ select  Enter open  d drain  u undrain  r look again  q quit"
HELP_DETAIL: Final = "↑↓ PgUp PgDn move  Esc back  q quit"
AROUND: Final = 5
"""Lines that are not the table's: head, tabs, column heads, note, help."""
LEFT_OUT: Final = ("zone", "cpu", "memory", "for", "kind")
"""Columns that a narrow terminal can do without, in this order; the last one is cut to what is left."""
LAST_LEAST: Final = 16
WHAT_IS_MISSING: Final = {
    "nodes": "no nodes have registered yet",
    "members": "no members; `upcall install` makes some",
    "operations": "nothing is under way",
    "events": "nothing has happened since this began",
}


def drawn(board: Board, width: int, height: int, now: float) -> RenderableType:
    body_rows = max(1, height - AROUND)
    body = _detail(board, width, body_rows + 1) if board.detail else _table(board, width, body_rows)
    body += [Text("")] * (body_rows + 1 - len(body))
    lines = [_head(board, width, now), _tabs(board), *body[: body_rows + 1], _note(board, width, now)]
    lines.append(Text(HELP_DETAIL if board.detail else HELP, style="dim"))
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return Group(*lines[-height:])


def _head(board: Board, width: int, now: float) -> Text:
    clock = time.strftime("%H:%M:%S", time.localtime(now))
    left = Text.assemble(("upcall ", "bold"), (board.cluster, "cyan"), f"  {board.counts()}")
    left.truncate(max(0, width - len(clock) - 1), overflow="ellipsis", pad=True)
    return left.append(f" {clock}", style="dim")


def _tabs(board: Board) -> Text:
    found = Text()
    for number, tab in enumerate(TABS, 1):
        found.append(f" {number} {tab} {len(board.rows(tab))} ", style="reverse" if tab == board.tab else "")
        found.append(" ")
    return found


def _table(board: Board, width: int, height: int) -> list[Text]:
    rows, columns = board.rows(), COLUMNS[board.tab]
    if not rows:
        return [Text(WHAT_IS_MISSING[board.tab], style="dim")]
    first = max(0, min(board.place - height // 2, len(rows) - height))
    shown = rows[first : first + height]
    widths = _widths(columns, [row.cells for row in rows], width)
    found = [Text(_line([name.upper() for name in columns], widths), style="bold dim")]
    for at, row in enumerate(shown, first):
        found.append(_row(row, columns, widths, width, chosen=at == board.place))
    return found


def _row(row: Row, columns: tuple[str, ...], widths: list[int], width: int, *, chosen: bool) -> Text:
    line = _line([visible(cell).replace("\n", " ") for cell in row.cells], widths)
    if chosen:
        return Text(set_cell_size(line, width), style="reverse")
    text = Text(line)
    if "state" in columns and row.state:
        at = columns.index("state")
        begin = sum(wide + GAP for wide in widths[:at] if wide)
        text.stylize(style_of(row.state), begin, begin + widths[at])
    return text


def _line(cells: list[str], widths: list[int]) -> str:
    return (" " * GAP).join(set_cell_size(cell, wide) for cell, wide in zip(cells, widths, strict=True) if wide)


def _widths(columns: tuple[str, ...], rows: list[tuple[str, ...]], width: int) -> list[int]:
    widths = [max(cell_len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    left = list(LEFT_OUT)
    while left and sum(widths[:-1]) + GAP * sum(map(bool, widths)) + LAST_LEAST > width:
        name = left.pop(0)
        if name in columns:
            widths[columns.index(name)] = 0
    if sum(widths[:-1]) + GAP * sum(map(bool, widths)) + LAST_LEAST > width:
        widths[:-1] = fitted(columns[:-1], [row[:-1] for row in rows], max(1, width - LAST_LEAST))
    used = sum(wide + GAP for wide in widths[:-1] if wide)
    widths[-1] = max(0, width - used)
    return widths


def _detail(board: Board, width: int, height: int) -> list[Text]:
    detail = board.detail
    assert detail is not None
    title = Text(set_cell_size(f" {detail.title}" + (f", {detail.up} lines up" if detail.up else ""), width), "reverse")
    folded = [part for line in detail.lines for part in _folded(visible(line), width)]
    end = max(0, len(folded) - detail.up)
    begin = max(0, end - (height - 1))
    return [title, *(Text(line) for line in folded[begin : begin + height - 1])]


def _folded(line: str, width: int) -> list[str]:
    """Cut where the terminal ends; a letter may be two cells wide."""
    found, part, wide = [], "", 0
    for letter in line.expandtabs():
        of_it = cell_len(letter)
        if wide + of_it > width and part:
            found.append(part)
            part, wide = "", 0
        part, wide = part + letter, wide + of_it
    return [*found, part]


def _note(board: Board, width: int, now: float) -> Text:
    if board.question is not None:
        return _kept_end(board.question.words, width)
    if board.away_since:
        old = time.strftime("%H:%M:%S", time.localtime(board.looked_at)) if board.looked_at else ""
        words = f"{board.away_words}, since {int(now - board.away_since)} s"
        return Text(words + (f"; shown is {old}" if old else ""), style="bold red")
    chosen = board.selected
    if not board.note and chosen is not None and board.detail is None:
        # The reason of the chosen one has a line of its own: its column is what is left of the others.
        return Text(visible(chosen.cells[-1]).replace("\n", " "), style="dim")
    return Text(visible(board.note), style="red" if board.bad else "green")


def _kept_end(words: str, width: int) -> Text:
    """A question keeps what is asked and how it is answered, and loses its middle."""
    answer = " [y/N]"
    rest = Text(words.removesuffix(answer))
    rest.truncate(width - len(answer), overflow="ellipsis")
    return Text.assemble((rest.plain + answer, "bold yellow"))
