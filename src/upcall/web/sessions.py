"""Sessions of browsers: what each must bring, so that a cookie alone opens nothing.

A browser sends a cookie to every port of its host, so whoever listens on another port of the page's address gets it.
What a page stored for itself (``localStorage``) stays with the origin, which has the port in it. So a session has two
halves: a cookie that no script reads, and a key that only scripts of this very origin read. The key buys *tickets*: the
cluster's page is shown for a ticket, once, and its socket is opened for a page that was shown.
"""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Final

COOKIE: Final = "upcall_session"
SESSION_S: Final = 12 * 3600.0
SESSIONS_MAX: Final = 200
TICKET_S: Final = 30.0
"""From the key to the page: the browser's next request."""
TICKETS_MAX: Final = 20
PAGES_MAX: Final = 100
"""Of one session, open at once."""


@dataclass
class Session:
    token: str
    """Of the operator API: what is done on the page is done as this principal."""
    until: float
    user: int | None
    """Whose browser logged in, where the machine tells: nobody else's goes on with it."""
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _tickets: OrderedDict[str, float] = field(default_factory=OrderedDict)
    _pages: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def knows_key(self, key: str) -> bool:
        return secrets.compare_digest(key.encode("latin-1", "replace"), self.key.encode())

    def ticket(self) -> str:
        """Good for one page."""
        while len(self._tickets) >= TICKETS_MAX:
            self._tickets.popitem(last=False)
        name = secrets.token_urlsafe(24)
        self._tickets[name] = time.monotonic() + TICKET_S
        return name

    def takes(self, ticket: str) -> bool:
        return self._tickets.pop(ticket, 0.0) > time.monotonic()

    def opened(self, page: str) -> None:
        """A page was made for this session, by the name that its browser will use."""
        while len(self._pages) >= PAGES_MAX:
            self._pages.popitem(last=False)
        self._pages[page] = None

    def closed(self, page: str) -> None:
        self._pages.pop(page, None)

    def has(self, page: str) -> bool:
        return page in self._pages


class Sessions:
    """In memory: a page that was started again asks for a new code."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}

    def add(self, token: str, user: int | None) -> tuple[str, Session]:
        """A new session, and the name that its cookie holds."""
        now = time.monotonic()
        self._by_id = {key: one for key, one in self._by_id.items() if one.until > now}
        while len(self._by_id) >= SESSIONS_MAX:
            del self._by_id[next(iter(self._by_id))]
        name = secrets.token_urlsafe(32)
        session = self._by_id[name] = Session(token, now + SESSION_S, user)
        return name, session

    def of(self, cookies: str) -> Session | None:
        """The session of a request, by its ``Cookie`` header."""
        try:
            cookie = SimpleCookie(cookies).get(COOKIE)
        except CookieError:
            return None
        found = self._by_id.get(cookie.value) if cookie else None
        return found if found is not None and found.until > time.monotonic() else None
