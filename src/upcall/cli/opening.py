"""``upcall open``: a browser logs in by a one-use code, and the person who asked hears what became of it.

The code must not stand in a browser's command line, which every user of the machine can read. So the browser is given a
file that only its owner can read, and the file leads on to the address. It lies in the home folder, under a name
without a dot: browsers that are packed as snaps read nothing else. It is gone as soon as the code was used or is too
old, and when the command ends.
"""

import contextlib
import html
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from upcall.cli.session import Session, command, commands
from upcall.client.folder import cluster_of, command_on
from upcall.protocol.errors import Conflict
from upcall.protocol.operator import AskLogin, LoginCode, LoginPurpose, LoginState

open_app = commands()
APPS = {"open": open_app}

LOOK_S: Final = 0.3


@command(open_app, "open")
def open_page(
    session: Session,
    browser: Annotated[bool, typer.Option(help="Open it in a browser too, where there is one.")] = True,
    docs: Annotated[bool, typer.Option("--docs", help="The documentation of the API instead of the page.")] = False,
) -> None:
    """Print the page's address with a one-use login code, for a browser of this user. The page of a control plane
    elsewhere is served by this very command, until Ctrl-C."""
    from upcall.cli import page_here

    if session.control_plane:
        if docs:
            raise page_here.no_documentation(session)
        with page_here.served(session) as page:
            session.out.note("the page is served by this command, for this user; Ctrl-C ends it")
            _opened(session, *_asked(session, "page", page.url), browser=browser)
            page.until_left()
        return
    if not docs:
        page_here.must_be_installed()
    _opened(session, *_asked(session, "documentation" if docs else "page"), browser=browser)


def _opened(session: Session, url: str, code: LoginCode, *, browser: bool) -> None:
    session.out.say({"url": url}, url)
    if browser and session.out.rich and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        import webbrowser

        with leading_to(url) as file:
            if webbrowser.open(file.as_uri()):
                session.out.note(followed(session, code))


def login_url(session: Session) -> str:
    """Of the page; good for one login within two minutes."""
    return _asked(session, "page")[0]


def told_once(session: Session) -> str:
    """The page's address for a line that stays on the screen: with how long it is good, and what makes another."""
    url, code = _asked(session, "page")
    again = command_on(session.folder.root, "open", _program())
    return f"page: {url}\n  good for one login within {code.expires_s:.0f} s; afterwards `{again}` makes another"


def _program() -> str:
    """How this very command is called: `make demo` leaves it out of the search path."""
    called, found = Path(sys.argv[0]), shutil.which("upcall")
    is_ours = called.name == "upcall" and called.exists()
    return str(called.absolute()) if is_ours and not (found and called.samefile(found)) else "upcall"


def _asked(session: Session, purpose: LoginPurpose, page: str = "") -> tuple[str, LoginCode]:
    """``page``: its address, where this command serves it."""
    code = LoginCode.model_validate(session.client.post("/v1/login-codes", AskLogin(purpose=purpose, user=whose())))
    if purpose == "documentation":
        return f"{cluster_of(session.folder).url}/docs?code={code.code}", code
    page = page or session.client.status().page_url or cluster_of(session.folder).page_url
    return f"{page}/login?code={code.code}", code


def whose() -> int:
    """Whose browser it will be: this user's, or of whoever became root by sudo."""
    before = os.environ.get("SUDO_UID", "")
    return int(before) if os.geteuid() == 0 and before.isdecimal() else os.geteuid()


@contextmanager
def leading_to(url: str) -> Iterator[Path]:
    """A file that leads a browser to the address; there for as long as the block."""
    folder = Path(tempfile.mkdtemp(prefix="upcall-login-", dir=_place()))
    try:
        file = folder / "login.html"
        with open(file, "x", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW, 0o600)) as output:
            output.write(_leading(url))
        if (user := whose()) != os.geteuid():
            for path in (file, folder):
                os.chown(path, user, -1, follow_symlinks=False)
        yield file
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place() -> Path | None:
    """The home folder, when it is one; else where temporary files go."""
    with contextlib.suppress(OSError, RuntimeError):
        home = Path.home()
        if home.stat().st_uid in (os.geteuid(), whose()) and os.access(home, os.W_OK):
            return home
    return None


def _leading(url: str) -> str:
    in_script = json.dumps(url).replace("<", "\\u003c")
    return (
        "<!doctype html><meta charset=utf-8><meta name=referrer content=no-referrer><title>upcall</title>"
        f"<script>location.replace({in_script})</script><a href='{html.escape(url, quote=True)}'>Log in</a>\n"
    )


def followed(session: Session, code: LoginCode) -> str:
    """What became of the code, once that is known; an error when somebody else gave it in."""
    until = time.monotonic() + code.expires_s
    while True:
        state = LoginState.model_validate(session.client.get(f"/v1/login-codes/{code.id}"))
        if state.state == "refused":
            raise Conflict(
                f"this login is void: {state.text}",
                where=time.strftime("%H:%M:%S", time.localtime(state.at)),
                expected="nobody but you to know the code; `upcall open` makes another",
            )
        if state.state == "used":
            return f"{state.text}, at {time.strftime('%H:%M:%S', time.localtime(state.at))}"
        if state.state == "expired" or time.monotonic() > until:
            return "nobody logged in; the address is too old now"
        time.sleep(LOOK_S)
