"""Draws the live page as an SVG, for the README: `python scripts/picture.py docs/page.svg [flight]`.

The browser lays the page out; every box with a colour or a border becomes a rectangle, every line of text a text, and
a canvas the dots that are drawn on it at a coarse grid. So the picture is text, and the page's own.
"""

import sys
import time
from html import escape
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from playwright.sync_api import sync_playwright

from browser import ARGUMENTS, chromium
from upcall.cli.here import Here
from upcall.cli.system import login_url

SIZE: Final = {"width": 1280, "height": 800}
COLLECT: Final = """() => {
  const out = [];
  const seen = s => s.visibility !== 'hidden' && s.display !== 'none' && +s.opacity > 0.05;
  const clear = c => c === 'rgba(0, 0, 0, 0)' || c === 'transparent';
  const within = (r, clip) => r.bottom > clip.top && r.top + r.height / 2 < clip.bottom && r.left < clip.right;
  const box = (s, r, clip) => {
    const border = parseFloat(s.borderTopWidth) > 0 && !clear(s.borderTopColor) && s.borderTopStyle !== 'none';
    if (clear(s.backgroundColor) && !border) return;
    const bottom = Math.min(r.bottom, clip.bottom);
    out.push({k: 'box', x: r.left, y: r.top, w: r.width, h: bottom - r.top,
      fill: clear(s.backgroundColor) ? 'none' : s.backgroundColor, stroke: border ? s.borderTopColor : 'none',
      r: Math.min(parseFloat(s.borderTopLeftRadius) || 0, r.height / 2)});
  };
  const text = (node, s, clip) => {
    const lines = [];
    for (const word of node.textContent.matchAll(/\\S+/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const r = range.getBoundingClientRect();
      if (!r.width || !within(r, clip)) continue;
      const last = lines[lines.length - 1];
      if (last && Math.abs(last.top - r.top) < 3) last.t += ' ' + word[0];
      else lines.push({top: r.top, x: r.left, y: r.bottom - r.height * 0.24, t: word[0]});
    }
    for (const line of lines)
      out.push({k: 'text', ...line, size: parseFloat(s.fontSize), weight: s.fontWeight, fill: s.color,
        mono: s.fontFamily.includes('mono')});
  };
  const walk = (e, clip) => {
    const s = getComputedStyle(e), r = e.getBoundingClientRect();
    if (!seen(s)) return;
    if (r.width > 0 && r.height > 0 && within(r, clip)) box(s, r, clip);
    if (s.overflowY !== 'visible' && r.height > 0)
      clip = {top: Math.max(clip.top, r.top), bottom: Math.min(clip.bottom, r.bottom),
        right: Math.min(clip.right, r.right)};
    for (const c of e.childNodes)
      if (c.nodeType === 3) text(c, s, clip);
      else if (c instanceof Element) walk(c, clip);
  };
  walk(document.body, {top: 0, bottom: innerHeight, right: innerWidth});
  return {shapes: out, background: getComputedStyle(document.body).backgroundColor};
}"""


def collect(tab: str) -> dict[str, Any]:
    browser = chromium()
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=browser.path, args=list(ARGUMENTS), env={**browser.environment})
        page = started.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.goto(login_url(Here()))
        time.sleep(4)
        if tab:
            page.get_by_text(tab, exact=True).first.click()
            time.sleep(4)
        found: dict[str, Any] = page.evaluate(COLLECT)
        started.close()
    return found


def draw(found: dict[str, Any]) -> str:
    width, height = SIZE["width"], SIZE["height"]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif">',
        f'<rect width="{width}" height="{height}" fill="{found["background"]}"/>',
    ]
    for each in found["shapes"]:
        if each["k"] == "box":
            place = f'x="{each["x"]:.0f}" y="{each["y"]:.0f}" width="{each["w"]:.0f}" height="{each["h"]:.0f}"'
            lines.append(f'<rect {place} rx="{each["r"]:.0f}" fill="{each["fill"]}" stroke="{each["stroke"]}"/>')
        else:
            font = ' font-family="monospace"' if each["mono"] else ""
            lines.append(
                f'<text x="{each["x"]:.0f}" y="{each["y"]:.0f}" font-size="{each["size"]:.0f}" '
                f'font-weight="{each["weight"]}" fill="{each["fill"]}"{font}>{escape(each["t"])}</text>'
            )
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(collect(" ".join(sys.argv[2:]))))
