"""Who gets in: asked of the real page process, over plain HTTP."""

import http.client
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from served_page import Page

Answer = tuple[int, dict[str, str], str]


def ask(page: Page, method: str, path: str, body: str = "", **headers: str) -> Answer:
    parts = urlsplit(page.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
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
    assert ask(web_page, "GET", "/", Cookie=f"upcall_session={cookie.value}")[0] == 200
    assert ask(web_page, "GET", "/", Cookie="upcall_session=made-up")[0] == 401


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
