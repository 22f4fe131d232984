"""What a text may hold, in words: a name's pattern as a person reads it.

Packages and our own requests say by a regular expression what may be a name, or an amount with its unit. Who typed
another one is answered in words, wherever that is (:func:`in_words`): characters, which comes first, and how many; or
units, with an example. What is no plain pattern of such has no words here; whoever asks then says something else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_ITEM: Final = re.compile(r"(\[(?:\\.|[^\]\\^])(?:\\.|[^\]\\])*\]|\\[dw.-]|[A-Za-z0-9_.-])([*+?]|\{\d+(?:,\d*)?\})?")
_JOINED: Final = re.compile(r"\(([-._])(\[[^\]]+\])\+\)\*\Z")
"""Parts with one sign between two of them: no sign at an end, no two beside each other."""
_AMOUNT: Final = re.compile(r"\^(?:-\?)?\\d\+(?:\(([\w/|]+)\)(\?)?)?\$\Z")
"""A whole number, with one of these units."""
_WORDS: Final = re.compile(r"\^\(([\w|-]+)\)\?\(,\(\1\)\)\*\$\Z")
"""Some of these words, with commas between them."""
_NUMBER: Final = r"^-?\d+(\.\d+)?$"
_COMMON: Final = ("MiB", "MiB/s", "s", "m")
"""Units for an example: the first of them that is there."""
_RANGES: Final = {"a-z": "lower-case letters", "A-Z": "capital letters", "0-9": "digits", "a-f": "a to f"}
_ONE_OF: Final = {
    "lower-case letters": "a lower-case letter",
    "capital letters": "a capital letter",
    "letters": "a letter",
    "digits": "a digit",
}
_END: Final = r"$(?!\n)"
_SIGNS: Final = {"-": "single dashes", ".": "single dots", "_": "single underscores"}
UNBOUNDED: Final = -1


@dataclass(frozen=True)
class _Run:
    """So many characters of these kinds and these signs."""

    kinds: tuple[str, ...]
    signs: str
    least: int
    most: int

    @property
    def characters(self) -> str:
        signs = " ".join(self.signs)
        return _listed([*self.kinds, *([signs] if signs else [])])

    @property
    def one(self) -> str:
        kinds = [_ONE_OF.get(kind, kind) for kind in self.kinds]
        return _listed([*kinds, *self.signs], "or")


def in_words(pattern: str) -> str:
    """``^[a-z][a-z0-9_]{0,47}$``: ``lower-case letters, digits and _, a lower-case letter first, at most 48
    characters``. Empty
    for a pattern that says more than that."""
    text = pattern.replace(_END, "$")
    if text.startswith("^$|"):
        words = in_words(text.removeprefix("^$|"))
        return f"{words}; or nothing" if words else ""
    if words := _amount(text):
        return words
    if not (text.startswith("^") and text.endswith("$")):
        return ""
    text = text[1:-1]
    between = ""
    if joined := _JOINED.search(text):
        text, between = text[: joined.start()], _SIGNS[joined[1]]
    runs = _runs(text)
    if not 1 <= len(runs) <= 2:
        return ""
    first, last = runs[0], runs[-1]
    if len(runs) == 2 and ((first.least, first.most) != (1, 1) or not _within(first, last)):
        return ""
    if between and (last.signs or last.most != UNBOUNDED or _runs(joined[2] if joined else "")[0].kinds != last.kinds):
        return ""
    parts = [_listed([*last.kinds, f"{between} between them"]) if between else last.characters]
    if len(runs) == 2 and first.characters != last.characters:
        parts.append(f"{first.one} first")
    return ", ".join([*parts, *_count(runs)])


def _amount(pattern: str) -> str:
    """What is no name: a number, an amount with its unit, words of a list."""
    if pattern == _NUMBER:
        return "a number, as 0.5"
    if some := _WORDS.match(pattern):
        words = some[1].split("|")
        return f"some of {_listed(words)}, with commas between them, as {','.join(words[:2])}"
    if (amount := _AMOUNT.match(pattern)) is None:
        return ""
    if amount[1] is None:
        return "a whole number"
    units = amount[1].split("|")
    example = f"10{next((unit for unit in _COMMON if unit in units), units[0])}"
    if amount[2]:
        return f"a whole number, alone or with its unit ({_listed(units, 'or')}), as {example}"
    return f"a whole number with its unit ({_listed(units, 'or')}), as {example}"


def of_text(schema: Mapping[str, Any]) -> str:
    """What a JSON Schema's text may hold, and how long it may be, as far as there are words for it."""
    words = in_words(str(schema.get("pattern", "")))
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if "characters" in words or (least <= 1 and most is None):
        return words
    if most is None:
        length = f"at least {least} characters"
    else:
        length = f"at most {most} characters" if least <= 1 else f"{least} to {most} characters"
    return f"{words}, {length}" if words else length


def _count(runs: list[_Run]) -> list[str]:
    least = sum(run.least for run in runs)
    most = UNBOUNDED if any(run.most == UNBOUNDED for run in runs) else sum(run.most for run in runs)
    if most == UNBOUNDED:
        return [f"at least {least} characters"] if least > 1 else []
    if least == most:
        return [f"{most} characters" if most > 1 else "one character"]
    return [f"at most {most} characters"] if least <= 1 else [f"{least} to {most} characters"]


def _within(first: _Run, last: _Run) -> bool:
    """Whether what may come first may come later too: else one list of characters would not be true."""
    letters = {"lower-case letters", "capital letters"} if "letters" in last.kinds else set()
    return {*first.kinds} <= {*last.kinds, *letters} and {*first.signs} <= {*last.signs}


def _runs(text: str) -> list[_Run]:
    """All of the text, or nothing where a part of it is something else."""
    found: list[_Run] = []
    at = 0
    while at < len(text):
        item = _ITEM.match(text, at)
        characters = _characters(item[1]) if item else None
        if item is None or characters is None:
            return []
        least, most = _times(item[2] or "")
        found.append(_Run(*characters, least, most))
        at = item.end()
    return found


def _times(quantifier: str) -> tuple[int, int]:
    known = {"": (1, 1), "*": (0, UNBOUNDED), "+": (1, UNBOUNDED), "?": (0, 1)}
    if quantifier in known:
        return known[quantifier]
    least, comma, most = quantifier.strip("{}").partition(",")
    return int(least), int(most) if most else (UNBOUNDED if comma else int(least))


def _characters(text: str) -> tuple[tuple[str, ...], str] | None:
    """Kinds and signs of a class of characters; None for one that is none of names."""
    if not text.startswith("["):
        text = f"[{text}]"
    inside, kinds, signs = text[1:-1], [], ""
    while inside:
        if inside[:3] in _RANGES:
            kinds.append(_RANGES[inside[:3]])
            inside = inside[3:]
        elif inside.startswith(r"\d"):
            kinds.append("digits")
            inside = inside[2:]
        elif inside.startswith("\\") and inside[1:2] in (".", "-", "_"):
            signs += inside[1]
            inside = inside[2:]
        elif inside[0].isalnum() or inside[0] == "\\" or (inside[1:2] == "-" and len(inside) > 2):
            return None
        else:
            signs += inside[0]
            inside = inside[1:]
    if {"lower-case letters", "capital letters"} <= {*kinds}:
        kinds = [
            "letters",
            *(kind for kind in kinds if not kind.endswith("-case letters") and kind != "capital letters"),
        ]
    return tuple(kinds), signs


def _listed(words: list[str], last: str = "and") -> str:
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else words[0]
