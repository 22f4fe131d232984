"""Where an expert's code went wrong: the file and the line, for ``upcall why`` and the journal."""

import inspect
import traceback
from pathlib import Path
from typing import Any, Final

from upcall.service.attempts import in_words

_UPCALL: Final = Path(__file__).resolve().parent.parent
_OURS: Final = frozenset(
    _UPCALL / part for part in ("artifacts", "cli", "client", "protocol", "service", "testing", "transport")
)
"""What an expert's code calls, and what calls it."""
_LIBRARY: Final = Path(traceback.__file__).resolve().parent


def in_words_with_line(error: BaseException) -> str:
    """``RuntimeError: no quorum (service.py:41 in may_stop)``."""
    where = line_of(error)
    return in_words(error) + (f" ({where})" if where else "")


def line_of(error: BaseException) -> str:
    """The innermost line that is neither the SDK's nor Python's nor a library's: the expert's own."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_experts(frame.filename):
            return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"
    return ""


def is_experts(filename: str) -> bool:
    """Whether code of this file is an expert's."""
    if filename.startswith("<") or not Path(filename).is_absolute():
        return False  # No file: what Python makes for a dataclass; or that of a library that was compiled elsewhere.
    file = Path(filename).resolve()
    return not (_OURS & {*file.parents} or _LIBRARY in file.parents or "site-packages" in file.parts)


def a(given: object) -> str:
    """What a method returned, where it should have been something else."""
    if given is None:
        return "nothing: a `return` is missing"
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"


def is_ours(method: Any) -> bool:
    """Whether it is the SDK's own, and not an expert's."""
    code = getattr(inspect.unwrap(method), "__code__", None)
    return code is not None and _UPCALL / "service" in Path(code.co_filename).resolve().parents


def method_at(owner: type, method: str) -> str:
    """``may_stop (service.py:38)``: where a method is written."""
    try:
        code = inspect.unwrap(getattr(owner, method)).__code__
    except AttributeError:
        return method
    return f"{method} ({Path(code.co_filename).name}:{code.co_firstlineno})"
