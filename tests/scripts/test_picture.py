"""The README's picture: what the page's shapes become."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import picture

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*shapes: dict[str, Any]) -> ET.Element:
    found = {"shapes": list(shapes), "background": "#ffffff", "width": 100, "height": 50}
    return ET.fromstring(picture.draw(found))


def test_text_is_as_wide_as_on_the_page_and_may_hold_anything() -> None:
    text = {
        "k": "text",
        "t": "a < b & c",
        "x": 1.25,
        "y": 9,
        "w": 40.04,
        "size": 12,
        "weight": "600",
        "fill": "#17202d",
    }
    found = drawn({**text, "alpha": 1, "mono": True}).find(f"{SVG}text")
    assert found is not None
    assert (found.text, found.get("textLength"), found.get("font-family")) == ("a < b & c", "40", "monospace")


def test_a_line_keeps_its_corners_and_loses_what_lies_between() -> None:
    points = [[float(x), 0.0] for x in range(50)] + [[49.0, float(y)] for y in range(50)]
    line = {"k": "path", "points": points, "stroke": "#2459d6", "width": 2, "alpha": 1}
    found = drawn({"k": "image", "x": 10, "y": 5, "shapes": [line]}).find(f"{SVG}path")
    assert found is not None
    assert found.get("d") == "M10 5l49 0 0 49"


def test_a_grid_of_cells_is_a_band_for_each_row_of_each_wing() -> None:
    cells = [
        {"k": "cell", "x": wing * 80 + column * 0.5, "y": row * 4 + column * 0.1, "w": 0.4, "h": 3, "fill": "#a9b9cf"}
        for wing in range(2)
        for column in range(60)
        for row in range(10)
    ]
    base = {"k": "image", "shapes": [{**one, "alpha": 1} for one in cells]}
    paths = drawn({"k": "image", "x": 0, "y": 0, "shapes": [base]}).findall(f"{SVG}path")
    assert len(paths) == 2 * 10
    assert all(len(str(one.get("d"))) < 60 for one in paths), "a band is a few points"


def test_a_fade_is_defined_once_for_what_uses_it() -> None:
    fade = {"line": [0, 0, 0, 40], "stops": [[0, "#d5dde800"], [1, "#d5dde8ff"]]}
    cell = {"k": "cell", "x": 0, "y": 0, "w": 10, "h": 40, "fill": fade, "alpha": 1}
    found = drawn({"k": "image", "x": 0, "y": 0, "shapes": [cell]})
    made = found.find(f"{SVG}defs/{SVG}linearGradient")
    assert made is not None
    assert (made.get("y2"), len(made)) == ("1", 2)
    assert [one.get("fill") for one in found.findall(f"{SVG}rect")][1:] == [f"url(#{made.get('id')})"]
