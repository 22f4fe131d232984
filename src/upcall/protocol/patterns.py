"""Regular expressions that somebody else wrote: of a check, of a schema, of what a system says when it fails.

They are matched by RE2, in time linear in the text, whatever the expression is. Python's own engine tries every way to
match: ``(a+)+$`` on a line that almost matches would hold an event loop, and with it a node or the master, for ever.
The price is that there is no look-around and no backreference; what uses one is refused where it arrives.
"""

from typing import TYPE_CHECKING, Final

from upcall.protocol.errors import Invalid

if TYPE_CHECKING:
    import re2

CHARS_MAX: Final = 1000
RIGHT: Final = "RE2's syntax: Python's without look-around and backreferences"


def compiled(pattern: str, where: str = "") -> "re2._Regexp":
    """What searches bytes and texts alike. ``Invalid`` for what is no expression of RE2's."""
    if wrong := fault(pattern):
        raise Invalid(f"a regular expression {wrong[0]}", where=where, expected=wrong[1])
    return _compile(pattern)


def fault(pattern: str) -> tuple[str, str] | None:
    """What is wrong with it, and what would be right."""
    if len(pattern) > CHARS_MAX:
        return f"has {len(pattern)} characters", f"at most {CHARS_MAX}"
    import re2  # Few processes ever see an expression.

    try:
        _compile(pattern)
    except re2.error as error:
        said = error.args[0] if error.args else error
        return f"cannot be read: {said.decode(errors='replace') if isinstance(said, bytes) else said}", RIGHT
    except UnicodeEncodeError:
        return "holds half a character", RIGHT
    return None


def _compile(pattern: str) -> "re2._Regexp":
    import re2

    options = re2.Options()
    options.log_errors = False  # Told to who wrote it, not to our log.
    return re2.compile(pattern.encode(), options)
