"""The picture of it: for each event and start, how long each way took, and how many requests failed meanwhile."""

from collections.abc import Mapping
from html import escape
from typing import Final

from benchmarks.availability.events import EVENTS, FROM, WAYS
from benchmarks.cells import Figures

COLOURS: Final = {"blind": "#9a9a9a", "readiness": "#d08c2f", "operator": "#4f81b0", "upcalls": "#2a8a4f"}
WAY_WIDTH, LETTER = 80, 7
TITLE_WIDTH: Final = LETTER * len("rolling restart, one broker down")
LEFT, WIDTH, ROW, GAP, TOP = TITLE_WIDTH + WAY_WIDTH, 420, 15, 16, 34
GROUND: Final = '<rect width="100%" height="100%" fill="#fff"/>'
"""Its words are dark, and the page that shows it may be too."""
STARTS: Final = {"health": "", "down": ", one broker down"}


def draw(figures: Mapping[str, Figures]) -> str:
    """An SVG; cells that are not there are left out."""
    longest_s = max((each.get("duration_s") or 0.0 for each in figures.values()), default=0.0) or 1.0
    parts, y = [_text(LEFT, 18, "seconds until it is over and in sync; requests that failed", "start")], TOP
    for event in EVENTS:
        for start in FROM:
            there = [(way, each) for way in WAYS if "duration_s" in (each := figures.get(f"{event}_{way}_{start}", {}))]
            if not there:
                continue
            title = event.replace("_", " ") + STARTS[start]
            parts.append(_text(TITLE_WIDTH, y + ROW * len(there) / 2 + 4, title, "end"))
            for way, each in there:
                width = WIDTH * each["duration_s"] / longest_s
                failed = each["failed_requests"]
                said = f"{each['duration_s']:g} s" + (f", {failed:,} failed" if failed else ", 0 failed")
                parts.append(_text(LEFT - 6, y + ROW - 4, way, "end"))
                parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.0f}" height="{ROW - 3}" fill="{COLOURS[way]}"/>')
                parts.append(_text(LEFT + width + 5, y + ROW - 4, said, "start", "#b02a2a" if failed else "#333"))
                y += ROW
            y += GAP
    body = "\n".join(parts)
    size = f'width="{LEFT + WIDTH + 150}" height="{y}"'
    style = 'font-family="sans-serif" font-size="11"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{GROUND}\n{body}\n</svg>\n'


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
