"""The flight's tab in a real browser, served by the real page process over a store with a flight in it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from practice import practice_rows
from stored_flight import Stored, started

from fake_master import FakeMaster
from served_page import TIMEOUT_MS, Opens, Page, serving, visitors
from upcall.fastdata import sensors
from upcall.fastdata.flights import load_flight

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

expect = playwright.expect
expect.set_options(timeout=TIMEOUT_MS)

AGO_S = 600
COLOURS = {
    "light": {"step": "#d4572e", "spike": "#c2189b", "stuck": "#4a4f5c", "noise": "#b87503", "drift": "#1f63e0"},
    "dark": {"step": "#ff8a5c", "spike": "#ff6ad5", "stuck": "#e6e9f0", "noise": "#f0bd4f", "drift": "#79a8ff"},
}
CELL = {"light": "#a9b9cf", "dark": "#3d4d64"}
PLACE_OF = """([canvas, x, y]) => {
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const scale = Math.min((width - 24) / 81000, (height - 16) / 33000);
  return [width / 2 + y * scale, (height - 33000 * scale) / 2 + x * scale];
}"""
NEAR = """([canvas, x, y, reach, colour]) => {
  const ratio = canvas.width / canvas.clientWidth, size = Math.max(1, Math.round(reach * ratio));
  const data = canvas.getContext('2d').getImageData(Math.round(x * ratio - size / 2), Math.round(y * ratio - size / 2),
    size, size).data;
  const wanted = [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16));
  let found = 0; // a mark smaller than a pixel is drawn through, so not only what is opaque counts
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] > 90 && wanted.every((value, at) => Math.abs(value - data[i + at]) < 10)) found++;
  return found;
}"""


@dataclass
class Flown:
    """A page over a store, and what the store holds."""

    page: Page
    state: Path
    stored: Stored

    def hold(self, **changes: Any) -> Stored:
        self.stored = replace(self.stored, **changes)
        self.stored.write(self.state)
        return self.stored


@pytest.fixture(scope="module")
def served(master: FakeMaster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Path, Path]]:
    folder = tmp_path_factory.mktemp("flight")
    recording, state = folder / "recording.json", folder / "store.json"
    recording.write_text(json.dumps(practice_rows(2_400)))
    Stored().write(state)
    master.add_service("cassandra", 3, package="cassandra", endpoint="reader", steps_done=3)
    master.add_service("aircraft", 1, package="aircraft", steps_done=1)
    job = master.add_service("windows", 1, package="windows", steps_done=1)
    job.bindings = {"cassandra": "cassandra"}
    program = [str(Path(__file__).parent / "stored_flight.py"), str(state), str(recording)]
    with serving(folder, master, program, PYTHONPATH=str(Path(__file__).parents[1])) as page:
        yield page, state, recording


@pytest.fixture
def flown(served: tuple[Page, Path, Path]) -> Flown:
    """A run that began ten minutes ago, none of whose faults is found yet."""
    page, state, recording = served
    made = Flown(page, state, Stored(run=started(load_flight(recording), AGO_S), from_s=AGO_S - 90))
    made.hold()
    return made


@pytest.fixture
def open_tab(browser: Any, flown: Flown) -> Iterator[Opens]:
    with visitors(browser, flown.page) as opened:

        def tab(**options: Any) -> Any:
            page = opened(**{"viewport": {"width": 1400, "height": 1000}, **options})
            page.get_by_role("tab", name="Flight").click()
            return page

        yield tab


def place(page, sensor: int) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Where the wings' picture has a sensor, from its left upper corner."""
    canvas = page.locator(".f-wings canvas").element_handle()
    x, y = page.evaluate(
        PLACE_OF, [canvas, int(sensors.TABLE.x_mm[sensor]) // 4 * 4, int(sensors.TABLE.y_mm[sensor]) // 4 * 4]
    )
    return x, y


def painted(page, canvas: str, at: tuple[float, float], reach: float, colour: str) -> int:  # type: ignore[no-untyped-def]
    """How many pixels of a square around a point have this colour."""
    found: int = page.evaluate(NEAR, [page.locator(canvas).element_handle(), *at, reach, colour])
    return found


def until_painted(page, canvas: str, at: tuple[float, float], reach: float, colour: str) -> None:  # type: ignore[no-untyped-def]
    for _ in range(TIMEOUT_MS // 200):
        if painted(page, canvas, at, reach, colour):
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"nothing is {colour} around {at} of {canvas}")


def theme_colour(page, name: str) -> str:  # type: ignore[no-untyped-def]
    found: str = page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()")
    return found


def test_before_the_first_flight_the_tab_says_what_it_waits_for(open_tab: Opens, flown: Flown) -> None:
    flown.hold(run=None)
    page = open_tab()
    expect(page.locator(".u-flight .u-reason")).to_have_text("The store has no flight yet.")
    flown.hold(run=started(load_flight(flown.state.parent / "recording.json"), 5), from_s=0)
    expect(page.locator(".f-head h2")).to_have_text("TEST1")
    expect(page.locator(".u-flight .u-reason")).to_have_count(0)


def test_it_says_what_is_recorded_and_what_is_modelled(open_tab: Opens) -> None:
    page = open_tab()
    expect(page.locator(".f-title")).to_contain_text("recorded flight, modelled sensors")
    expect(page.locator(".f-note")).to_contain_text("The sensors are modelled from it, and so are their faults")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_wings_are_there_and_an_ill_sensor_is_painted_by_its_fault_as_it_is_found(
    open_tab: Opens, flown: Flown, scheme: str
) -> None:
    page = open_tab(color_scheme=scheme)
    expect(page.locator(".f-wings")).to_contain_text("20,000 sensors")
    for sensor in (4_025, 14_025):  # one on each wing, and well
        until_painted(page, ".f-wings canvas", place(page, sensor), 14, CELL[scheme])
    ill = next(one for one in flown.hold(found=15).episodes() if one.is_open and one.kind != "spike")
    flown.hold(found=0)
    at = place(page, ill.sensor)
    expect(page.locator(".f-found li[data-kind]")).to_have_count(0)
    assert not painted(page, ".f-wings canvas", at, 4, COLOURS[scheme][ill.kind.value])
    flown.hold(found=15)
    until_painted(page, ".f-wings canvas", at, 4, COLOURS[scheme][ill.kind.value])
    expect(page.locator(f".f-found li[data-sensor='{ill.sensor}']")).to_be_visible()
    wings = {one.sensor // sensors.SENSORS_PER_WING for one in flown.stored.episodes() if one.is_open}
    assert wings == {0, 1}, "faults on both wings"
    for one in flown.stored.episodes():
        if one.is_open:
            until_painted(page, ".f-wings canvas", place(page, one.sensor), 4, COLOURS[scheme][one.kind.value])


def test_anomalies_appear_one_after_the_other_newest_first_with_their_label(open_tab: Opens, flown: Flown) -> None:
    flown.hold(found=2)
    page = open_tab()
    rows = page.locator(".f-found li[data-kind]")
    expect(rows).to_have_count(2)
    expect(page.locator("[data-sum=found]")).to_have_text("2")
    newest = max(flown.hold(found=3).episodes(), key=lambda one: one.begin)
    expect(rows).to_have_count(3)
    expect(rows.first).to_have_attribute("data-sensor", str(newest.sensor))
    expect(rows.first).to_contain_text(sensors.name(newest.sensor))
    expect(rows.first).to_contain_text("labelled")
    expect(page.locator("[data-sum=found]")).to_have_text("3")
    expect(page.locator(".f-sums")).to_contain_text("3 match a labelled fault")


def test_altitude_is_a_line_that_is_marked_as_far_as_flown(open_tab: Opens, flown: Flown) -> None:
    page = open_tab()
    expect(page.locator(".f-altitude h3")).to_contain_text(re.compile(r"[\d,]+ ft, \d+ kt, heading \d+°"))
    canvas, mark, ahead = ".f-altitude canvas", theme_colour(page, "--mark"), theme_colour(page, "--held")
    box = page.locator(canvas).bounding_box()
    flight = load_flight(flown.state.parent / "recording.json")

    def at(second: int) -> tuple[float, float]:
        high = box["height"] - 20 - (box["height"] - 30) * flight.altitude_ft[second] / max(flight.altitude_ft)
        return 52 + (box["width"] - 60) * second / flight.seconds, float(high)

    # A quarter of the recording is flown: the line is marked that far, and the rest is still to come.
    until_painted(page, canvas, at(AGO_S // 2), 8, mark)
    until_painted(page, canvas, at(AGO_S * 2), 8, ahead)
    assert not painted(page, canvas, at(AGO_S * 2), 8, mark)
    expect(page.locator(".f-track h3")).to_contain_text(re.compile(r"5\d\.\d{3}° N, 8\.\d{3}° E"))


def test_throughput_and_lag_are_those_of_the_store(open_tab: Opens, flown: Flown) -> None:
    page = open_tab()
    expect(page.locator("[data-sum=readings]")).to_have_text(re.compile(r"^[123]\.\d\d M$"))
    expect(page.locator("[data-sum=lag]")).to_have_text(re.compile(r"^[1-4]\.\d s$"))
    flown.hold(behind_s=40)
    expect(page.locator("[data-sum=lag]")).to_have_text(re.compile(r"^4[0-4]\.\d s$"))
    expect(page.locator("[data-sum=lag]")).to_have_class(re.compile("t-wait"))


def test_a_click_on_a_sensor_or_an_anomaly_shows_its_last_minutes(open_tab: Opens, flown: Flown) -> None:
    flown.hold(found=4)
    page = open_tab()
    heading = page.locator(".f-series h3")
    rows = page.locator(".f-found li[data-kind]")
    expect(rows).to_have_count(4)
    rows.nth(2).click()
    expect(heading).to_contain_text(sensors.name(int(rows.nth(2).get_attribute("data-sensor"))))
    expect(rows.nth(2)).to_have_class(re.compile("on"))
    canvas = page.locator(".f-series canvas")
    size = canvas.bounding_box()
    centre = (size["width"] / 2, size["height"] / 2)
    until_painted(page, ".f-series canvas", centre, size["height"], theme_colour(page, "--mark"))
    well = 14_025
    x, y = place(page, well)
    page.locator(".f-wings canvas").click(position={"x": x, "y": y})
    shown = re.compile(r"^R04-\w{3}-\d\d-\d\d")  # at this size a neighbour may lie under the same pixel
    expect(heading).to_have_text(shown)
    page.locator(".f-wings canvas").hover(position={"x": x, "y": y})
    expect(page.locator(".f-tip")).to_be_visible()


def test_a_store_that_is_away_is_said_and_the_flight_comes_back(open_tab: Opens, flown: Flown) -> None:
    page = open_tab()
    expect(page.locator(".f-head h2")).to_have_text("TEST1")
    flown.hold(answers=False)
    expect(page.locator(".u-flight .u-reason")).to_be_visible()
    flown.hold(answers=True)
    expect(page.locator(".u-flight .u-reason")).to_have_count(0)


def test_a_narrow_screen_shows_all_of_it_without_sideways_scrolling(open_tab: Opens, flown: Flown) -> None:
    flown.hold(found=12)
    page = open_tab(viewport={"width": 420, "height": 900})
    expect(page.locator(".f-found li[data-kind]")).to_have_count(12)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    for card in ("wings", "found", "series", "altitude", "track"):
        box = page.locator(f".f-{card}").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 420
        assert box["height"] > 80
