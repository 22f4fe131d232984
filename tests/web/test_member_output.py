"""What a member writes, in a real browser: followed, found, bounded, and over the end of an incarnation."""

import re
from typing import Any

import pytest

from fake_master import FakeMaster
from served_page import TIMEOUT_MS, Opens

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser
expect = playwright.expect
expect.set_options(timeout=TIMEOUT_MS)


def shown(page: Any, member: str) -> Any:
    page.get_by_role("button", name=f"Output of {member}", exact=True).click()
    box = page.get_by_role("dialog", name=f"Output of {member}")
    expect(box).to_be_visible()
    return box


def test_it_is_followed_searched_and_goes_on_with_the_next_incarnation(open_page: Opens, master: FakeMaster) -> None:
    view = master.add_service("talks", 1, steps_done=1)
    lines = master.logs["talks.m-0"] = ["it \x1b[31mbegins\x1b[0m", "<b>no markup</b>"]
    master.happens("service", "talks", "is installed")
    page = open_page()
    box = shown(page, "talks.m-0")
    items = box.locator("li:not(.u-none)")
    expect(items).to_have_text(["it begins", "<b>no markup</b>"])

    lines.append("an ERROR came")
    expect(items.last).to_have_text("an ERROR came")
    box.get_by_role("searchbox").fill("error")
    expect(items).to_have_text(["an ERROR came"])
    expect(box.get_by_role("status")).to_have_text("1 of 3 lines")
    box.get_by_role("searchbox").fill("")

    master.ends.add("talks.m-0")
    expect(box).to_contain_text("the output of talks.m-0.1 ended")
    master.ends.clear()
    master.logs["talks.m-0"] = ["another life"]
    view.members[0].incarnation = 2
    master.happens("task", "talks.m-0.2", "is launched")
    expect(items.last).to_have_text("another life")

    box.get_by_role("button", name="Close").click()
    expect(box).to_be_hidden()
    box = shown(page, "talks.m-0")
    expect(items).to_have_text(["another life"])


def test_what_comes_too_fast_is_bounded_and_said(open_page: Opens, master: FakeMaster) -> None:
    master.add_service("floods", 1, steps_done=1)
    lines = master.logs["floods.m-0"] = ["first"]
    master.happens("service", "floods", "is installed")
    page = open_page()
    box = shown(page, "floods.m-0")
    expect(box.locator("li", has_text="first")).to_be_visible()
    lines.extend([f"line {number}" for number in range(5000)])
    expect(box.locator("li").last).to_have_text("line 4999")
    expect(box).to_contain_text(re.compile(r"[\d]+ lines came too fast and were left out"))
    assert box.locator("li").count() <= 2001


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_window(open_page: Opens, master: FakeMaster, width: int) -> None:
    name = f"wide-{width}"
    master.add_service(name, 1, steps_done=1)
    master.logs[f"{name}.m-0"] = ["x" * 3000]
    master.happens("service", name, "is installed")
    page = open_page(viewport={"width": width, "height": 800})
    box = shown(page, f"{name}.m-0")
    expect(box.locator("li", has_text="xxx")).to_be_visible()
    place = box.bounding_box()
    assert place is not None
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= width
    assert box.locator("ol").evaluate("it => it.scrollWidth <= it.clientWidth")
