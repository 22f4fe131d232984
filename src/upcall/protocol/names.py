"""Names that become paths: what may be one is said once, by type.

A name from elsewhere (a declaration, a lock, a package, a message) ends up as a file or a folder: a volume, a secret,
a task's sandbox, a blob. So each such field has one of these types, and the decoder of its wire refuses what does not
fit, with the path of the field; nothing behind it has to think of ``..``, ``/etc`` or an empty name. Who makes a path
of a name that did not come by a wire asks :func:`valid`.

The types say what is safe, not what is pretty: a service's or a member's name has narrower rules of its own.
"""

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from upcall.protocol import decoder_words
from upcall.protocol.errors import Invalid

NAME_CHARS_MAX: Final = 100
"""With what we add to it (an incarnation, a number), it stays below a file system's 255 bytes."""
PATH_CHARS_MAX: Final = 1000
PATH_DEPTH_MAX: Final = 32
TASK_CHARS_MAX: Final = 150

_END: Final = r"$(?!\n)"
"""A dollar alone would allow a line's end after it."""
_NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9._-]*" + _END
_PART: Final = r"(?!\.\.?(?:/|$))[^/\\\x00-\x1f\x7f\ud800-\udfff]{1,200}"
_PATH: Final = rf"^{_PART}(?:/{_PART}){{0,{PATH_DEPTH_MAX - 1}}}{_END}"
_TASK: Final = r"^[a-z0-9][a-z0-9_-]*\.[a-z0-9][a-z0-9_-]*\.[0-9]{1,15}" + _END
_MEMBER: Final = r"^[a-z0-9][a-z0-9_-]*\.[a-z0-9][a-z0-9_-]*" + _END
_DIGEST: Final = r"^[0-9a-f]{64}" + _END

_ENTRY: Final = r"^(?:[^\W\d]\w*(?:\.[^\W\d]\w*)*(?::[^\W\d]\w*)?)?" + _END
_DIGEST_OR_NONE: Final = r"^(?:[0-9a-f]{64})?" + _END

PathName = Annotated[str, Meta(pattern=_NAME, max_length=NAME_CHARS_MAX)]
"""One file or folder: no separator, no dot in front (these are ours: markers, and what is being made)."""
RelativePath = Annotated[str, Meta(pattern=_PATH, max_length=PATH_CHARS_MAX)]
"""Something below a folder: plain parts, a slash between them."""
TaskName = Annotated[str, Meta(pattern=_TASK, max_length=TASK_CHARS_MAX)]
MemberName = Annotated[str, Meta(pattern=_MEMBER, max_length=TASK_CHARS_MAX)]
Digest = Annotated[str, Meta(pattern=_DIGEST)]
DigestOrNone = Annotated[str, Meta(pattern=_DIGEST_OR_NONE)]
EntryPoint = Annotated[str, Meta(pattern=_ENTRY, max_length=PATH_CHARS_MAX)]
"""``module:Class``, or nothing: a module is looked for as a file."""

_WORDS: Final = {
    _NAME: "a plain name: letters, digits and . _ -, no dot in front",
    _PATH: "a relative path of plain parts, without '..'",
    _TASK: "a task: service.member.incarnation",
    _MEMBER: "a member: service.member",
    _DIGEST: "a SHA-256 in lower-case hex",
    _DIGEST_OR_NONE: "a SHA-256 in lower-case hex, or nothing",
    _ENTRY: "module:Class, in Python's names",
}
_OF_PATTERN: Final = re.compile(r"Expected `str` matching regex (?P<pattern>'.*')(?: - at (?P<where>.*))?", re.DOTALL)


def is_name(text: str) -> bool:
    return len(text) <= NAME_CHARS_MAX and re.search(_NAME, text) is not None


def is_inside(path: str) -> bool:
    """Whether a relative path stays below the folder that it is put in."""
    return len(path) <= PATH_CHARS_MAX and re.search(_PATH, path) is not None


def valid(name: str, where: str) -> str:
    """The name, if it may be a file or a folder."""
    if not is_name(name):
        raise Invalid(f"not a name: {name!r}", where=where, expected=_WORDS[_NAME])
    return name


def refusal(error: msgspec.ValidationError, expected: str) -> Invalid:
    """What a decoder found, as every door says it: a pattern in words, for a person."""
    said = decoder_words.of_decoder(str(error))
    message, where, expected = said.message, said.where, said.expected or expected
    if found := _OF_PATTERN.fullmatch(str(error)):
        for pattern, words in _WORDS.items():
            if repr(pattern) == found["pattern"]:
                message, expected = "not a name that may become a path", words
    return Invalid(message, where=where or "body", expected=expected)
