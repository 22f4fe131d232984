"""The master's own page, as JSON."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from upcall.catalog.spark import config
from upcall.service import Member

PAGE_S: Final = 5.0

Page = Mapping[str, Any]


def page_of(master: Member) -> str:
    return f"{master.address}:{config.PAGE_PORT}"


def read(master: str) -> Page:
    """Blocking. ``master``: its page, ``host:port``."""
    try:
        with urllib.request.urlopen(f"http://{master}/json/", timeout=PAGE_S) as page:
            found: Page = json.loads(page.read())
    except OSError as error:
        raise ConnectionError(f"the master's page does not answer: {error}") from error
    return found


def alive(page: Page) -> set[str]:
    """Addresses of the workers that the master counts on."""
    return {str(each["host"]) for each in page["workers"] if each["state"] == "ALIVE"}


def looked_for(page: Page) -> tuple[int, int] | None:
    """How many workers and applications a master that started again still waits for; None: it waits for nobody, and
    serves."""
    if page.get("status") != "RECOVERING":
        return None
    workers, applications = (
        sum(each["state"] == "UNKNOWN" for each in page[kind]) for kind in ("workers", "activeapps")
    )
    return workers, applications


def free_cores(page: Page) -> int:
    return sum(int(each["coresfree"]) for each in page["workers"] if each["state"] == "ALIVE")
