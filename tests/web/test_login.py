"""Who gets in: asked of the real page process, over plain HTTP."""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

import pytest

from served_page import Page

pytestmark = pytest.mark.root

Answer = tuple[int, dict[str, str], str]


def ask(page: Page, method: str, path: str, body: str = "", **headers: str) -> Answer:
    parts = urlsplit(page.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=180)
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    connection.putrequest(method, path, skip_host="Host" in sent)
    for key, value in sent.items():
        connection.putheader(key, value)
    data = body.encode()
    connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data)
    response = connection.getresponse()
    text = response.read().decode("utf-8", "replace")
    connection.close()
    return response.status, {key.lower(): value for key, value in response.getheaders()}, text


def log_in(page: Page) -> Answer:
    code = page.login_url().partition("code=")[2]
    return ask(page, "POST", "/login", urlencode({"code": code}))


def test_without_a_session_a_browser_is_sent_to_the_login(web_page: Page) -> None:
    status, headers, _ = ask(web_page, "GET", "/", Accept="text/html")
    assert (status, headers["location"]) == (303, "/login")
    assert ask(web_page, "GET", "/")[0] == 401
    assert ask(web_page, "GET", "/_nicegui_ws/socket.io/?EIO=4&transport=polling")[0] == 401


def test_the_cookie_is_for_this_site_and_no_script(web_page: Page) -> None:
    status, headers, _ = log_in(web_page)
    assert status == 200
    cookie = SimpleCookie(headers["set-cookie"])["upcall_session"]
    assert cookie["httponly"]
    assert cookie["samesite"].lower() == "strict"
    assert ask(web_page, "GET", "/", Cookie="upcall_session=made-up")[0] == 401


class Session:
    """A browser's two halves of a session, as its scripts and its cookie jar have them."""

    def __init__(self, page: Page) -> None:
        self.page = page
        _, headers, text = log_in(page)
        self.cookie = f"upcall_session={SimpleCookie(headers['set-cookie'])['upcall_session'].value}"
        found = re.search(r"setItem\('upcall-key', '([^']+)'\)", text)
        assert found is not None
        self.key = found[1]

    def enter(self) -> str:
        status, _, text = ask(self.page, "POST", "/enter", Cookie=self.cookie, Upcall_Key=self.key)
        assert status == 200
        return str(json.loads(text)["ticket"])

    def shown(self) -> str:
        """The page, as a browser gets it."""
        status, _, text = ask(self.page, "GET", f"/?ticket={self.enter()}", Cookie=self.cookie)
        assert status == 200
        return text


def page_id(text: str) -> str:
    found = re.search(r"""['"]client_id['"]: ?['"]([^'"]+)""", text)
    assert found is not None
    return found[1]


def socket_status(page: Page, cookie: str, name: str) -> int:
    """What the page's socket answers to somebody who asks for the page of this name."""
    path = f"/_nicegui_ws/socket.io/?EIO=4&transport=websocket&client_id={name}"
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    return ask(page, "GET", path, Cookie=cookie, Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==", **upgrade)[0]


def test_a_cookie_alone_shows_nothing_and_opens_no_socket(web_page: Page) -> None:
    mine = Session(web_page)
    shown = mine.shown()
    assert "node-1" in shown
    status, _, text = ask(web_page, "GET", "/", Cookie=mine.cookie)
    assert status == 200  # the script that looks for the key
    assert "node-1" not in text
    assert mine.key not in text
    assert ask(web_page, "POST", "/enter", Cookie=mine.cookie)[0] == 401
    assert ask(web_page, "POST", "/enter", Cookie=mine.cookie, Upcall_Key="made-up")[0] == 401
    assert "node-1" not in ask(web_page, "GET", "/?ticket=made-up", Cookie=mine.cookie)[2]
    assert socket_status(web_page, mine.cookie, "made-up") == 403
    assert ask(web_page, "GET", "/_nicegui_ws/socket.io/?EIO=4&transport=polling", Cookie=mine.cookie)[0] == 401
    assert ask(web_page, "GET", "/anything", Cookie=mine.cookie)[0] == 404
    assert socket_status(web_page, mine.cookie, page_id(shown)) == 101


def test_a_key_without_its_cookie_is_worth_nothing_either(web_page: Page) -> None:
    mine, other = Session(web_page), Session(web_page)
    assert ask(web_page, "POST", "/enter", Upcall_Key=mine.key)[0] == 401
    assert ask(web_page, "POST", "/enter", Cookie=other.cookie, Upcall_Key=mine.key)[0] == 401
    assert socket_status(web_page, other.cookie, page_id(mine.shown())) == 403


def test_a_ticket_is_good_once(web_page: Page) -> None:
    mine = Session(web_page)
    ticket = mine.enter()
    assert "node-1" in ask(web_page, "GET", f"/?ticket={ticket}", Cookie=mine.cookie)[2]
    assert "node-1" not in ask(web_page, "GET", f"/?ticket={ticket}", Cookie=mine.cookie)[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_user_of_the_machine_gets_in_by_nothing_that_he_holds(web_page: Page) -> None:
    mine = Session(web_page)
    mine.enter()
    code = web_page.login_url().partition("code=")[2]
    said = subprocess.run(
        [PYTHON, "-c", STRANGER, web_page.url, mine.cookie, mine.key, code],
        capture_output=True, text=True, check=True, user=54_321, group=54_321, extra_groups=[], cwd="/",
    ).stdout.split()  # fmt: skip
    assert said == ["401", "401"]
    assert web_page.master.logins[-1] == {"code": code, "user": 54_321}
    assert mine.enter()  # whose it is goes on


PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
"""That another user can reach."""
STRANGER = """
import sys, urllib.error, urllib.request
url, cookie, key, code = sys.argv[1:]
def ask(path, data, **headers):
    try:
        return urllib.request.urlopen(urllib.request.Request(url + path, data, headers)).status
    except urllib.error.HTTPError as error:
        return error.code
print(ask("/enter", b"", **{"Cookie": cookie, "Upcall-Key": key}))
print(ask("/login", b"code=" + code.encode()))
"""


@pytest.mark.parametrize(
    "host", ["[::1", "[", "::1", "a b", "", "127.0.0.1:x", "127.0.0.1@evil", "evil.example", "[::1]"]
)
def test_a_host_that_is_none_of_ours_is_refused_in_words(web_page: Page, host: str) -> None:
    status, _, text = ask(web_page, "GET", "/", Host=host)
    assert status in (400, 403)
    assert text


@pytest.mark.parametrize(
    "path", ["/", "/enter", "/login", "/_nicegui_ws/socket.io/?EIO=4&transport=polling&client_id={}"]
)
def test_a_chunked_body_ends_in_a_clear_refusal(web_page: Page, path: str) -> None:
    mine = Session(web_page)
    parts = urlsplit(web_page.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=180)
    headers = {"Cookie": mine.cookie, "Upcall-Key": "x"}
    connection.request("POST", path.format(page_id(mine.shown())), iter([b"x" * 9000]), headers, encode_chunked=True)
    status = connection.getresponse().status
    connection.close()
    assert 400 <= status < 500


def test_a_code_works_once_and_is_not_used_up_by_looking(web_page: Page) -> None:
    code = web_page.login_url().partition("code=")[2]
    assert ask(web_page, "GET", f"/login?code={code}")[0] == 200
    assert ask(web_page, "POST", "/login", urlencode({"code": code}))[0] == 200
    status, _, text = ask(web_page, "POST", "/login", urlencode({"code": code}))
    assert status == 401
    assert "used up or too old" in text


def test_requests_for_another_host_are_refused(web_page: Page) -> None:
    status, _, text = ask(web_page, "GET", "/login", Host="evil.example")
    assert status == 403
    assert "evil.example" in text


def test_requests_from_another_origin_are_refused(web_page: Page) -> None:
    _, headers, _ = log_in(web_page)
    cookie = SimpleCookie(headers["set-cookie"])["upcall_session"].value
    mine = ask(web_page, "GET", "/", Origin=web_page.url, Cookie=f"upcall_session={cookie}")
    foreign = ask(web_page, "GET", "/", Origin="http://evil.example", Cookie=f"upcall_session={cookie}")
    assert (mine[0], foreign[0]) == (200, 403)


def test_an_oversized_form_is_refused(web_page: Page) -> None:
    assert ask(web_page, "POST", "/login", "code=" + "x" * 10_000)[0] == 413


def test_a_code_cannot_carry_markup_into_the_form(web_page: Page) -> None:
    text = ask(web_page, "GET", "/login?" + urlencode({"code": "'><script>alert(1)</script>"}))[2]
    assert "<script>alert(1)" not in text


def test_nothing_from_elsewhere_may_be_loaded(web_page: Page) -> None:
    headers = ask(web_page, "GET", "/login")[1]
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"


def test_who_is_not_let_in_is_told_the_command_that_is_right_in_any_terminal(web_page: Page) -> None:
    """The folder is not the usual one, so it is named."""
    command = f"upcall open --data {web_page.folder}"
    assert command in ask(web_page, "GET", "/login")[2]
    status, _, text = ask(web_page, "POST", "/login", urlencode({"code": "too-old"}))
    assert (status, command in text) == (401, True)
    status, _, text = ask(web_page, "GET", "/")
    assert (status, command in text) == (401, True)
