"""The page in a real browser: what a person sees and does, live, with no network but loopback."""

import http.server
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fake_master import FakeMaster
from served_page import TIMEOUT_MS, Opens, Page
from upcall.protocol.operator import DegradedView, ScheduleView

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

expect = playwright.expect
expect.set_options(timeout=TIMEOUT_MS)


def test_nodes_services_and_events_are_there_after_the_login(open_page: Opens, master: FakeMaster) -> None:
    master.add_service("seen", 3, steps_done=2)
    master.happens("service", "seen", "is installed")
    page = open_page()
    expect(page.locator("[data-node]")).to_have_count(3)
    service = page.locator("[data-service=seen]")
    expect(service).to_contain_text("2/3 ready")
    expect(service.locator("[data-plan=deploy]")).to_contain_text("2/3")
    expect(page.locator("[data-node=node-1] [data-member='seen.m-0']")).to_be_visible()
    expect(page.locator(".u-log")).to_contain_text("is installed")
    assert "code=" not in page.url


@pytest.mark.parametrize("width", [1440, 1000, 420])
def test_what_is_wrong_with_a_member_is_not_cut_off_and_says_for_how_long_a_service_is_unwell(
    open_page: Opens, master: FakeMaster, width: int
) -> None:
    service = master.add_service(f"unwell-{width}", 2, steps_done=2)
    service.members[0].state, service.members[0].reason = (
        "held",
        f"the drain of node-1 (op-1; {'disks are exchanged, ' * 4})",
    )
    what, doing = "1 of 3 controllers that vote is away (broker-1)", "none more may be away"
    service.degraded = [DegradedView(key="voters", what=what, doing=doing, since=time.time() - 97)]
    master.happens("task", service.members[0].member, "held")
    page = open_page(viewport={"width": width, "height": 900})
    said = page.locator(f"[data-member='{service.members[0].member}'] .u-what")
    expect(said).to_contain_text("held · the drain of node-1 (op-1")
    assert said.evaluate("it => it.scrollWidth <= it.clientWidth + 1 && it.scrollHeight <= it.clientHeight + 1")
    lasts = re.compile(r"none more may be away\s+· for [1-9]\d*m \d")
    expect(page.locator(f"[data-service='unwell-{width}'] .u-degraded")).to_contain_text(lasts)


def test_a_cookie_that_reached_another_port_opens_nothing(open_page: Opens, web_page: Page) -> None:
    """Whoever listens on another port of the page's address is sent its cookie, and has no use for it."""
    page = open_page()
    with listening() as (thief_url, stolen):
        page.context.new_page().goto(thief_url)
        assert any("upcall_session=" in cookie for cookie in stolen), "else this test shows nothing"
        assert page.evaluate("localStorage.getItem('upcall-key')")
        other = page.context.pages[-1]
        assert other.evaluate("localStorage.getItem('upcall-key')") is None
    asked = urllib.request.Request(web_page.url, headers={"Cookie": stolen[0], "Accept": "text/html"})
    with urllib.request.urlopen(asked) as answer:
        assert b"node-1" not in answer.read()
    page.reload()
    page.wait_for_selector(".u-node")


def test_tabs_of_a_browser_share_the_login_and_one_that_lost_its_key_is_asked_for_a_code(open_page: Opens) -> None:
    page = open_page()
    second = page.context.new_page()
    second.goto(page.url)
    second.wait_for_selector(".u-node")
    assert "ticket" not in second.url
    second.evaluate("localStorage.clear()")
    second.reload()
    expect(second.locator("input[name=code]")).to_be_visible()


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """Another user's listener on the page's address: its own port, and the cookies that it was sent."""
    stolen: list[str] = []

    class Thief(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stolen.append(self.headers.get("Cookie", ""))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<link rel=icon href=data:,>")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Thief)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", stolen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_schedules_and_windows_say_what_is_due_next_last_and_what_failed(open_page: Opens, master: FakeMaster) -> None:
    view = master.add_service("kept", 2, steps_done=2)
    now = time.time()
    known = {"service": "kept", "by": "package", "windows": ["00:00-24:00"]}
    view.options = {"windows": ["00:00-24:00"], "time_zone": "Europe/Berlin"}
    view.schedules = [
        ScheduleView(name="repair", every="7 days", due=now + 90_000, next=now + 90_000, ended=now - 7300, took_s=125,
                     outcome="done", description="Makes all copies the same.", **known),
        ScheduleView(name="try-backup", every="sun 03:00", due=now + 1e6, next=now + 1e6, ended=now - 60, took_s=4,
                     outcome="failed", error="rows are missing", **known),
        ScheduleView(name="rebalance", every="12 hours", running="op-1", began=now - 30, **known),
    ]  # fmt: skip
    master.happens("service", "kept", "is installed")
    page = open_page()
    card = page.locator("[data-service=kept]")
    expect(card.locator(".u-window")).to_contain_text("00:00-24:00")
    expect(card.locator(".u-window")).to_contain_text("open for")
    expect(card.locator("[data-schedule=repair]")).to_contain_text("every 7 days")
    expect(card.locator("[data-schedule=repair]")).to_contain_text("ago: done, took 2m 05s")
    failed = card.locator("[data-schedule=try-backup]")
    expect(failed).to_have_attribute("data-state", "failed")
    expect(failed).to_contain_text("rows are missing")
    expect(failed).to_contain_text("sun 03:00 Europe/Berlin")
    expect(failed.locator(".u-next")).to_have_text(re.compile(r"next .* \d\d:\d\d (CEST|CET|GMT\+[12])$"))
    expect(card.locator("[data-schedule=rebalance]")).to_contain_text("runs for")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    del master.services["kept"]


def test_a_change_appears_by_itself_and_what_stays_is_not_drawn_anew(open_page: Opens, master: FakeMaster) -> None:
    view = master.add_service("alive", 2, steps_done=1)
    master.happens("service", "alive", "is installed")
    page = open_page()
    card = page.locator("[data-service=alive]")
    expect(card).to_contain_text("1/2 ready")
    page.evaluate("document.querySelector('[data-service=alive]').mark = 'the same element'")
    page.evaluate("document.querySelector('[data-node=node-3]').mark = 'the same element'")
    master.step(view, 1)
    master.happens("task", "alive.m-1", "ready at last")
    expect(card).to_contain_text("2/2 ready")
    expect(page.locator(".u-log li").first).to_contain_text("ready at last")
    for selector in ("[data-service=alive]", "[data-node=node-3]"):
        assert page.evaluate(f"document.querySelector('{selector}').mark") == "the same element"


def test_a_drain_is_confirmed_first_and_shows_who_defers(open_page: Opens, master: FakeMaster) -> None:
    master.step_s = 1.0
    page = open_page()
    page.locator("[data-node=node-2] header button", has_text="Drain").click()
    dialog = page.locator("dialog[open]")
    expect(dialog).to_contain_text("Drain node-2?")
    asked_before = sum(path.endswith("/drain") for _, path, _ in master.calls)
    dialog.locator("button", has_text="Leave it").click()
    assert sum(path.endswith("/drain") for _, path, _ in master.calls) == asked_before
    page.locator("[data-node=node-2] header button", has_text="Drain").click()
    dialog.locator("input").first.fill("new disks")
    dialog.locator("button[type=submit]").click()
    expect(page.locator(".u-operations")).to_contain_text("deferred by greeter: somebody is being greeted")
    expect(page.locator(".u-toasts")).to_contain_text("drain of node-2")
    expect(page.locator("[data-node=node-2]")).to_contain_text("draining")
    body = next(body for _, path, body in master.calls if path == "/v1/nodes/node-2/drain")
    assert body == {"reason": "new disks", "window_s": 600.0, "on_deadline": "hold"}
    page.locator("[data-node=node-2] header button", has_text="Undrain").click()
    dialog.locator("button[type=submit]").click()
    expect(page.locator("[data-node=node-2] .u-state").first).to_have_text("up")
    master.step_s = 0.05


def test_an_operation_is_forced_with_a_reason_and_a_member_restarted(open_page: Opens, master: FakeMaster) -> None:
    master.add_service("acted", 1, steps_done=1)
    view = master.operation("stop", "acted.m-0", waits_for="deferred by acted: not now")
    page = open_page()
    row = page.locator(f"[data-operation={view.id}]")
    row.locator("button", has_text="Force").click()
    dialog = page.locator("dialog[open]")
    dialog.locator("button[type=submit]").click()
    expect(dialog).to_be_visible()  # a reason is required
    dialog.locator("input").fill("the disk burns")
    dialog.locator("button[type=submit]").click()
    expect(row).to_have_attribute("data-state", "done")
    member = page.locator("[data-member='acted.m-0']")
    member.hover()
    member.get_by_role("button", name="Restart").click()
    dialog.locator("button[type=submit]").click()
    expect(page.locator(".u-toasts")).to_contain_text("restart of acted.m-0")
    assert any(path == "/v1/tasks/acted.m-0/restart" for _, path, _ in master.calls)


def test_an_error_of_the_api_is_shown_in_its_own_words(open_page: Opens, master: FakeMaster) -> None:
    page = open_page()
    page.locator("[data-node=node-3] header button", has_text="Drain").click()
    node = master.nodes.pop("node-3")
    page.locator("dialog[open] button[type=submit]").click()
    expect(page.locator(".u-toasts .bad")).to_contain_text("no node 'node-3'")
    master.nodes["node-3"] = node


def test_light_and_dark_follow_the_system_until_somebody_chooses(open_page: Opens) -> None:
    page = open_page(color_scheme="dark")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(root).to_have_attribute("data-theme", "light")
    toggle = page.locator("button[aria-label^=Theme]")
    toggle.click()
    toggle.click()
    expect(root).to_have_attribute("data-theme", "dark")
    page.reload()
    page.wait_for_selector(".u-node")
    expect(root).to_have_attribute("data-theme", "dark")


def test_a_narrow_screen_needs_no_sideways_scrolling(open_page: Opens, master: FakeMaster) -> None:
    master.operation("stop", "a-service-with-a-long-name.member-12", waits_for="deferred by it: " + "long-reason " * 20)
    page = open_page(viewport={"width": 360, "height": 740})
    page.wait_for_selector(".u-op")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("width", [1280, 390])
def test_what_an_operation_is_of_and_waits_for_is_read_whole(open_page: Opens, master: FakeMaster, width: int) -> None:
    target = f"a-service-with-a-long-name-{width}.broker-12"
    leaves = master.operation(
        "scale_in", target, waits_for=f"{target}: its service prepares the end", next_look_at=time.time() + 3590
    )
    leaves.next_look_is = "it ends at the latest in"
    service = master.add_service(f"steps-{width}", 3, steps_done=0)
    service.plans[0]["phases"][0]["steps"][0] = {
        "name": f"restart {target}", "state": "running", "reason": "replicas are being brought in sync", "since": 1.0,
    }  # fmt: skip
    master.happens("operation", leaves.id, "begins")
    page = open_page(viewport={"width": width, "height": 844})
    row = page.locator(f"[data-operation={leaves.id}]")
    expect(row).to_contain_text(re.compile(r"it ends at the latest in 59m \d\ds"))
    expect(row).not_to_contain_text("looked at again")
    step = page.locator(f"[data-service=steps-{width}] .u-steps li", has_text=target)
    for said in (
        row.locator(".u-target"),
        row.locator(".u-waits"),
        step.locator("span").first,
        step.locator(".u-soft"),
    ):
        expect(said).to_be_visible()
        assert said.evaluate("it => it.scrollWidth <= it.clientWidth + 1 || getComputedStyle(it).display === 'inline'")
        assert said.evaluate("it => it.getBoundingClientRect().right <= innerWidth")
        assert said.evaluate("it => getComputedStyle(it).textOverflow") != "ellipsis"
    master.end(leaves)
    del master.services[service.name]


def test_the_event_log_is_bounded_and_who_reads_back_is_not_pushed_away(open_page: Opens, master: FakeMaster) -> None:
    page = open_page()
    for number in range(450):
        master.happens("task", "flood", f"number {number}")
    expect(page.locator(".u-log li").first).to_contain_text("number 449")
    assert page.locator(".u-log li").count() <= 400
    page.locator(".u-log").evaluate("list => { list.scrollTop = 500; }")
    page.wait_for_function("document.querySelector('.u-log').scrollTop > 100")
    page.wait_for_timeout(300)  # the browser tells of the scrolling with its next frame
    master.happens("task", "flood", "while somebody reads")
    page.wait_for_timeout(1000)
    expect(page.locator(".u-log li").first).to_contain_text("number 449")
    page.locator(".u-log").evaluate("list => { list.scrollTop = 0; }")
    expect(page.locator(".u-log li").first).to_contain_text("while somebody reads")


def test_all_browsers_share_one_event_stream(open_page: Opens, master: FakeMaster) -> None:
    pages = [open_page() for _ in range(3)]
    streams = master.streams
    master.happens("node", "node-1", "everybody hears this")
    for page in pages:
        expect(page.locator(".u-log")).to_contain_text("everybody hears this")
    assert master.streams == streams


def test_a_tab_of_a_plug_in_comes_and_goes_with_its_service(open_page: Opens, master: FakeMaster) -> None:
    page = open_page()
    tabs = page.locator("[role=tab]")
    expect(tabs).to_have_count(1)
    master.add_service("greetings", 1, package="tabbed")
    master.happens("service", "greetings", "is installed")
    expect(tabs).to_have_count(2)
    tabs.nth(1).click()
    expect(page.locator(".greetings")).to_have_text("greetings from upcall-test")
    expect(page.locator(".u-nodes")).to_be_hidden()
    del master.services["greetings"]
    master.happens("service", "greetings", "is gone")
    expect(tabs).to_have_count(1)
    expect(page.locator(".u-nodes")).to_be_visible()


def test_a_master_that_is_away_is_said_and_comes_back(open_page: Opens, master: FakeMaster) -> None:
    page = open_page()
    expect(page.locator(".u-live")).to_have_text("live")
    master.not_now = 4
    master.happens("node", "node-1", "makes the picture old")
    expect(page.locator(".u-live")).to_have_text("reconnecting")
    expect(page.locator(".u-live")).to_have_text("live")
    expect(page.locator("[data-node]")).to_have_count(3)
