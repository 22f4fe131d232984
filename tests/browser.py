"""Where the tests find a Chromium: the machine's own, else Debian's packages, unpacked.

``python tests/browser.py`` prepares it and prints the path.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debian import CACHE, NotThere, libraries, unpacked

PACKAGES = ("chromium", "fonts-dejavu-core", "fontconfig-config", "libfontconfig1")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.*",
)
"""Quiet, and shut off: every name but loopback's address fails, so a page that wants the network shows it."""


@dataclass(frozen=True)
class Browser:
    path: str
    environment: dict[str, str]


def chromium() -> Browser:
    """The browser, prepared when it has to be; raises :class:`NotThere`."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (found := shutil.which(name)) is not None:
            return Browser(found, {})
    root = unpacked("chromium", *PACKAGES)  # Ubuntu's is a snap: its packages hold none
    binary = root / "usr/lib/chromium/chromium"
    if not binary.exists():
        raise NotThere(f"the unpacked packages hold no Chromium; remove {CACHE / 'chromium'} to try again")
    folders = libraries(root)
    folders += [str(Path(one) / "pulseaudio") for one in folders if (Path(one) / "pulseaudio").is_dir()]
    environment = {"LD_LIBRARY_PATH": ":".join(folders), "XDG_DATA_DIRS": f"{root}/usr/share:/usr/share"}
    if not Path("/etc/fonts/fonts.conf").exists():
        environment["FONTCONFIG_FILE"] = str(_fonts(root))
    return Browser(str(binary), environment)


@contextmanager
def launched() -> Iterator[Any]:
    """The browser, as Playwright drives it; where there is none, the test is skipped. While it is there its event loop
    runs in our thread, where asynchronous tests want their own."""
    import pytest

    try:
        found = chromium()
    except NotThere as reason:
        pytest.skip(f"no browser: {reason}")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.path, args=list(ARGUMENTS), env={**os.environ, **found.environment}
        )
        yield browser
        browser.close()


def _fonts(root: Path) -> Path:
    """A minimal font configuration: the packaged one names folders of the machine that these fonts are not in."""
    path = root.parent / "fonts.conf"
    path.write_text(
        "<?xml version='1.0'?><!DOCTYPE fontconfig SYSTEM 'fonts.dtd'><fontconfig>"
        f"<dir>{root}/usr/share/fonts</dir><dir>/usr/share/fonts</dir><cachedir>{root.parent}/fontcache</cachedir>"
        "</fontconfig>"
    )
    return path


if __name__ == "__main__":
    try:
        print(chromium().path)
    except NotThere as reason:
        sys.exit(f"no browser: {reason}")
