"""Draws the live page as an SVG, for the README: `python scripts/picture.py docs/page.svg [tab]`.

The browser lays the page out. Every box with a colour or a border becomes a rectangle, every line of text a text as
wide as it is there, and a canvas the shapes that were drawn on it (`picture.js` keeps them). So the picture is text,
sharp at any size, and the page's own. What is smaller than can be seen is left out: points on a straight line, and the
gaps between the wings' 20,000 cells, which are drawn as one band for each row.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from playwright.sync_api import sync_playwright

from browser import ARGUMENTS, chromium
from upcall.cli.opening import login_url
from upcall.cli.session import Session

SIZE: Final = {"width": 1400, "height": 860}
HEIGHT_MAX: Final = 1_100
"""A longer page is cut there."""
SETTLE_MS: Final = 6_000
"""So long a page is looked at before it is drawn: figures that are rates need two looks."""
FLAT_PX: Final = 0.25
CELLS_MIN: Final = 1_000
"""So many small rectangles are a grid, drawn row by row."""
SANS: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
Shape = dict[str, Any]
Point = tuple[float, float]


def collect(url: str, tab: str, *, size: dict[str, int] = SIZE, scheme: str = "light") -> dict[str, Any]:
    """What the page at ``url`` shows."""
    browser = chromium()
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=browser.path, args=list(ARGUMENTS), env={**browser.environment})
        page = started.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        page.add_init_script(path=Path(__file__).with_suffix(".js"))
        page.goto(url)
        page.wait_for_selector(".u-node")
        if tab:
            page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(SETTLE_MS)
        long = min(HEIGHT_MAX, page.evaluate("document.documentElement.scrollHeight"))
        whole = {**size, "height": max(size["height"], long)}
        page.set_viewport_size(whole)  # type: ignore[arg-type]
        page.wait_for_timeout(SETTLE_MS / 4)
        found: dict[str, Any] = page.evaluate("window.picture.collect()")
        started.close()
    return {**found, **whole}


class Drawing:
    """Elements of an SVG, and the gradients that they use."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._fades: dict[str, str] = {}

    def draw(self, shape: Shape, left: float = 0.0, top: float = 0.0) -> None:
        """One shape of the page or of a canvas that stands there."""
        if shape["k"] == "image":
            at = (left + shape.get("x", 0), top + shape.get("y", 0))
            cells = [one for one in shape["shapes"] if one["k"] == "cell" and isinstance(one["fill"], str)]
            is_grid = len(cells) >= CELLS_MIN
            for one in shape["shapes"]:
                if not (is_grid and one["k"] == "cell" and isinstance(one["fill"], str)):
                    self.draw(one, *at)
                elif one is cells[0]:
                    self.lines += _bands(cells, *at)
            return
        self.lines.append(getattr(self, f"_{shape['k']}")(shape, left, top))

    def _box(self, one: Shape, _left: float, _top: float) -> str:
        inset = 0.5 if one["stroke"] != "none" else 0
        place = _named(x=one["x"] + inset, y=one["y"] + inset, width=one["w"] - 2 * inset, height=one["h"] - 2 * inset)
        look = f'fill="{one["fill"]}"' + (f' stroke="{one["stroke"]}"' if inset else "")
        rounded = f' rx="{_number(one["r"])}"' if one["r"] >= 1 else ""
        return f"<rect {place}{rounded} {look}{_seen(one['alpha'] * one['opaque'])}/>"

    def _cell(self, one: Shape, left: float, top: float) -> str:
        place = _named(x=one["x"] + left, y=one["y"] + top, width=one["w"], height=one["h"])
        return f'<rect {place} fill="{self._paint(one["fill"])}"{_seen(one["alpha"])}/>'

    def _text(self, one: Shape, left: float, top: float) -> str:
        place = _named(x=one["x"] + left, y=one["y"] + top, textLength=one["w"])
        look = f'font-size="{_number(one["size"])}" fill="{one["fill"]}"'
        weight = f' font-weight="{one["weight"]}"' if int(one["weight"]) != 400 else ""
        font = ' font-family="monospace"' if one.get("mono") else ""
        return f"<text {place} {look}{weight}{font}{_seen(one['alpha'])}>{escape(one['t'], quote=False)}</text>"

    def _icon(self, one: Shape, _left: float, _top: float) -> str:
        place = _named(x=one["x"], y=one["y"], width=one["w"], height=one["h"])
        inner = one["inner"].replace('class="full"', f'fill="{one["stroke"]}" stroke="none"')
        look = f'fill="none" stroke="{one["stroke"]}" stroke-width="{_number(one["width"])}"'
        ends = 'stroke-linecap="round" stroke-linejoin="round"'
        return f'<svg {place} viewBox="{one["view"]}" {look} {ends}{_seen(one["alpha"])}>{inner}</svg>'

    def _path(self, one: Shape, left: float, top: float) -> str:
        look = f'fill="{self._paint(one["fill"])}"' if "fill" in one else self._line(one)
        look += _seen(one["alpha"])
        if isinstance(one["points"], dict):
            circle = one["points"]
            return f"<circle {_named(cx=circle['x'] + left, cy=circle['y'] + top, r=circle['r'])} {look}/>"
        return f'<path d="{_d([(x + left, y + top) for x, y in one["points"]])}" {look}/>'

    def _line(self, one: Shape) -> str:
        return f'fill="none" stroke="{self._paint(one["stroke"])}" stroke-width="{_number(one["width"])}"'

    def _paint(self, paint: Any) -> str:
        """A colour, or a gradient by its name."""
        if isinstance(paint, str):
            return paint
        stops = "".join(
            f'<stop offset="{at}" stop-color="{colour[:7]}" stop-opacity="{int(colour[7:9] or "ff", 16) / 255:.2g}"/>'
            for at, colour in paint["stops"]
        )
        x1, y1, x2, y2 = (1 if one else 0 for one in paint["line"])
        name = f"fade-{len(self._fades)}"
        self._fades[name] = (
            f'<linearGradient id="{name}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}">{stops}</linearGradient>'
        )
        return f"url(#{name})"

    def svg(self, width: int, height: int, background: str) -> str:
        made = f"<defs>{''.join(self._fades.values())}</defs>" if self._fades else ""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="{SANS}">'
        back = f'<rect width="{width}" height="{height}" rx="10" fill="{background}"/>'
        return "\n".join([head, *([made] if made else []), back, *self.lines, "</svg>"]) + "\n"


def _bands(cells: Sequence[Shape], left: float, top: float) -> Iterator[str]:
    """A grid of small cells as one shape a row: cells that stand side by side, in columns of the same height."""
    columns: dict[tuple[str, float], list[Shape]] = defaultdict(list)
    for one in cells:
        columns[(one["fill"], round(one["x"], 2))].append(one)
    rows: dict[tuple[str, int, int], list[Shape]] = defaultdict(list)
    stretch, before = 0, None
    for colour, x in sorted(columns):
        column = sorted(columns[(colour, x)], key=lambda one: float(one["y"]))
        # A wider gap, another colour or another number of cells: another wing.
        if before is not None and (before[0] != colour or x - before[1] > 4 * column[0]["w"]):
            stretch += 1
        before = (colour, x)
        for row, one in enumerate(column):
            rows[(colour, stretch, row)].append(one)
    for (colour, _, _), found in rows.items():
        ends = [*found, {**found[-1], "x": found[-1]["x"] + found[-1]["w"]}]
        upper = [(one["x"] + left, one["y"] + top) for one in ends]
        lower = [(one["x"] + left, one["y"] + one["h"] + top) for one in reversed(ends)]
        yield f'<path d="{_d([*_simple(upper), *_simple(lower)])}Z" fill="{colour}"/>'


def _d(points: Sequence[Point]) -> str:
    """A path through these points, each told from the one before."""
    kept = [(round(x, 1), round(y, 1)) for x, y in _simple(points)]
    if not kept:
        return ""
    steps = (f"{_number(x - a)} {_number(y - b)}" for (a, b), (x, y) in pairwise(kept))
    return f"M{_number(kept[0][0])} {_number(kept[0][1])}l" + " ".join(steps)


def _simple(points: Sequence[Point]) -> list[Point]:
    """Without the points that lie on the line between their neighbours (Douglas and Peucker)."""
    if len(points) < 3:
        return list(points)
    (ax, ay), (bx, by) = points[0], points[-1]
    length = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5

    def distance(point: Point) -> float:
        x, y = point
        if length < FLAT_PX:
            return float(((x - ax) ** 2 + (y - ay) ** 2) ** 0.5)
        return float(abs((bx - ax) * (ay - y) - (ax - x) * (by - ay)) / length)

    far = max(range(1, len(points) - 1), key=lambda at: distance(points[at]))
    if distance(points[far]) <= FLAT_PX:
        return [points[0], points[-1]]
    return [*_simple(points[: far + 1])[:-1], *_simple(points[far:])]


def _named(**numbers: float) -> str:
    return " ".join(f'{name}="{_number(value)}"' for name, value in numbers.items())


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0").replace("-0.", "-.") if abs(value) >= 0.05 else "0"


def _seen(alpha: float) -> str:
    return f' opacity="{alpha:.2g}"' if alpha < 0.995 else ""


def draw(found: dict[str, Any]) -> str:
    drawing = Drawing()
    for shape in found["shapes"]:
        drawing.draw(shape)
    return drawing.svg(found["width"], found["height"], found["background"])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(collect(login_url(Session()), " ".join(sys.argv[2:]))))
