"""Links: written for who reads a file in the repository, on the site they lead to the page that is made of it."""

import posixpath
import re
from collections.abc import Mapping
from typing import Final

LINK: Final = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
FENCE: Final = re.compile(r"^ *(```|~~~)")


class LeadsNowhere(Exception):
    pass


def relinked(text: str, source: str, page: str, pages: Mapping[str, str]) -> str:
    """``text`` of the file ``source`` of the repository, as the page ``page`` of the site. ``pages``: file of the
    repository -> page, or what else is copied. A link to a file that is none of them raises :class:`LeadsNowhere`."""

    def led(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
        if target not in pages:
            raise LeadsNowhere(f"{source} links to {found[1]}, of which there is no page")
        return posixpath.relpath(pages[target], posixpath.dirname(page) or ".") + (found[2] or "")

    lines, fence = [], ""
    for line in text.splitlines(keepends=True):
        mark = FENCE.match(line)
        if mark and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        lines.append(line if fence or mark else LINK.sub(led, line))
    return "".join(lines)
