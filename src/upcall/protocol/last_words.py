"""Why did it end? The line of its output that says so. Pure: lines in, one line out.

Systems say it in their own place, hardly ever in their last line:

* **Java**: an exception's own line, its frames (``at ...``), then what caused it, and so on; the *last* ``Caused by:``
  of the last trace is the root.
* **Python**: frames first; the exception stands in the *last* line of the last trace. In a chain, and in a group, the
  outermost comes last.
* else the last line that its log calls an error, or that sounds like one; else the last warning; else what sounds like
  one although its log calls it information; else the last line.

A trace is worth what its record is worth: one that a log tells for information gives way to an error.

What a package knows better, it says by patterns of its system's fatal lines (RE2), which are looked for first; a group
in one cuts out what matters.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from upcall.protocol import patterns

LINES_MAX: Final = 50
BYTES_MAX: Final = 16 << 10
"""Of the lines that are kept with a member's end."""
LINE_CHARS_MAX: Final = 500
LONG_CHARS_MAX: Final = 4000
"""Of a line that is looked at."""

_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_FRAME: Final = re.compile(r"\s+(?:at [\w.$/<>@-]+\(|\.\.\. \d+ (?:more|common frames))")
_CAUSED: Final = "Caused by: "
_THREAD: Final = re.compile(r'Exception in thread "[^"]{0,200}" ')
_TRACEBACK: Final = re.compile(r"[\s|+-]*(?:Exception Group )?Traceback \(most recent call last\):")
_RAISED: Final = re.compile(r"[A-Za-z_][\w.]{0,200}(?:: .*)?$")
_GROUP: Final = re.compile(r"[\s|+]*(?:\+-+|\|) ?")
_SOUNDS: Final = re.compile(
    r"\b(?:error|fatal|panic|exception|fail(?:ed|ure)?|cannot|could not|can't|unable|invalid|refused|denied|not found|"
    r"no such|unknown|unrecognized|missing|abort(?:ed)?|illegal|usage)\b",
    re.IGNORECASE,
)

_LEVEL: Final = re.compile(
    r"\b(?:(?P<error>ERROR|FATAL|CRITICAL|SEVERE|PANIC)|(?P<warning>WARN|WARNING)|"
    r"(?P<information>TRACE|DEBUG|INFO|NOTICE))\b|"
    r"\blevel\"?[=:] ?\"?(?:(?P<e>error|fatal|panic|critical)|(?P<w>warn)|(?P<i>info|debug|trace))",
)
_LEVELS: Final = {"e": "error", "w": "warning", "i": "information"}
_OF_JAVA: Final = re.compile(r"(?:Java HotSpot\(TM\).* |OpenJDK .* )?(?i:warning): ")
"""What the runtime says of itself at every start is no warning about why it ends."""
_HEAD_CHARS: Final = 160
"""A log's level stands in the head of its line."""

_LAST, _MUMBLED, _WARNED, _SOUND, _TRACE, _KNOWN = range(6)
"""How sure a line is to be it."""


def cause(streams: Iterable[Sequence[str]], fatal: Sequence[str] = ()) -> str:
    """The line that says why; empty when nothing was said. ``streams``: the last lines of each, the most telling
    stream first. ``fatal``: the package's patterns."""
    best, words = -1, ""
    for lines in streams:
        sure, found = _of_stream([plain(line) for line in lines], fatal)
        if found and sure > best:
            best, words = sure, found
    return words[:LINE_CHARS_MAX]


def plain(line: str) -> str:
    """Without what a terminal would obey."""
    return _CONTROL.sub("", line.rstrip())


def kept(streams: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The last lines as they are kept: bounded in number and bytes, the last ones of the first stream before others."""
    found: list[str] = []
    left_bytes = BYTES_MAX
    for lines in streams:
        part: list[str] = []
        for line in reversed([plain(line) for line in lines]):
            cut = line[:LINE_CHARS_MAX]
            left_bytes -= len(cut.encode(errors="replace")) + 1
            if left_bytes < 0 or len(part) + len(found) >= LINES_MAX:
                break
            part.append(cut)
        found += reversed(part)
    return tuple(found)


def _of_stream(lines: Sequence[str], fatal: Sequence[str]) -> tuple[int, str]:
    said = [line[:LONG_CHARS_MAX] for line in lines if line.strip()]
    if not said:
        return -1, ""
    for pattern in fatal:
        expression = patterns.compiled(pattern)
        for line in reversed(said):
            if match := expression.search(line):
                return _KNOWN, (match.group(1) if match.groups() else line).strip()
    sure, found = _line(said)
    trace, record = _trace(said)
    # What a log tells for information, or as a warning, an error beside it outdoes.
    if trace and (worth := _of_record(said, record)) >= sure:
        return worth, trace
    return sure, found


def _of_record(lines: Sequence[str], at: int) -> int:
    """How much a trace is worth that is told with this line."""
    level = _level(lines[at]) if at >= 0 else ""
    return {"warning": _WARNED, "information": _MUMBLED}.get(level, _TRACE)


def _level(line: str) -> str:
    """``error``, ``warning`` or ``information``, as its log calls it; empty: it is a line of no log."""
    found = _LEVEL.search(line[:_HEAD_CHARS]) if not _OF_JAVA.match(line) else None
    return _LEVELS[str(found.lastgroup)[0]] if found is not None else ""


def _line(lines: Sequence[str]) -> tuple[int, str]:
    """The last of those that tell most."""
    best, words, of_log = -1, "", False
    for line in lines:
        level, sounds = _level(line), _SOUNDS.search(line) is not None
        if of_log and not level and line[0] in " \t":
            continue  # What is further in belongs to the record above it, whose first line tells.
        of_log = bool(level)
        if level == "error" or (not level and sounds):
            sure = _SOUND
        elif level == "warning":
            sure = _WARNED
        else:
            sure = _MUMBLED if sounds else _LAST
        if sure >= best:
            best, words = sure, line.strip()
    return best, words


def _trace(lines: Sequence[str]) -> tuple[str, int]:
    """The exception of the last trace, whoever's it is, and the line of the log that it is told with (-1: of none)."""
    java, at_java, head = _java(lines)
    python, at_python, begin = _python(lines)
    found, first = (java, head) if at_java > at_python else (python, begin)
    # It stands on the log's own line, or below it.
    return found, next((at for at in (first, first - 1) if at >= 0 and _level(lines[at])), -1)


def _java(lines: Sequence[str]) -> tuple[str, int, int]:
    """The root of the last trace, where that trace ends, and its first line."""
    last = next((at for at in range(len(lines) - 1, -1, -1) if _FRAME.match(lines[at])), -1)
    if last < 0:
        return "", -1, -1
    root, at = "", last
    while at >= 0:
        line = lines[at].lstrip()
        if _FRAME.match(lines[at]) or line.startswith("Suppressed: "):
            at -= 1
        elif line.startswith(_CAUSED):
            root = root or line.removeprefix(_CAUSED)
            at -= 1
        elif at + 1 < len(lines) and not _FRAME.match(lines[at + 1]) and _continues(lines, at):
            at -= 1  # A message of several lines.
        else:
            break
    head = _THREAD.sub("", lines[at].strip()) if at >= 0 else ""
    return root or head, last, at


def _continues(lines: Sequence[str], at: int) -> bool:
    """Whether a cause or frames come a few lines below, and this line is no log record of its own."""
    below = lines[at + 1 : at + 4]
    return lines[at].startswith((" ", "\t")) and any(_FRAME.match(line) for line in below)


def _python(lines: Sequence[str]) -> tuple[str, int, int]:
    """What the last trace raised, where that stands, and its first line."""
    begin = next((at for at in range(len(lines) - 1, -1, -1) if _TRACEBACK.match(lines[at])), -1)
    if begin < 0:
        return "", -1, -1
    grouped = lines[begin].lstrip().startswith(("|", "+"))
    for at in range(begin + 1, len(lines)):
        line = _GROUP.sub("", lines[at], count=1) if grouped else lines[at]
        if not line.startswith((" ", "\t")) and _RAISED.match(line):
            return line.strip(), at, begin
    return "", -1, -1
